//! The memory of a plan, and the tilings that it was measured for.

use super::options::PlanOptions;
use super::program::{PackedLayer, Program, Step};
use crate::convolution::{Needs, Workspaces};
use crate::memory::Buffer;
use crate::network::{Reads, TensorId};
use crate::normalisation::ChannelSums;
use crate::softmax::probabilities_scratch;
use crate::tiling::Tiling;

/// All memory of a plan, and the tilings that it was measured for.
pub(crate) struct Memory {
    /// The buffer of each activation; activations that never live at the same time share one.
    pub(crate) slot_of: Vec<usize>,
    pub(crate) slots: Vec<Buffer>,
    /// Of each step that is a convolution.
    pub(crate) tilings: Vec<Option<Tiling>>,
    pub(crate) sums: Vec<ChannelSums>,
    pub(crate) partial_sums: Buffer,
    pub(crate) scale: Buffer,
    pub(crate) shift: Buffer,
    pub(crate) scratch: Buffer,
    pub(crate) workspaces: Workspaces,
}

impl Memory {
    pub(crate) fn new(program: &Program, options: &PlanOptions) -> Self {
        let batch = options.batch;
        let pixels = |tensor: TensorId| {
            let level = program.tensors[tensor].level;
            (options.height >> level) * (options.width >> level)
        };
        let (slot_of, lengths) = assign_slots(program, |tensor| batch * pixels(tensor) * program.tensors[tensor].width);
        let threads = options.threads.count();
        let mut needs = Needs::default();
        let (mut partial_sums, mut channels) = (0, 0);
        let width = |tensor: TensorId| program.tensors[tensor].width;
        let mut tilings = Vec::new();
        for step in &program.steps {
            let mut tiling = None;
            match step {
                Step::Convolution(step) => {
                    let PackedLayer { layer, packed } = &**step;
                    let level = program.tensors[layer.output].level;
                    let (height, columns) = (options.height >> level, options.width >> level);
                    let side = packed.method.side();
                    let most = packed.block_tiles();
                    let target = block_target(batch * height.div_ceil(side) * columns.div_ceil(side), most, threads);
                    let tiles = Tiling::new(batch, height, columns, side, most, target);
                    needs = needs.join(packed.needs(&tiles));
                    partial_sums = partial_sums.max(tiles.strips(batch) * 2 * packed.outputs());
                    if let Reads::Activations { input, .. } = layer.reads {
                        channels = channels.max(input.parts().map(width).sum());
                    }
                    tiling = Some(tiles);
                }
                Step::Attention(layer) => {
                    needs = needs.join(Needs {
                        left: layer.attention.needs(pixels(layer.input)),
                        ..Needs::default()
                    });
                }
                Step::Resample(layer) => channels = channels.max(width(layer.input)),
            }
            tilings.push(tiling);
        }
        Self {
            slot_of,
            slots: lengths.into_iter().map(Buffer::zeroed).collect(),
            tilings,
            sums: program
                .tensors
                .iter()
                .map(|tensor| {
                    if tensor.summed {
                        ChannelSums::new(batch, tensor.width)
                    } else {
                        ChannelSums::default()
                    }
                })
                .collect(),
            partial_sums: Buffer::zeroed(partial_sums),
            scale: Buffer::zeroed(batch * channels),
            shift: Buffer::zeroed(batch * channels),
            scratch: Buffer::zeroed(probabilities_scratch(width(program.logits))),
            workspaces: Workspaces::new(threads, needs),
        }
    }

    /// Bytes of activations and workspaces.
    pub(crate) fn bytes(&self) -> usize {
        let workspaces = self.workspaces.threads.iter();
        let workspaces: usize = workspaces
            .map(|workspace| workspace.left.len() + workspace.region.len() + workspace.product.len())
            .sum();
        size_of::<f32>() * (self.slots.iter().map(|slot| slot.len()).sum::<usize>() + workspaces)
    }
}

/// Tiles of a block, at most `most`: enough that reading the weights is spread over many, few enough for the cache, and, with
/// threads, so many blocks that each thread has some.
fn block_target(tiles: usize, most: usize, threads: usize) -> usize {
    if threads == 1 || tiles >= 2 * most * threads {
        return most;
    }
    // Fewer than eight tiles would leave the multipliers waiting for weights: then one block, whose channels the
    // threads share.
    let share = tiles.div_ceil(threads);
    if share >= 8 { share.min(most) } else { tiles }
}

/// A slot for every activation, so that activations in use at the same time have different ones; and the slots'
/// lengths.
fn assign_slots(program: &Program, length: impl Fn(TensorId) -> usize) -> (Vec<usize>, Vec<usize>) {
    let mut last_use = vec![0; program.tensors.len()];
    for (index, step) in program.steps.iter().enumerate() {
        for tensor in step.tensors() {
            last_use[tensor] = index;
        }
    }
    let mut slot_of = vec![usize::MAX; program.tensors.len()];
    let mut lengths: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    for (index, step) in program.steps.iter().enumerate() {
        for tensor in step.tensors() {
            if slot_of[tensor] == usize::MAX {
                // The free slot whose size fits best.
                let best = (0..free.len()).min_by_key(|&candidate| lengths[free[candidate]].abs_diff(length(tensor)));
                let slot = best.map_or_else(
                    || {
                        lengths.push(0);
                        lengths.len() - 1
                    },
                    |candidate| free.swap_remove(candidate),
                );
                lengths[slot] = lengths[slot].max(length(tensor));
                slot_of[tensor] = slot;
            }
        }
        for tensor in step.tensors() {
            if last_use[tensor] == index && !free.contains(&slot_of[tensor]) {
                free.push(slot_of[tensor]);
            }
        }
    }
    (slot_of, lengths)
}
