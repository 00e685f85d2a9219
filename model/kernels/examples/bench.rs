//! Times the segmentation pass with random weights.
//!
//! ```text
//! cargo run --release -p factorseg-kernels --example bench -- --preset small --batch 1 --threads 1 --seconds 5
//! ```
//!
//! The last line printed is `milliseconds <preset> <batch> <threads> <minimum> <median> <processor>`: milliseconds of
//! wall clock of the fastest and of the median pass, and mean milliseconds of processor time of a pass (0 where the
//! system does not tell), which other loads of the machine do not add to. `--steps` prints the time of each step,
//! `--isa avx2` (or another of the names printed by `--help`) forces an instruction set, `--precision bf16` multiplies
//! in bfloat16, `--size WxH` sets another image size than the preset's.

mod common;

use common::{Options, measure, preset, random_values};
use factorseg_kernels::{Architecture, Arithmetic, PlanOptions, SegmentationPlan, Threads};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::new();
    if options.flag("--help") {
        println!("bench [--preset tiny|small|paper-64] [--batch N] [--threads N] [--seconds S] [--size WxH] [--steps]");
        println!("      [--precision f32|bf16] [--isa {}]", Options::instruction_names());
        return Ok(());
    }
    let name = options.word("--preset", "small");
    let (architecture, side) = preset(&name, 3)?;
    let batch: usize = options.number("--batch", "1")?;
    let thread_count: usize = options.number("--threads", "1")?;
    let seconds: f64 = options.number("--seconds", "5")?;
    let size = options.word("--size", &format!("{side}x{side}"));
    let (width, height) = size.split_once('x').ok_or("--size is WIDTHxHEIGHT")?;
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let instructions = options.instructions()?;
    let arithmetic = match options.word("--precision", "f32").as_str() {
        "f32" => Arithmetic::F32,
        "bf16" => Arithmetic::Bf16,
        _ => return Err("--precision is f32 or bf16".into()),
    };

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
    let planned = PlanOptions {
        batch,
        threads,
        instructions,
        arithmetic,
        ..PlanOptions::new(height, width)
    };
    let mut plan = SegmentationPlan::compile(&architecture, lookup, &embedding, planned)?;
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
    if options.flag("--steps") {
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
    measure(&format!("{name} {batch} {thread_count}"), seconds, || {
        Ok(plan.run(&input, &mut output)?)
    })
}
