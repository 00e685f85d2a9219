//! Times the segmentation pass with random weights.
//!
//! ```text
//! cargo run --release -p factorseg-kernels --example bench -- --preset small --batch 1 --threads 1 --seconds 5
//! ```
//!
//! The last line printed is `milliseconds <preset> <batch> <threads> <minimum> <median> <processor>`: milliseconds of
//! wall clock of the fastest and of the median pass, and mean milliseconds of processor time of a pass (0 where the
//! system does not tell), which other loads of the machine do not add to. `--steps` prints the time of each step, `--isa avx2` (or another of the names printed by `--help`) forces an instruction set, `--size WxH`
//! another image size than the preset's.

use factorseg_kernels::{Architecture, InstructionSet, PlanOptions, SegmentationPlan, Threads};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

fn preset(name: &str) -> Option<(Architecture, usize)> {
    let sizes = |base_channels, levels: usize, residual_blocks, attention: &[usize], attention_heads, norm_groups| {
        Architecture {
            base_channels,
            channel_multipliers: (1..=levels).collect(),
            residual_blocks,
            attention_levels: (0..levels).map(|level| attention.contains(&level)).collect(),
            attention_heads,
            norm_groups,
            regions: 3,
        }
    };
    match name {
        "tiny" => Some((sizes(16, 3, 1, &[2], 2, 8), 32)),
        "small" => Some((sizes(32, 4, 1, &[3], 2, 8), 64)),
        "paper-64" => Some((sizes(128, 4, 3, &[2, 3], 4, 32), 64)),
        _ => None,
    }
}

fn random_values(count: usize, scale: f32, state: &mut u64) -> Vec<f32> {
    (0..count)
        .map(|_| {
            *state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((*state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

/// Random weights under their checkpoint names.
struct RandomWeights {
    tensors: HashMap<String, (Vec<f32>, Vec<usize>)>,
    state: u64,
}

impl RandomWeights {
    fn add(&mut self, name: String, shape: &[usize], scale: f32, offset: f32) {
        let mut values = random_values(shape.iter().product(), scale, &mut self.state);
        values.iter_mut().for_each(|value| *value += offset);
        self.tensors.insert(name, (values, shape.to_vec()));
    }

    fn layer(&mut self, name: &str, shape: &[usize], inputs: usize, outputs: usize) {
        self.add(format!("{name}.weight"), shape, (3.0 / inputs as f32).sqrt(), 0.0);
        self.add(format!("{name}.bias"), &[outputs], 0.1, 0.0);
    }

    fn convolution(&mut self, name: &str, inputs: usize, outputs: usize, side: usize) {
        self.layer(name, &[outputs, inputs, side, side], inputs * side * side, outputs);
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.layer(name, &[inputs, outputs], inputs, outputs);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.add(format!("{name}.gamma"), &[channels], 0.1, 1.0);
        self.add(format!("{name}.beta"), &[channels], 0.1, 0.0);
    }

    fn residual(&mut self, name: &str, inputs: usize, outputs: usize, embedding: usize) {
        self.norm(&format!("{name}.norm_1"), inputs);
        self.convolution(&format!("{name}.conv_1"), inputs, outputs, 3);
        self.linear(&format!("{name}.embedding"), embedding, 2 * outputs);
        self.norm(&format!("{name}.norm_2"), outputs);
        self.convolution(&format!("{name}.conv_2"), outputs, outputs, 3);
        if inputs != outputs {
            self.convolution(&format!("{name}.skip"), inputs, outputs, 1);
        }
    }

    fn attention(&mut self, name: &str, channels: usize) {
        self.norm(&format!("{name}.norm"), channels);
        self.linear(&format!("{name}.qkv"), channels, 3 * channels);
        self.linear(&format!("{name}.project"), channels, channels);
    }

    fn block(&mut self, name: &str, inputs: usize, outputs: usize, embedding: usize, attention: bool) {
        self.residual(&format!("{name}.residual"), inputs, outputs, embedding);
        if attention {
            self.attention(&format!("{name}.attention"), outputs);
        }
    }

    fn new(architecture: &Architecture) -> Self {
        let mut weights = Self {
            tensors: HashMap::new(),
            state: 1,
        };
        let base = architecture.base_channels;
        let channels: Vec<usize> = architecture
            .channel_multipliers
            .iter()
            .map(|factor| base * factor)
            .collect();
        let levels = channels.len();
        weights.convolution("encoder.conv_in", 3, base, 3);
        let mut skips = vec![base];
        let mut h = base;
        for (level, &outputs) in channels.iter().enumerate() {
            for block in 0..architecture.residual_blocks {
                let name = format!("encoder.levels.{level}.blocks.{block}");
                weights.block(&name, h, outputs, 4 * base, architecture.attention_levels[level]);
                h = outputs;
                skips.push(h);
            }
            if level + 1 < levels {
                weights.convolution(&format!("encoder.levels.{level}.downsample.conv"), h, h, 3);
                skips.push(h);
            }
        }
        weights.residual("middle.residual_1", h, h, 4 * base);
        weights.attention("middle.attention", h);
        weights.residual("middle.residual_2", h, h, 4 * base);
        for index in 0..levels {
            let level = levels - 1 - index;
            for block in 0..=architecture.residual_blocks {
                let name = format!("mask_generator.levels.{index}.blocks.{block}");
                let inputs = h + skips.pop().unwrap_or(0);
                weights.block(
                    &name,
                    inputs,
                    channels[level],
                    4 * base,
                    architecture.attention_levels[level],
                );
                h = channels[level];
            }
            if level > 0 {
                weights.convolution(&format!("mask_generator.levels.{index}.upsample.conv"), h, h, 3);
            }
        }
        weights.norm("mask_generator.norm_out", h);
        weights.convolution("mask_generator.conv_out", h, architecture.regions, 3);
        weights
    }
}

/// Processor time of this process so far, in milliseconds, where the system tells.
fn processor_time() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e6)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: &str| {
        let place = arguments.iter().position(|argument| argument == name);
        place
            .and_then(|place| arguments.get(place + 1))
            .map_or(default.to_owned(), Clone::clone)
    };
    let sets = InstructionSet::available();
    if arguments.iter().any(|argument| argument == "--help") {
        let names: Vec<&str> = sets.iter().map(|set| set.name()).collect();
        println!("bench [--preset tiny|small|paper-64] [--batch N] [--threads N] [--seconds S] [--size WxH] [--steps]");
        println!("      [--isa {}]", names.join("|"));
        return Ok(());
    }
    let name = option("--preset", "small");
    let (architecture, side) = preset(&name).ok_or("the preset is tiny, small or paper-64")?;
    let batch: usize = option("--batch", "1").parse()?;
    let thread_count: usize = option("--threads", "1").parse()?;
    let seconds: f64 = option("--seconds", "5").parse()?;
    let size = option("--size", &format!("{side}x{side}"));
    let (width, height) = size.split_once('x').ok_or("--size is WIDTHxHEIGHT")?;
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let isa = option("--isa", sets[0].name());
    let instructions = *sets
        .iter()
        .find(|set| set.name() == isa)
        .ok_or("this processor has no such instruction set")?;

    let weights = RandomWeights::new(&architecture);
    let lookup = |name: &str| {
        weights
            .tensors
            .get(name)
            .map(|(values, shape)| (values.as_slice(), shape.as_slice()))
    };
    let embedding = random_values(4 * architecture.base_channels, 1.0, &mut 5);
    let start = Instant::now();
    let threads = Threads::new(thread_count)?;
    let options = PlanOptions {
        batch,
        threads,
        instructions,
        ..PlanOptions::new(height, width)
    };
    let mut plan = SegmentationPlan::compile(&architecture, lookup, &embedding, options)?;
    println!(
        "{name} {width}x{height}, {}: compiled in {:.2} s, weights {:.1} MB, activations {:.1} MB",
        instructions.name(),
        start.elapsed().as_secs_f64(),
        plan.weight_bytes() as f64 / 1e6,
        plan.activation_bytes() as f64 / 1e6,
    );
    let input = random_values(batch * 3 * height * width, 1.7, &mut 9);
    let mut output = vec![0.0; batch * architecture.regions * height * width];
    for _ in 0..2 {
        plan.run(&input, &mut output)?;
    }
    if arguments.iter().any(|argument| argument == "--steps") {
        // The least of several passes for each step: other loads of the machine only add.
        let least: RefCell<Vec<(String, Duration)>> = RefCell::default();
        for pass in 0..20 {
            let mut times = Vec::new();
            plan.run_timed(&input, &mut output, |name, time| times.push((name.to_owned(), time)))?;
            let mut least = least.borrow_mut();
            if pass == 0 {
                *least = times;
            } else {
                for (least, time) in least.iter_mut().zip(times) {
                    least.1 = least.1.min(time.1);
                }
            }
        }
        let least = least.into_inner();
        for (name, time) in &least {
            println!("{:9.3} ms  {name}", time.as_secs_f64() * 1e3);
        }
        println!(
            "{:9.3} ms  sum",
            least.iter().map(|step| step.1).sum::<Duration>().as_secs_f64() * 1e3
        );
    }
    let mut times = Vec::new();
    let busy = processor_time();
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds || times.len() < 3 {
        let start = Instant::now();
        plan.run(&input, &mut output)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let busy = busy
        .zip(processor_time())
        .map_or(0.0, |(before, after)| (after - before) / times.len() as f64);
    times.sort_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);
    println!("milliseconds {name} {batch} {thread_count} {least:.3} {median:.3} {busy:.3}");
    Ok(())
}
