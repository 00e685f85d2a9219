use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::*;
use crate::data::batch::{MicroBatch, normal};
use crate::data::order::{Stream, random};
use crate::training::testing::{config, scrambled};
use factorseg_model::{ModelConfig, Precision};

/// Ranks that are threads: each puts its values on the table, and takes what it needs of all.
struct Threads {
    rank: usize,
    table: Arc<(Barrier, Mutex<Vec<Vec<f64>>>)>,
}

impl Threads {
    fn all(&self, own: Vec<f64>) -> Vec<Vec<f64>> {
        let (barrier, table) = &*self.table;
        table.lock().unwrap()[self.rank] = own;
        barrier.wait();
        let all = table.lock().unwrap().clone();
        barrier.wait();
        all
    }
}

impl World for Threads {
    fn sum(&self, values: &mut [f32]) {
        let all = self.all(values.iter().map(|value| f64::from(*value)).collect());
        for (index, value) in values.iter_mut().enumerate() {
            *value = all.iter().map(|values| values[index] as f32).sum();
        }
    }

    fn sum_exactly(&self, values: &mut [f64]) {
        let all = self.all(values.to_vec());
        for (index, value) in values.iter_mut().enumerate() {
            *value = all.iter().map(|values| values[index]).sum();
        }
    }

    fn broadcast(&self, bytes: &mut [u8]) {
        let first = &self.all(bytes.iter().map(|byte| f64::from(*byte)).collect())[0];
        for (byte, value) in bytes.iter_mut().zip(first) {
            *byte = *value as u8;
        }
    }

    fn abort(&self) -> ! {
        panic!("a test's panic")
    }

    fn name(&self) -> String {
        "threads".to_owned()
    }
}

/// Runs `work` as each of `count` ranks; what they give, by rank.
fn ranks<T: Send>(count: usize, work: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
    let table = Arc::new((Barrier::new(count), Mutex::new(vec![Vec::new(); count])));
    thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = (0..count)
            .map(|rank| {
                let table = table.clone();
                scope.spawn(move || {
                    let share = Share { index: rank, count };
                    work(&Ranks {
                        share,
                        local: share,
                        world: Some(Box::new(Threads { rank, table })),
                        by_devices: Cell::new(false),
                    })
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Three ranks, for four micro-batches and for two: one has none.
#[test]
fn ranks_learn_as_one_process_does() {
    let model = ModelConfig { classes: 0, ..config() };
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.batch_size = 4;
    recipe.micro_batch = Some(1);
    recipe.adam.epsilon = 1e-4;
    recipe.phases.remove(0);
    (recipe.phases[0].warmup_steps, recipe.phases[0].learning_rate) = (0, 1e-3);
    // A fresh network predicts 0, whatever its masks.
    let weights = scrambled(&model, false);
    let train = |ranks: &Ranks, parts: u64| {
        let mut learner = Learner::new(&model, &recipe, 1, &weights, Device::Cpu, 1, Precision::F32).unwrap();
        learner.enter(0, &recipe.phases[0]).unwrap();
        let mut told = Vec::new();
        for step in 0..3 {
            let batch = batch(step, parts, ranks.share);
            let outcome = ranks.step(&mut learner, &batch, &recipe, 0, step).unwrap();
            told.push((outcome.loss, outcome.masks.map(|masks| masks.figures().entropy)));
        }
        (learner.parameters().unwrap(), told)
    };
    for parts in [4, 2] {
        let (expected, told) = train(&Ranks::alone(), parts);
        let moved = expected
            .iter()
            .zip(&weights)
            .filter(|(now, start)| (*now - *start).abs() > 1e-4);
        assert!(moved.count() > weights.len() / 10);
        let found = ranks(3, |ranks| train(ranks, parts));
        for (rank, (values, of_rank)) in found.iter().enumerate() {
            assert!(*values == found[0].0, "rank {rank} has weights of its own");
            for ((loss, _), (expected, _)) in of_rank.iter().zip(&told) {
                assert!((loss - expected).abs() < 1e-5 * expected, "{loss} {expected}");
            }
        }
        let largest = found[0].0.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(largest.fold(0.0, f32::max) < 1e-5);
        // Rank 0, which writes the log, has the last micro-batch.
        for ((_, found), (_, expected)) in found[0].1.iter().zip(&told) {
            assert!((found.unwrap() - expected.unwrap()).abs() < 1e-4);
        }
    }
}

fn batch(step: u64, parts: u64, share: Share) -> Batch {
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
    let range = share.range(parts as usize);
    Batch {
        step,
        first: range.start,
        parts: range.map(|index| part(index as u64)).collect(),
    }
}

#[test]
fn ranks_take_over_what_the_first_has() {
    let told = ranks(3, |ranks| {
        let unlike = ranks.unlike(|| Ok::<_, ()>([7, 8, 7][ranks.share.index])).unwrap();
        let bytes = ranks.from_lead(|| Ok::<_, ()>(vec![1, 2, 3]));
        (unlike, bytes, ranks.any(ranks.share.index == 2), ranks.any(false))
    });
    assert!(told.iter().all(|one| *one == (vec![1], Ok(vec![1, 2, 3]), true, false)));
    assert!(Ranks::alone().any(true) && Ranks::alone().unlike(|| Ok::<_, ()>(1)).unwrap().is_empty());
    // A machine's cores are shared out, and what is asked for is had.
    let threads = ranks(2, |ranks| (ranks.threads(0), ranks.threads(5)));
    assert!(threads.iter().all(|(shared, asked)| *shared >= 1 && *asked == 5));
}
