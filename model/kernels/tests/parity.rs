//! The plan against the PyTorch reference: the fixtures of `tests/reference`, computed there in float64.

use factorseg_kernels::{
    Architecture, Arithmetic, InstructionSet, KernelError, PlanOptions, SegmentationPlan, Threads,
};
use safetensors::SafeTensors;
use std::collections::HashMap;

mod common;

use common::{File, words};

struct Fixture {
    tensors: HashMap<String, (Vec<f32>, Vec<usize>)>,
    integers: HashMap<String, Vec<i32>>,
    architecture: Architecture,
}

fn load(name: &str) -> Fixture {
    load_file(File::fixture(name))
}

fn load_file(file: File) -> Fixture {
    let (mut tensors, mut integers) = (HashMap::new(), HashMap::new());
    for (name, view) in SafeTensors::deserialize(&file.bytes).unwrap().tensors() {
        let words = words(view.data());
        if view.dtype() == safetensors::Dtype::F32 {
            tensors.insert(name, (words.map(f32::from_le_bytes).collect(), view.shape().to_vec()));
        } else {
            integers.insert(name, words.map(i32::from_le_bytes).collect());
        }
    }
    Fixture {
        tensors,
        integers,
        architecture: file.architecture(),
    }
}

impl Fixture {
    fn lookup<'a>(&'a self) -> impl Fn(&str) -> Option<(&'a [f32], &'a [usize])> {
        |name| {
            self.tensors
                .get(name)
                .map(|(values, shape)| (values.as_slice(), shape.as_slice()))
        }
    }

    /// Timestep and class of one item of the fixture.
    fn condition(&self, item: usize) -> (usize, usize) {
        let class = self
            .integers
            .get("fixture.class")
            .map_or(self.architecture.classes, |classes| classes[item] as usize);
        (self.integers["fixture.timestep"][item] as usize, class)
    }
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn plans_equal_the_reference() {
    for name in [
        "unconditional_64",
        "single_region_64",
        "conditional_64",
        "conditional_128",
        "residual_64",
    ] {
        let fixture = load(name);
        let (input, shape) = &fixture.tensors["fixture.x_t"];
        let (masks, _) = &fixture.tensors["fixture.masks"];
        let (height, width) = (shape[2], shape[3]);
        let (image, map) = (3 * height * width, fixture.architecture.regions * height * width);
        for instructions in InstructionSet::available() {
            for threads in [1, 2] {
                let threads = Threads::new(threads).unwrap();
                let options = PlanOptions {
                    batch: 2,
                    threads,
                    instructions,
                    ..PlanOptions::new(height, width)
                };
                let mut plan = SegmentationPlan::compile(&fixture.architecture, fixture.lookup(), options).unwrap();
                for item in 0..shape[0] {
                    // Also the way from one timestep and class to another.
                    let (timestep, class) = fixture.condition(item);
                    plan.condition(timestep, class).unwrap();
                    let one = &input[item * image..(item + 1) * image];
                    let expected = &masks[item * map..(item + 1) * map];
                    let mut output = vec![f32::NAN; map];
                    plan.run(one, &mut output).unwrap();
                    let difference = largest_difference(&output, expected);
                    println!("{name} item {item} {}: {difference:e}", instructions.name());
                    assert!(
                        difference < 1e-4,
                        "{name} item {item} {}: {difference}",
                        instructions.name()
                    );

                    // A batch of the same image twice, and the same again: nothing is left over from a run.
                    let mut two = vec![f32::NAN; 2 * map];
                    for _ in 0..2 {
                        plan.run(&[one, one].concat(), &mut two).unwrap();
                        assert!(largest_difference(&two, &[expected, expected].concat()) < 1e-4);
                    }
                    let mut again = vec![f32::NAN; map];
                    plan.run(one, &mut again).unwrap();
                    assert_eq!(output, again, "{name}: two runs differ");
                }
            }
        }
    }
}

/// Region probabilities in bf16 beside those in single precision: of the reference networks, whose random weights make
/// them change from pixel to pixel, and of the shipped checkpoint.
#[test]
fn bf16_differs_by_rounding_alone() {
    let cases = [
        ("unconditional_64", load("unconditional_64"), 6e-3),
        ("conditional_64", load("conditional_64"), 6e-3),
        ("conditional_128", load("conditional_128"), 8e-3),
        ("residual_64", load("residual_64"), 8e-3),
        (
            "default",
            load_file(File::read("../checkpoints/default.safetensors")),
            2.5e-3,
        ),
    ];
    for (name, fixture, allowed) in cases {
        for instructions in InstructionSet::available() {
            let (height, width) = if instructions.name().starts_with("portable-") {
                (32, 32)
            } else {
                (64, 96)
            };
            let (regions, pixels) = (fixture.architecture.regions, height * width);
            let input = disc(height, width);
            let run = |threads, arithmetic| {
                let options = PlanOptions {
                    instructions,
                    threads: Threads::new(threads).unwrap(),
                    arithmetic,
                    ..PlanOptions::new(height, width)
                };
                let mut plan = SegmentationPlan::compile(&fixture.architecture, fixture.lookup(), options)?;
                plan.condition(30, fixture.architecture.classes)?;
                let mut output = vec![f32::NAN; regions * pixels];
                plan.run(&input, &mut output)?;
                Ok((output, plan.weight_bytes()))
            };
            if !instructions.computes_bf16() {
                let error = KernelError::Arithmetic {
                    instructions: instructions.name(),
                };
                assert_eq!(run(1, Arithmetic::Bf16), Err(error));
                continue;
            }
            let (exact, bytes) = run(1, Arithmetic::F32).unwrap();
            for threads in [1, 3] {
                let (rounded, rounded_bytes) = run(threads, Arithmetic::Bf16).unwrap();
                let largest = largest_difference(&rounded, &exact);
                let mean = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).sum::<f32>() / exact.len() as f32;
                let label = |masks: &[f32], pixel: usize| {
                    (0..regions).max_by(|&a, &b| masks[a * pixels + pixel].total_cmp(&masks[b * pixels + pixel]))
                };
                let agreeing = (0..pixels)
                    .filter(|&pixel| label(&exact, pixel) == label(&rounded, pixel))
                    .count();
                let agreeing = agreeing as f32 / pixels as f32;
                println!(
                    "{name} {} bf16: largest difference {largest:.4}, mean {mean:.5}, same label {agreeing:.4}",
                    instructions.name()
                );
                // Rounded at all, and no more than 8 bits of mantissa explain.
                assert!(
                    mean > 1e-5 && mean < allowed && largest < 30.0 * allowed,
                    "{mean} {largest}"
                );
                assert!(agreeing > 0.97, "{agreeing}");
                assert!(2 * rounded_bytes < bytes + bytes / 20, "{rounded_bytes} of {bytes}");
            }
        }
    }
}

/// The number of threads leaves every bit as it is: sums have the same order however the work is cut.
#[test]
fn probabilities_do_not_depend_on_threads() {
    let sets = InstructionSet::available();
    let rounding = sets.iter().find(|set| set.computes_bf16()).copied();
    // The last set has emulated tiles.
    let kinds = [
        Some((sets[0], Arithmetic::F32)),
        rounding.map(|set| (set, Arithmetic::Bf16)),
        sets.last().map(|&set| (set, Arithmetic::Bf16)),
    ];
    let default = || load_file(File::read("../checkpoints/default.safetensors"));
    let cases = [
        ("unconditional_64", load("unconditional_64"), 64, 112),
        ("conditional_64", load("conditional_64"), 112, 64),
        ("conditional_128", load("conditional_128"), 32, 128),
        ("residual_64", load("residual_64"), 64, 64),
        ("default", default(), 64, 112),
        ("default, small", default(), 24, 40),
        ("default, wide", default(), 64, 256),
    ];
    for (name, fixture, height, width) in cases {
        for (instructions, arithmetic) in kinds.into_iter().flatten() {
            if instructions.name().starts_with("portable-") && width > 64 {
                continue; // an emulation, and slow
            }
            for batch in [1, 2] {
                let one = disc(height, width);
                let input: Vec<f32> = (0..batch)
                    .flat_map(|item| one.iter().map(move |x| x - item as f32 * 0.1))
                    .collect();
                let run = |threads| {
                    let options = PlanOptions {
                        batch,
                        instructions,
                        threads: Threads::new(threads).unwrap(),
                        arithmetic,
                        ..PlanOptions::new(height, width)
                    };
                    let mut plan = SegmentationPlan::compile(&fixture.architecture, fixture.lookup(), options).unwrap();
                    let mut output = vec![f32::NAN; batch * fixture.architecture.regions * height * width];
                    plan.run(&input, &mut output).unwrap();
                    output
                };
                let alone = run(1);
                for threads in [2, 3, 5] {
                    assert!(
                        run(threads) == alone,
                        "{name}, {arithmetic:?}, batch {batch}: {threads} threads differ from one"
                    );
                }
            }
        }
    }
}

/// A disc on a gradient, with as much noise as timestep 30 has.
fn disc(height: usize, width: usize) -> Vec<f32> {
    let (pixels, side) = (height * width, height.min(width) as f32);
    (0..3 * pixels)
        .map(|i| {
            let (channel, y, x) = (i / pixels, (i / width % height) as f32, (i % width) as f32);
            let inside = (y - 0.5 * side).hypot(x - 0.6 * side) < 0.3 * side;
            let noise = ((i * 7919 % 1013) as f32 / 1013.0 - 0.5) * 0.3;
            noise
                + if inside {
                    0.5 - 0.3 * channel as f32
                } else {
                    x / width as f32 - 0.6
                }
        })
        .collect()
}

#[test]
fn resized_plans_share_weights_and_agree() {
    resized_agrees(&load("conditional_64"));
    resized_agrees(&load("residual_64"));
}

fn resized_agrees(fixture: &Fixture) {
    let compile = |height, width, batch| {
        let options = PlanOptions {
            batch,
            ..PlanOptions::new(height, width)
        };
        let mut plan = SegmentationPlan::compile(&fixture.architecture, fixture.lookup(), options).unwrap();
        let (timestep, class) = fixture.condition(0);
        plan.condition(timestep, class).unwrap();
        plan
    };
    let stride = fixture.architecture.stride();
    let (height, width, batch) = (12 * stride, 20 * stride, 3);
    let input: Vec<f32> = (0..batch * 3 * height * width)
        .map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 300.0)
        .collect();
    let mut outputs = [(); 2].map(|()| vec![f32::NAN; batch * fixture.architecture.regions * height * width]);
    compile(height, width, batch).run(&input, &mut outputs[0]).unwrap();
    let options = PlanOptions {
        batch,
        ..PlanOptions::new(height, width)
    };
    let mut resized = compile(4 * stride, 4 * stride, 1).resized(options).unwrap();
    resized.run(&input, &mut outputs[1]).unwrap();
    assert!(largest_difference(&outputs[0], &outputs[1]) < 1e-4);
}

#[test]
fn wrong_sizes_and_weights_are_errors() {
    let fixture = load("conditional_64");
    let compile = |architecture: &Architecture, height: usize| {
        SegmentationPlan::compile(architecture, fixture.lookup(), PlanOptions::new(height, 32)).err()
    };
    assert!(matches!(compile(&fixture.architecture, 31), Some(KernelError::Size(_))));
    assert!(matches!(compile(&fixture.architecture, 0), Some(KernelError::Size(_))));
    let deeper = Architecture {
        residual_blocks: fixture.architecture.residual_blocks + 1,
        ..fixture.architecture.clone()
    };
    assert!(matches!(compile(&deeper, 32), Some(KernelError::MissingWeight { .. })));
    let more = Architecture {
        regions: fixture.architecture.regions + 1,
        ..fixture.architecture.clone()
    };
    match compile(&more, 32) {
        Some(KernelError::WeightShape { name, .. }) => assert_eq!(name, "mask_generator.conv_out.weight"),
        other => panic!("{other:?}"),
    }
    let classes = Architecture {
        classes: fixture.architecture.classes + 1,
        ..fixture.architecture.clone()
    };
    match compile(&classes, 32) {
        Some(KernelError::WeightShape { name, .. }) => assert_eq!(name, "class_embedding.weight"),
        other => panic!("{other:?}"),
    }
    for (heads, head_channels) in [(7, None), (2, Some(5)), (2, Some(0)), (0, None)] {
        let undivided = Architecture {
            attention_heads: heads,
            attention_head_channels: head_channels,
            ..fixture.architecture.clone()
        };
        assert!(matches!(compile(&undivided, 32), Some(KernelError::Size(_))));
    }
    let residual = Architecture {
        resblock_updown: true,
        ..fixture.architecture.clone()
    };
    match compile(&residual, 32) {
        Some(KernelError::MissingWeight { name }) => {
            assert_eq!(name, "encoder.levels.0.downsample.residual.norm_1.gamma");
        }
        other => panic!("{other:?}"),
    }

    let mut plan =
        SegmentationPlan::compile(&fixture.architecture, fixture.lookup(), PlanOptions::new(32, 32)).unwrap();
    let (input, mut output) = (vec![0.0; 3 * 1024], vec![0.0; fixture.architecture.regions * 1024]);
    plan.run(&input, &mut output).unwrap();
    assert!(matches!(
        plan.run(&input[1..], &mut output),
        Err(KernelError::Length { what: "the input", .. })
    ));
    assert!(matches!(
        plan.run(&[], &mut output),
        Err(KernelError::Length { what: "the input", .. })
    ));
    assert!(plan.run(&[input.clone(), input.clone()].concat(), &mut output).is_err());
    assert!(matches!(
        plan.run(&input, &mut output[1..]),
        Err(KernelError::Length { what: "the output", .. })
    ));
}

/// A plan begins at timestep 1 without a class; what it refuses leaves it as it was, and plans made from it share its
/// weights but not what they are conditioned on.
#[test]
fn plans_are_conditioned_one_by_one() {
    for name in ["conditional_64", "unconditional_64"] {
        let fixture = load(name);
        let classes = fixture.architecture.classes;
        let options = PlanOptions::new(32, 32);
        let mut fresh = SegmentationPlan::compile(&fixture.architecture, fixture.lookup(), options.clone()).unwrap();
        let input = disc(32, 32);
        let run = |plan: &mut SegmentationPlan| {
            let mut output = vec![f32::NAN; fixture.architecture.regions * 1024];
            plan.run(&input, &mut output).unwrap();
            output
        };
        let first = run(&mut fresh);
        let mut other = fresh.resized(options).unwrap();
        other.condition(700, 0).unwrap();
        assert_ne!(run(&mut other), first);
        assert_eq!(run(&mut fresh), first);
        assert!(matches!(other.condition(0, classes), Err(KernelError::Size(_))));
        other.condition(1, classes).unwrap();
        assert_eq!(run(&mut other), first);
        for class in [classes + 1, usize::MAX] {
            let known = other.condition(1, class);
            assert_eq!(known.is_ok(), classes == 0, "{known:?}");
            assert_eq!(run(&mut other), first);
        }
    }
}
