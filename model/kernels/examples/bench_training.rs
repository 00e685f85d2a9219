//! Times a training pass, forward and backward, with random weights.
//!
//! ```text
//! cargo run --release -p factorseg-kernels --example bench_training -- --preset tiny --masks uniform --regions 3
//! ```
//!
//! `--masks uniform` is the step without a mask generator, `--masks learned` the whole network with a softmax between
//! logits and masks. The last line printed is `milliseconds <preset> <masks> <regions> <batch> <threads> <minimum>
//! <median> <processor>`, as of the example `bench`.

use factorseg_kernels::{Architecture, InstructionSet, Masks, Threads, TrainingNetwork, TrainingOptions};
use std::time::Instant;

fn preset(name: &str, regions: usize) -> Option<(Architecture, usize)> {
    let sizes = |base_channels, levels: usize, residual_blocks, attention: &[usize], attention_heads, norm_groups| {
        Architecture {
            base_channels,
            channel_multipliers: (1..=levels).collect(),
            residual_blocks,
            attention_levels: (0..levels).map(|level| attention.contains(&level)).collect(),
            attention_heads,
            norm_groups,
            regions,
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

/// Softmax over the regions of [batch, regions, pixels].
fn softmax(values: &mut [f32], regions: usize, pixels: usize) {
    for item in values.chunks_exact_mut(regions * pixels) {
        for pixel in 0..pixels {
            let mut total = 0.0;
            for region in 0..regions {
                let value = &mut item[region * pixels + pixel];
                *value = value.exp();
                total += *value;
            }
            for region in 0..regions {
                item[region * pixels + pixel] /= total;
            }
        }
    }
}

/// From the gradient by the masks to that by the logits, in place.
fn softmax_gradient(masks: &[f32], slopes: &mut [f32], regions: usize, pixels: usize) {
    for (masks, slopes) in masks
        .chunks_exact(regions * pixels)
        .zip(slopes.chunks_exact_mut(regions * pixels))
    {
        for pixel in 0..pixels {
            let at = |region: usize| region * pixels + pixel;
            let mean: f32 = (0..regions).map(|region| masks[at(region)] * slopes[at(region)]).sum();
            for region in 0..regions {
                slopes[at(region)] = masks[at(region)] * (slopes[at(region)] - mean);
            }
        }
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
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: &str| {
        let place = arguments.iter().position(|argument| argument == name);
        place
            .and_then(|place| arguments.get(place + 1))
            .map_or(default.to_owned(), Clone::clone)
    };
    let sets = InstructionSet::available();
    if arguments.iter().any(|argument| argument == "--help") {
        let names: Vec<&str> = sets.iter().map(|set| set.name()).collect();
        println!("bench_training [--preset tiny|small|paper-64] [--masks uniform|learned] [--regions K] [--batch N]");
        println!("      [--threads N] [--seconds S] [--isa {}]", names.join("|"));
        return Ok(());
    }
    let name = option("--preset", "tiny");
    let regions: usize = option("--regions", "3").parse()?;
    let (architecture, side) = preset(&name, regions).ok_or("the preset is tiny, small or paper-64")?;
    let masks = option("--masks", "uniform");
    let learned = match masks.as_str() {
        "uniform" => false,
        "learned" => true,
        _ => return Err("--masks is uniform or learned".into()),
    };
    let batch: usize = option("--batch", "16").parse()?;
    let thread_count: usize = option("--threads", "1").parse()?;
    let seconds: f64 = option("--seconds", "5").parse()?;
    let isa = option("--isa", sets[0].name());
    let instructions = *sets
        .iter()
        .find(|set| set.name() == isa)
        .ok_or("this processor has no such instruction set")?;
    let options = TrainingOptions {
        classes: 0,
        height: side,
        width: side,
        batch,
        threads: Threads::new(thread_count)?,
        instructions,
    };
    let mut network = TrainingNetwork::new(&architecture, options)?;
    let mut state = 1;
    for parameter in network.list().to_vec() {
        let inputs: usize = match parameter.shape.as_slice() {
            [inputs, _] => *inputs,
            [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
            _ => 300,
        };
        let mut values = random_values(parameter.range().len(), (3.0 / inputs as f32).sqrt(), &mut state);
        if parameter.name.ends_with("gamma") {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        network.parameters_mut()[parameter.range()].copy_from_slice(&values);
    }
    let pixels = side * side;
    let input = random_values(batch * 3 * pixels, 1.7, &mut 9);
    let noise = random_values(batch * 3 * pixels, 1.7, &mut 11);
    let timesteps: Vec<f32> = (0..batch).map(|image| (1 + 61 * image % 1000) as f32).collect();
    let mut slopes = vec![0.0; noise.len()];
    let mut pass = || -> Result<f32, factorseg_kernels::KernelError> {
        network.parameters_mut(); // as after a step: weights are packed anew
        network.zero_gradients();
        network.encode(&input, &timesteps, None)?;
        let masks = learned.then(|| {
            let mut masks = network.mask_logits().to_vec();
            softmax(&mut masks, regions, pixels);
            masks
        });
        let predicted = network.decode(masks.as_deref().map_or(Masks::Uniform, Masks::Given), None)?;
        let mut loss = 0.0;
        for ((slope, predicted), noise) in slopes.iter_mut().zip(predicted).zip(&noise) {
            let error = predicted - noise;
            *slope = 2.0 * error / noise_count(batch, pixels);
            loss += error * error;
        }
        let mask_slopes = network.backward_decode(&slopes)?;
        if let Some(masks) = masks {
            let mut mask_slopes = mask_slopes.to_vec();
            softmax_gradient(&masks, &mut mask_slopes, regions, pixels);
            network.backward_masks(&mask_slopes)?;
        }
        network.backward_encode();
        Ok(loss)
    };
    for _ in 0..2 {
        let loss = pass()?;
        if !loss.is_finite() {
            return Err("the loss is not finite".into());
        }
    }
    let mut times = Vec::new();
    let busy = processor_time();
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds || times.len() < 3 {
        let start = Instant::now();
        pass()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let busy = busy
        .zip(processor_time())
        .map_or(0.0, |(before, after)| (after - before) / times.len() as f64);
    times.sort_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);
    println!("milliseconds {name} {masks} {regions} {batch} {thread_count} {least:.3} {median:.3} {busy:.3}");
    Ok(())
}

fn noise_count(batch: usize, pixels: usize) -> f32 {
    (batch * 3 * pixels) as f32
}
