//! The training network against PyTorch: losses and gradients of the fixtures that
//! `tests/reference/make_training_fixture.py` computes in float64.

use factorseg_kernels::{
    Architecture, Arithmetic, InstructionSet, KernelError, Learned, Masks, Threads, TrainingNetwork, TrainingOptions,
};
use safetensors::SafeTensors;
use std::collections::HashMap;

mod common;

use common::{File, words};

/// As in the script.
const TEMPERATURE: f32 = 0.7;

struct Fixture {
    tensors: HashMap<String, Vec<f32>>,
    classes: Option<Vec<i32>>,
    size: (usize, usize),
    architecture: Architecture,
}

fn load(name: &str) -> Fixture {
    let file = File::fixture(name);
    let (mut tensors, mut classes, mut size) = (HashMap::new(), None, (0, 0));
    for (name, view) in SafeTensors::deserialize(&file.bytes).unwrap().tensors() {
        let words = words(view.data());
        if name == "fixture.x_t" {
            size = (view.shape()[2], view.shape()[3]);
        }
        if view.dtype() == safetensors::Dtype::F32 {
            tensors.insert(name, words.map(f32::from_le_bytes).collect());
        } else {
            classes = Some(words.map(i32::from_le_bytes).collect());
        }
    }
    Fixture {
        tensors,
        classes,
        size,
        architecture: file.architecture(),
    }
}

impl Fixture {
    fn network(&self, batch: usize, threads: usize, instructions: InstructionSet) -> TrainingNetwork {
        self.network_in(batch, threads, instructions, Arithmetic::F32)
    }

    fn network_in(
        &self,
        batch: usize,
        threads: usize,
        instructions: InstructionSet,
        arithmetic: Arithmetic,
    ) -> TrainingNetwork {
        let options = TrainingOptions {
            height: self.size.0,
            width: self.size.1,
            batch,
            threads: Threads::new(threads).unwrap(),
            instructions,
            arithmetic,
        };
        let mut network = TrainingNetwork::new(&self.architecture, options).unwrap();
        assert_eq!(network.list(), self.architecture.parameters());
        let list = network.list().to_vec();
        for parameter in list {
            network.parameters_mut()[parameter.range()].copy_from_slice(&self.tensors[&parameter.name]);
        }
        network
    }

    fn images(&self) -> usize {
        self.tensors["fixture.timestep"].len()
    }

    /// Forward and backward of some of the images; returns their summed squared error and leaves the gradients of the
    /// whole fixture's mean.
    fn pass(&self, network: &mut TrainingNetwork, kind: &str, images: std::ops::Range<usize>) -> f64 {
        let part = |name: &str| {
            let all = &self.tensors[name];
            let one = all.len() / self.images();
            &all[images.start * one..images.end * one]
        };
        let classes = self.classes.as_ref().map(|classes| &classes[images.clone()]);
        network
            .encode(part("fixture.x_t"), part("fixture.timestep"), classes)
            .unwrap();
        let (regions, pixels) = (self.architecture.regions, self.size.0 * self.size.1);
        let masks = (kind == "softmax").then(|| {
            let mut masks = network.mask_logits().to_vec();
            for masks in masks.chunks_exact_mut(regions * pixels) {
                softmax(masks, pixels);
            }
            masks
        });
        let wanted = masks.as_deref().map_or(Masks::Uniform, Masks::Given);
        let predicted = network.decode(wanted).unwrap();
        let count = self.tensors["fixture.noise"].len() as f32;
        let errors: Vec<f32> = predicted
            .iter()
            .zip(part("fixture.noise"))
            .map(|(predicted, noise)| predicted - noise)
            .collect();
        let slopes: Vec<f32> = errors.iter().map(|error| 2.0 * error / count).collect();
        let mask_slopes = network.backward_decode(&slopes).unwrap().to_vec();
        if let Some(masks) = masks {
            let mut slopes = mask_slopes;
            let items = slopes
                .chunks_exact_mut(regions * pixels)
                .zip(masks.chunks_exact(regions * pixels));
            for (slopes, masks) in items {
                softmax_gradient(masks, slopes, pixels);
            }
            network.backward_masks(&slopes).unwrap();
        }
        network.backward_encode();
        errors.iter().map(|error| f64::from(error * error)).sum()
    }

    /// Holds loss and gradients against the reference.
    fn compare(&self, network: &TrainingNetwork, kind: &str, squares: f64, what: &str) {
        let loss = squares / self.tensors["fixture.noise"].len() as f64;
        let expected = f64::from(self.tensors[&format!("{kind}.loss")][0]);
        assert!(
            (loss - expected).abs() < 1e-5 * expected,
            "{what}: loss {loss} for {expected}"
        );
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let all: f64 = network
            .list()
            .iter()
            .map(|parameter| norm(&self.tensors[&format!("{kind}.{}", parameter.name)]).powi(2))
            .sum::<f64>()
            .sqrt();
        let mut worst = (0.0, "");
        for parameter in network.list() {
            let expected = &self.tensors[&format!("{kind}.{}", parameter.name)];
            let found = &network.gradients()[parameter.range()];
            let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
            // Gradients that are zero but for rounding have no relative error.
            let relative = norm(&difference) / (norm(expected) + 1e-4 * all);
            assert!(relative < 1e-4, "{what}: {} is off by {relative:e}", parameter.name);
            if relative > worst.0 {
                worst = (relative, &parameter.name);
            }
        }
        println!("{what}: worst {:e} at {}", worst.0, worst.1);
    }
}

fn softmax(masks: &mut [f32], pixels: usize) {
    let regions = masks.len() / pixels;
    for pixel in 0..pixels {
        let at = |region: usize| region * pixels + pixel;
        let values: Vec<f32> = (0..regions)
            .map(|region| (masks[at(region)] / TEMPERATURE).exp())
            .collect();
        let total: f32 = values.iter().sum();
        for (region, value) in values.iter().enumerate() {
            masks[at(region)] = value / total;
        }
    }
}

/// From the gradient by the masks to that by the logits.
fn softmax_gradient(masks: &[f32], slopes: &mut [f32], pixels: usize) {
    let regions = masks.len() / pixels;
    for pixel in 0..pixels {
        let at = |region: usize| region * pixels + pixel;
        let mean: f32 = (0..regions).map(|region| masks[at(region)] * slopes[at(region)]).sum();
        for region in 0..regions {
            slopes[at(region)] = masks[at(region)] * (slopes[at(region)] - mean) / TEMPERATURE;
        }
    }
}

#[test]
fn losses_and_gradients_equal_pytorchs() {
    for (name, kinds) in [
        ("training_conditional", &["softmax", "uniform"][..]),
        ("training_unconditional", &["softmax"][..]),
        ("training_residual", &["softmax"][..]),
        ("training_concatenated", &["softmax", "uniform"][..]),
        ("training_masked-middle", &["softmax", "uniform"][..]),
        ("training_unshared", &["softmax", "uniform"][..]),
    ] {
        let fixture = load(name);
        for instructions in InstructionSet::available() {
            let mut network = fixture.network(fixture.images(), 1, instructions);
            for kind in kinds {
                network.zero_gradients();
                let squares = fixture.pass(&mut network, kind, 0..fixture.images());
                fixture.compare(
                    &network,
                    kind,
                    squares,
                    &format!("{name} {kind} {}", instructions.name()),
                );
            }
        }
    }
}

/// Products of bfloat16 leave the gradients' direction: of the whole network, and of each parameter whose gradient is not
/// next to nothing.
#[test]
fn bf16_gradients_point_where_pytorchs_do() {
    for (name, kinds) in [
        ("training_conditional", &["softmax", "uniform"][..]),
        ("training_residual", &["softmax"][..]),
        ("training_concatenated", &["softmax"][..]),
        ("training_masked-middle", &["softmax"][..]),
        ("training_unshared", &["softmax"][..]),
    ] {
        let fixture = load(name);
        for instructions in InstructionSet::available() {
            if !instructions.computes_bf16() {
                let options = fixture.network(1, 1, instructions).options().clone();
                let refused = TrainingNetwork::new(
                    &fixture.architecture,
                    TrainingOptions {
                        arithmetic: Arithmetic::Bf16,
                        ..options
                    },
                );
                assert!(matches!(refused, Err(KernelError::Arithmetic { .. })));
                continue;
            }
            for kind in kinds {
                let mut network = fixture.network_in(fixture.images(), 1, instructions, Arithmetic::Bf16);
                let squares = fixture.pass(&mut network, kind, 0..fixture.images());
                let loss = squares / fixture.tensors["fixture.noise"].len() as f64;
                let expected = f64::from(fixture.tensors[&format!("{kind}.loss")][0]);
                let loss = (loss - expected).abs() / expected;
                let (mut all, mut worst) = ([0.0; 3], (1.0, ""));
                let total: f64 = network
                    .list()
                    .iter()
                    .map(|parameter| products(&fixture.tensors[&format!("{kind}.{}", parameter.name)], &[])[0])
                    .sum();
                for parameter in network.list() {
                    let expected = &fixture.tensors[&format!("{kind}.{}", parameter.name)];
                    let part = products(expected, &network.gradients()[parameter.range()]);
                    all = [0, 1, 2].map(|index| all[index] + part[index]);
                    if part[0] > 1e-6 * total && cosine(part) < worst.0 {
                        worst = (cosine(part), &parameter.name);
                    }
                }
                let (cosine, length) = (cosine(all), (all[1] / all[0]).sqrt());
                let what = format!("{name} {kind} {}", instructions.name());
                println!(
                    "{what}: loss off by {loss:.1e}, cosine {cosine:.5}, length {length:.4}, least {:.4} at {}",
                    worst.0, worst.1
                );
                assert!(loss < 0.01 && cosine > 0.995 && (length - 1.0).abs() < 0.05, "{what}");
                assert!(worst.0 > 0.85, "{what}: {} at {}", worst.0, worst.1);
                // Rounded at all.
                assert!(cosine < 1.0 - 1e-7, "{what}");
            }
        }
    }
}

/// Of two vectors: squared lengths, and the product.
fn products(expected: &[f32], found: &[f32]) -> [f64; 3] {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    [
        product(expected, expected),
        product(found, found),
        product(expected, found),
    ]
}

fn cosine([expected, found, product]: [f64; 3]) -> f64 {
    product / (expected * found).sqrt()
}

/// One image after another, in a network built for more, gives the gradients of the whole batch.
#[test]
fn gradients_add_up_over_micro_batches() {
    for name in ["training_conditional", "training_residual"] {
        let fixture = load(name);
        let mut network = fixture.network(2, 1, InstructionSet::detect());
        let mut squares = 0.0;
        for image in 0..fixture.images() {
            squares += fixture.pass(&mut network, "softmax", image..image + 1);
        }
        fixture.compare(&network, "softmax", squares, "micro-batches");
    }
}

#[test]
fn results_do_not_depend_on_threads_or_on_what_ran_before() {
    let mut sets = vec![(InstructionSet::detect(), Arithmetic::F32)];
    let rounding = InstructionSet::available().into_iter().find(|set| set.computes_bf16());
    sets.extend(rounding.map(|set| (set, Arithmetic::Bf16)));
    for name in ["training_conditional", "training_residual"] {
        let fixture = load(name);
        for &(set, arithmetic) in &sets {
            let gradients = |threads: usize, before: &[&str]| {
                let mut network = fixture.network_in(fixture.images(), threads, set, arithmetic);
                for kind in before {
                    fixture.pass(&mut network, kind, 0..2);
                }
                network.zero_gradients();
                let loss = fixture.pass(&mut network, "softmax", 0..fixture.images());
                (loss, network.gradients().to_vec())
            };
            let one = gradients(1, &[]);
            for (threads, before) in [(2, &[][..]), (3, &["uniform"]), (1, &["softmax", "uniform"])] {
                assert!(
                    one == gradients(threads, before),
                    "{name}, {arithmetic:?}: {threads} threads after {before:?}"
                );
            }
        }
    }
}

/// A pass through the mask generator waits while another one goes through the decoder and back.
#[test]
fn a_pass_may_wait_for_another_before_it_is_backward() {
    let fixture = load("training_conditional");
    let pixels = fixture.size.0 * fixture.size.1;
    let slopes: Vec<f32> = (0..fixture.architecture.regions * pixels)
        .map(|i| (i as f32 * 0.7).sin())
        .collect();
    let encode = |network: &mut TrainingNetwork| {
        let classes = fixture.classes.as_ref().map(|classes| &classes[1..2]);
        let x_t = &fixture.tensors["fixture.x_t"][3 * pixels..6 * pixels];
        network
            .encode(x_t, &fixture.tensors["fixture.timestep"][1..2], classes)
            .unwrap();
        network.mask_logits().to_vec()
    };
    let mut network = fixture.network(2, 1, InstructionSet::detect());
    fixture.pass(&mut network, "uniform", 0..2);
    let logits = encode(&mut network);
    network.backward_masks(&slopes).unwrap();
    network.backward_encode();
    let expected = network.gradients().to_vec();

    network.zero_gradients();
    let mut kept = network.kept_pass(1);
    // Twice, so that what is left of the first time is found.
    for _ in 0..2 {
        network.zero_gradients();
        network
            .within(&mut kept, |network| {
                assert_eq!(encode(network), logits);
                Ok(())
            })
            .unwrap();
        fixture.pass(&mut network, "uniform", 0..2);
        network
            .within(&mut kept, |network| {
                network.backward_masks(&slopes)?;
                network.backward_encode();
                Ok(())
            })
            .unwrap();
        assert!(network.gradients() == expected);
    }
    // There is room for one image in there, and for two again where that fails.
    let two = &fixture.tensors["fixture.x_t"][..6 * pixels];
    let pair = |network: &mut TrainingNetwork| network.encode(two, &[3.0, 4.0], None);
    assert!(network.within(&mut kept, pair).is_err());
    pair(&mut network).unwrap();
    let wider = Architecture {
        base_channels: 2 * fixture.architecture.base_channels,
        ..fixture.architecture.clone()
    };
    let mut wider = TrainingNetwork::new(&wider, network.options().clone()).unwrap();
    let other = wider.within(&mut kept, |_| Ok(()));
    assert!(matches!(other, Err(KernelError::Size(_))));
}

/// A part that learns alone has the gradients that it has with the other, to the bit, and the other has none.
#[test]
fn a_part_that_does_not_learn_has_no_gradient() {
    for (name, kind) in [
        ("training_conditional", "softmax"),
        ("training_conditional", "uniform"),
        ("training_unconditional", "softmax"),
        ("training_residual", "softmax"),
    ] {
        let fixture = load(name);
        let mut network = fixture.network(fixture.images(), 1, InstructionSet::detect());
        fixture.pass(&mut network, kind, 0..fixture.images());
        let whole = network.gradients().to_vec();
        for parts in 0..8 {
            let learned = Learned {
                encoder: parts & 1 > 0,
                mask_generator: parts & 2 > 0,
                decoder: parts & 4 > 0,
            };
            network.learn(learned);
            network.zero_gradients();
            fixture.pass(&mut network, kind, 0..fixture.images());
            for parameter in network.list() {
                let range = parameter.range();
                let found = &network.gradients()[range.clone()];
                match learned.learns(&parameter.name) {
                    true => assert!(*found == whole[range], "{}", parameter.name),
                    false => assert!(found.iter().all(|value| *value == 0.0), "{}", parameter.name),
                }
            }
        }
    }
}

#[test]
fn parameters_that_change_are_taken_over() {
    let fixture = load("training_unconditional");
    let mut network = fixture.network(2, 1, InstructionSet::detect());
    let first = fixture.pass(&mut network, "softmax", 0..2);
    let head = network
        .list()
        .iter()
        .find(|parameter| parameter.name == "decoder.conv_out.weight")
        .map(|parameter| parameter.range())
        .unwrap();
    network.parameters_mut()[head.clone()].fill(0.0);
    let second = fixture.pass(&mut network, "softmax", 0..2);
    assert!((first - second).abs() > 0.1);
    network.parameters_mut()[head].copy_from_slice(&fixture.tensors["decoder.conv_out.weight"]);
    assert_eq!(first, fixture.pass(&mut network, "softmax", 0..2));
}

#[test]
fn wrong_sizes_are_errors() {
    let fixture = load("training_conditional");
    let mut network = fixture.network(2, 1, InstructionSet::detect());
    let pixels = fixture.size.0 * fixture.size.1;
    let image = vec![0.0; 3 * pixels];
    let length = |result: Result<(), KernelError>| matches!(result, Err(KernelError::Length { .. }));
    assert!(length(network.encode(&image[1..], &[1.0], None)));
    assert!(length(network.encode(&image, &[1.0], Some(&[0, 1]))));
    for class in [-1, 5] {
        assert!(matches!(
            network.encode(&image, &[1.0], Some(&[class])),
            Err(KernelError::Size(_))
        ));
    }
    assert!(matches!(network.encode(&[], &[], None), Err(KernelError::Size(_))));
    network.encode(&image, &[1.0], Some(&[4])).unwrap();
    assert!(length(
        network
            .decode(Masks::Given(&image))
            .map(|_| ())
            .and(network.decode(Masks::Given(&image[1..])).map(|_| ()))
    ));
    assert!(length(network.backward_decode(&image[1..]).map(|_| ())));
    assert!(length(network.backward_masks(&image[1..])));
    let odd = TrainingOptions {
        height: 15,
        ..network.options().clone()
    };
    assert!(matches!(
        TrainingNetwork::new(&fixture.architecture, odd),
        Err(KernelError::Size(_))
    ));
}
