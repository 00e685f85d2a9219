//! The learner on the CPU, on a small network whose every weight is random. That a GPU's passes are the same is tested in
//! `factorseg-network`.

mod gradients;
mod phases;

use super::*;
use crate::data::batch::MicroBatch;
use crate::recipe::{Competition, MaskHead, SelfTraining};
use crate::training::parallel::Ranks;
use crate::training::testing::{config, learner, noise, scrambled};

fn recipe(mask_head: MaskHead) -> Recipe {
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.batch_size = 4;
    recipe.phases.truncate(1);
    recipe.phases[0].mask_head = mask_head;
    recipe.phases[0].warmup_steps = 0;
    recipe.phases[0].learning_rate = 1e-3;
    recipe
}

fn batch(parts: &[usize]) -> Batch {
    let values = noise(12, 2 * 4 * 192);
    let (noised, noise) = values.split_at(4 * 192);
    let mut first = 0;
    let parts = parts
        .iter()
        .map(|size| {
            let range = first * 192..(first + size) * 192;
            let part = MicroBatch {
                size: *size,
                noised: noised[range.clone()].to_vec(),
                noise: noise[range].to_vec(),
                timesteps: (first..first + size).map(|i| 10 + 200 * i as i32).collect(),
                classes: (first..first + size).map(|i| (i % 3) as i32).collect(),
                targets: Vec::new(),
            };
            first += size;
            part
        })
        .collect();
    Batch {
        step: 0,
        first: 0,
        parts,
    }
}

fn first_step(learner: &mut Learner, recipe: &Recipe, parts: &[usize]) -> f32 {
    let outcome = Ranks::alone().step(learner, &batch(parts), recipe, 0, 0).unwrap();
    outcome.loss
}

/// Gradients by parameter after one step: Adam's first moments start with a tenth of them.
fn gradients(learner: &Learner) -> Vec<(String, Option<Vec<f32>>)> {
    let names = learner.parameter_list().iter().map(|one| one.name.clone());
    let moments = learner.snapshot().unwrap().moments;
    names
        .zip(
            moments
                .into_iter()
                .map(|moments| moments.map(|m| m.first.iter().map(|g| g * 10.0).collect())),
        )
        .collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// The norm of the difference against the norm itself; what is nothing beside `whole` is rounding.
fn assert_same(name: &str, a: &[f32], b: &[f32], relative: f64, whole: f64) {
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let (difference, size) = (norm(&difference), norm(b));
    assert!(
        difference < relative * size + 1e-5 * whole,
        "{name}: {difference:e} of {size:e}, all {whole:e}"
    );
}

fn whole(gradients: &[(String, Option<Vec<f32>>)]) -> f64 {
    gradients
        .iter()
        .flat_map(|(_, g)| g)
        .map(|g| norm(g).powi(2))
        .sum::<f64>()
        .sqrt()
}
