//! Times a training pass, forward and backward, with random weights.
//!
//! ```text
//! cargo run --release -p factorseg-kernels --example bench_training -- --preset tiny --masks uniform --regions 3
//! ```
//!
//! `--masks uniform` is the step without a mask generator, `--masks learned` the whole network with a softmax between
//! logits and masks. The last line printed is `milliseconds <preset> <masks> <regions> <batch> <threads> <minimum>
//! <median> <processor>`, as of the example `bench`.

mod common;

use common::{Options, measure, preset, random_values, random_weights};
use factorseg_kernels::{Masks, Threads, TrainingNetwork, TrainingOptions};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::new();
    if options.flag("--help") {
        println!("bench_training [--preset tiny|small|paper-64] [--masks uniform|learned] [--regions K] [--batch N]");
        println!(
            "      [--threads N] [--seconds S] [--precision f32|bf16] [--isa {}]",
            Options::instruction_names()
        );
        return Ok(());
    }
    let name = options.word("--preset", "tiny");
    let regions: usize = options.number("--regions", "3")?;
    let (architecture, side) = preset(&name, regions)?;
    let masks = options.word("--masks", "uniform");
    let learned = match masks.as_str() {
        "uniform" => false,
        "learned" => true,
        _ => return Err("--masks is uniform or learned".into()),
    };
    let batch: usize = options.number("--batch", "16")?;
    let thread_count: usize = options.number("--threads", "1")?;
    let seconds: f64 = options.number("--seconds", "5")?;
    let instructions = options.instructions()?;
    let arithmetic = options.arithmetic()?;
    let planned = TrainingOptions {
        height: side,
        width: side,
        batch,
        threads: Threads::new(thread_count)?,
        instructions,
        arithmetic,
    };
    let mut network = TrainingNetwork::new(&architecture, planned)?;
    let mut state = 1;
    for parameter in network.list().to_vec() {
        let values = random_weights(&parameter, &mut state);
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
        let predicted = network.decode(masks.as_deref().map_or(Masks::Uniform, Masks::Given))?;
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
    measure(
        &format!("{name} {masks} {regions} {batch} {thread_count}"),
        seconds,
        || {
            pass()?;
            Ok(())
        },
    )
}

fn noise_count(batch: usize, pixels: usize) -> f32 {
    (batch * 3 * pixels) as f32
}
