use super::*;
use crate::data::batch::{MicroBatch, normal};
use crate::data::order::{Stream, random};
use crate::training::testing::{config, scrambled};
use factorseg_model::Device;
use factorseg_model::Preset;

/// Three devices: the weights that one learner reaches alone.
#[test]
fn replicas_and_lead_learn_as_one_learner_does() {
    let model = ModelConfig { classes: 0, ..config() };
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.batch_size = 4;
    recipe.micro_batch = Some(1);
    recipe.adam.epsilon = 1e-4;
    recipe.phases.remove(0);
    (recipe.phases[0].warmup_steps, recipe.phases[0].learning_rate) = (0, 1e-3);
    // A fresh network predicts 0, whatever its masks.
    let weights = scrambled(&model, false);
    let learner = || Learner::new(&model, &recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
    {
        let replica = || {
            let (mut learner, recipe) = (learner(), recipe.clone());
            Replica::spawn("cpu".into(), move |job| {
                job.run(&mut learner, &recipe).map_err(|e| e.to_string())
            })
            .unwrap()
        };
        let mut parallel = DataParallel {
            replicas: vec![replica(), replica()],
            leads: true,
        };
        let (mut lead, mut alone) = (learner(), learner());
        for learner in [&mut lead, &mut alone] {
            learner.enter(0, &recipe.phases[0]);
        }
        for step in 0..3 {
            let outcome = parallel.step(&mut lead, batch(step), &recipe, 0, step).unwrap();
            let expected = alone.step(&batch(step), &recipe, &recipe.phases[0], step).unwrap();
            let (a, b) = (outcome.loss, expected.loss);
            assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
            let figures = [outcome.masks, expected.masks].map(|masks| masks.unwrap().figures());
            let difference = (figures[0].entropy - figures[1].entropy).abs();
            assert!(difference < 1e-4, "step {step}: {figures:?}");
        }
        let (a, b) = (lead.parameters(), alone.parameters());
        let largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-5 && network_moved(&b, &learner()), "{largest}");
    }
}

fn network_moved(now: &[f32], start: &Learner) -> bool {
    let moved = now
        .iter()
        .zip(start.parameters())
        .filter(|(now, start)| (*now - start).abs() > 1e-4);
    moved.count() > now.len() / 10
}

fn batch(step: u64) -> Batch {
    let part = |index: u64| {
        let mut random = random(12, Stream::Sample, 4 * step + index);
        let mut values = || {
            let mut values = Vec::new();
            normal(&mut random, 192, &mut values);
            values
        };
        MicroBatch {
            size: 1,
            noised: values(),
            noise: values(),
            timesteps: vec![20 + 10 * index as i32],
            classes: Vec::new(),
            targets: Vec::new(),
        }
    };
    Batch {
        step,
        parts: (0..4).map(part).collect(),
    }
}

/// A failure of a replica leaves the lead where it was.
#[test]
fn a_failed_step_changes_nothing() {
    let model = ModelConfig {
        image_size: 8,
        ..ModelConfig::preset(Preset::Tiny)
    };
    let mut recipe = Recipe::load("two-phase").unwrap();
    (recipe.batch_size, recipe.micro_batch) = (4, Some(1));
    let weights = initial_weights(&model, 1);
    let mut lead = Learner::new(&model, &recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
    let before = lead.snapshot();
    let failing: [fn(Job) -> Result<Share, String>; 2] = [|_| Err("no power".into()), |_| panic!("a test's panic")];
    for (work, reason) in failing.into_iter().zip(["no power", "its thread has ended"]) {
        let mut parallel = DataParallel {
            replicas: vec![Replica::spawn("cuda:7".into(), work).unwrap()],
            leads: true,
        };
        let error = parallel.step(&mut lead, batch(0), &recipe, 0, 0).unwrap_err();
        assert!(error.is::<ReplicaError>());
        assert_eq!(error.to_string(), format!("cuda:7: {reason}"));
        assert!(lead.snapshot() == before);
    }
}

#[test]
fn parts_are_shared_out_evenly_and_completely() {
    for (parts, members, expected) in [(8, 2, vec![4, 4]), (7, 3, vec![3, 2, 2]), (1, 3, vec![1, 0, 0])] {
        assert_eq!(shares(parts, members).collect::<Vec<_>>(), expected);
    }
}
