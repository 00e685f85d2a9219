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

use common::{Options, measure, preset, random_values, random_weights};
use factorseg_kernels::{PlanOptions, SegmentationPlan, Threads};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

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
    let arithmetic = options.arithmetic()?;

    let mut state = 1;
    let parameters = architecture.parameters().into_iter();
    let weights: HashMap<String, (Vec<f32>, Vec<usize>)> = parameters
        .filter(|parameter| !parameter.name.starts_with("decoder."))
        .map(|parameter| {
            let values = random_weights(&parameter, &mut state);
            (parameter.name, (values, parameter.shape))
        })
        .collect();
    let lookup = |name: &str| {
        weights
            .get(name)
            .map(|(values, shape)| (values.as_slice(), shape.as_slice()))
    };
    let start = Instant::now();
    let threads = Threads::new(thread_count)?;
    let planned = PlanOptions {
        batch,
        threads,
        instructions,
        arithmetic,
        ..PlanOptions::new(height, width)
    };
    let mut plan = SegmentationPlan::compile(&architecture, lookup, planned)?;
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
