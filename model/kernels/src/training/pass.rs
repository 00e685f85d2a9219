//! Training on the CPU behind [`TrainingPass`]: the network's stages, and an optimizer over flat vectors.

use std::ops::Range;

use super::optimizer::VectorMath;
use super::{KeptPass, Masks, TrainingNetwork, TrainingOptions};
use crate::passes::{Moments, Snapshot, TrainingPass, TrainingSize, Update};
use crate::{Architecture, Arithmetic, InstructionSet, KernelError, Learned, Parameter, Threads};

/// A network in training on the CPU.
pub struct CpuTraining {
    network: TrainingNetwork,
    waiting: Option<KeptPass>,
    math: VectorMath,
    /// `None` before the first update: what only computes gradients does without.
    memory: Option<Memory>,
    /// Adam's updates of each parameter; `None` before the first.
    updates: Vec<Option<u64>>,
}

/// What updates leave beside the parameters, in their order.
struct Memory {
    average: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Memory {
    /// Of parameters that have not moved: they are their own average.
    fn new(parameters: &[f32]) -> Self {
        Self {
            average: parameters.to_vec(),
            first: vec![0.0; parameters.len()],
            second: vec![0.0; parameters.len()],
        }
    }
}

impl CpuTraining {
    /// A network whose parameters are zero, on `threads`, with the processor's fastest instructions. Results do not depend
    /// on the number of threads.
    ///
    /// # Errors
    /// [`KernelError::Size`] for an unusable architecture or size; [`KernelError::Arithmetic`] for bf16 on a processor that
    /// does not compute it.
    pub fn new(
        architecture: &Architecture,
        size: TrainingSize,
        threads: Threads,
        arithmetic: Arithmetic,
    ) -> Result<Self, KernelError> {
        let instructions = InstructionSet::detect();
        let network = TrainingNetwork::new(
            architecture,
            TrainingOptions {
                height: size.side,
                width: size.side,
                batch: size.batch,
                threads: threads.clone(),
                instructions,
                arithmetic,
            },
        )?;
        Ok(Self {
            waiting: (size.waiting > 0).then(|| network.kept_pass(size.waiting)),
            math: VectorMath::new(threads, instructions),
            memory: None,
            updates: vec![None; network.list().len()],
            network,
        })
    }
}

impl TrainingPass for CpuTraining {
    fn list(&self) -> &[Parameter] {
        self.network.list()
    }

    fn batch(&self) -> usize {
        self.network.options().batch
    }

    fn parameters(&self) -> Result<Vec<f32>, KernelError> {
        Ok(self.network.parameters().to_vec())
    }

    fn set_parameters(&mut self, values: &[f32]) -> Result<(), KernelError> {
        self.network.parameters_mut().copy_from_slice(values);
        Ok(())
    }

    fn gradients(&self, range: Range<usize>) -> Result<Vec<f32>, KernelError> {
        Ok(self.network.gradients()[range].to_vec())
    }

    fn set_gradients(&mut self, start: usize, values: &[f32]) -> Result<(), KernelError> {
        self.network.parameters_and_gradients().1[start..][..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn begin(&mut self, learned: Learned) {
        self.network.zero_gradients();
        self.network.learn(learned);
    }

    fn encode(&mut self, x_t: &[f32], timesteps: &[i32], classes: &[i32]) -> Result<(), KernelError> {
        let timesteps: Vec<f32> = timesteps.iter().map(|&timestep| timestep as f32).collect();
        let classes = (!classes.is_empty()).then_some(classes);
        self.network.encode(x_t, &timesteps, classes)
    }

    fn mask_logits(&mut self) -> Result<Vec<f32>, KernelError> {
        Ok(self.network.mask_logits().to_vec())
    }

    fn decode(&mut self, masks: Masks<'_>) -> Result<Vec<f32>, KernelError> {
        self.network.decode(masks).map(<[f32]>::to_vec)
    }

    fn branches(&mut self) -> Result<Vec<f32>, KernelError> {
        Ok(self.network.branch_noise())
    }

    fn backward_decode(&mut self, gradient: &[f32]) -> Result<Vec<f32>, KernelError> {
        self.network.backward_decode(gradient).map(<[f32]>::to_vec)
    }

    fn backward_masks(&mut self, gradient: &[f32]) -> Result<(), KernelError> {
        self.network.backward_masks(gradient)
    }

    fn backward_encode(&mut self) -> Result<(), KernelError> {
        self.network.backward_encode();
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), KernelError> {
        match &mut self.waiting {
            Some(waiting) => self.network.exchange(waiting),
            None => Err(KernelError::Size("there is no room for a pass that waits".to_owned())),
        }
    }

    fn update(&mut self, update: &Update<'_>) -> Result<(), KernelError> {
        let memory = self
            .memory
            .get_or_insert_with(|| Memory::new(self.network.parameters()));
        if let Some(limit) = update.clip {
            let (_, gradients) = self.network.parameters_and_gradients();
            let factor = limit / (self.math.square_sum(gradients).sqrt() + 1e-12);
            // A norm that is no number must not pass for a small one.
            if factor < 1.0 || factor.is_nan() {
                self.math.scale(gradients, factor as f32);
            }
        }
        let ranges: Vec<_> = self.network.list().iter().map(Parameter::range).collect();
        let (parameters, gradients) = self.network.parameters_and_gradients();
        let mut place = 0;
        while place < ranges.len() {
            // Neighbours that are treated alike are one vector.
            let first = place;
            let (rate, updates) = (update.rates[first], self.updates[first]);
            while place < ranges.len() && (update.rates[place], self.updates[place]) == (rate, updates) {
                place += 1;
            }
            if rate == 0.0 {
                continue;
            }
            let range = ranges[first].start..ranges[place - 1].end;
            if updates.is_none() {
                memory.first[range.clone()].fill(0.0);
                memory.second[range.clone()].fill(0.0);
            }
            let updates = updates.unwrap_or(0) + 1;
            let values = &mut parameters[range.clone()];
            let moments = (&mut memory.first[range.clone()], &mut memory.second[range.clone()]);
            self.math
                .adam(&update.adam, rate, updates, values, &gradients[range], moments);
            self.updates[first..place].fill(Some(updates));
        }
        self.math.average(&mut memory.average, parameters, update.average_rate);
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot, KernelError> {
        let moments = |(parameter, updates): (&Parameter, &Option<u64>)| {
            let (memory, updates) = (self.memory.as_ref()?, (*updates)?);
            Some(Moments {
                first: memory.first[parameter.range()].to_vec(),
                second: memory.second[parameter.range()].to_vec(),
                updates,
            })
        };
        let raw = self.network.parameters().to_vec();
        Ok(Snapshot {
            average: self
                .memory
                .as_ref()
                .map_or(raw.clone(), |memory| memory.average.clone()),
            moments: self.network.list().iter().zip(&self.updates).map(moments).collect(),
            raw,
        })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), KernelError> {
        self.network.parameters_mut().copy_from_slice(&snapshot.raw);
        let memory = self.memory.get_or_insert_with(|| Memory::new(&snapshot.raw));
        memory.average.copy_from_slice(&snapshot.average);
        let places = self.network.list().iter().zip(&mut self.updates).zip(&snapshot.moments);
        for ((parameter, updates), moments) in places {
            *updates = moments.as_ref().map(|moments| moments.updates);
            if let Some(moments) = moments {
                memory.first[parameter.range()].copy_from_slice(&moments.first);
                memory.second[parameter.range()].copy_from_slice(&moments.second);
            }
        }
        Ok(())
    }
}
