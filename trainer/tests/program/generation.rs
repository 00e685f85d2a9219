//! The last phase of a recipe, in which the decoder alone learns to denoise under the masks that are there, and what it draws then.

use std::process::Command;

use super::common::{Scratch, expect, inspect, program, state};
use factorseg_model::CheckpointSource;
use factorseg_model::checkpoint::Checkpoint;

/// A competition of 3 steps, then 3 of the decoder, saved at every step.
const RECIPE: &str = r#"
name = "test"
batch_size = 4
ema_rate = 0.9
[[phases]]
name = "competition"
steps = 3
timesteps = [1, 100]
learning_rate = 1e-3
mask_head = { released = { std = 0.5 } }
competition = { block = 0.3, foreground = [0.3, 0.3] }
[[phases]]
name = "decoder"
steps = 3
timesteps = [1, 1000]
learning_rate = 1e-3
mask_generator_factor = 0
encoder_factor = 0
mask_head = "trained"
"#;

const OPTIONS: [&str; 6] = ["--regions", "2", "--save-every", "1", "--keep", "9"];

fn trained() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("recipe.toml", RECIPE);
    expect(&mut scratch.train("run", &OPTIONS), 0);
    scratch
}

fn tensors(scratch: &Scratch, run: &str, step: u64) -> Vec<(String, Vec<f32>)> {
    let path = scratch.path(&format!("{run}/checkpoints/step-{step:09}"));
    let mut checkpoint = Checkpoint::open(&CheckpointSource::from_path(path)).unwrap();
    let names = checkpoint.tensors().into_iter().map(|(name, ..)| name);
    let names: Vec<String> = names.collect();
    names
        .into_iter()
        .map(|name| (name.clone(), checkpoint.read(&name).unwrap()))
        .collect()
}

#[test]
fn masks_stay_as_the_checkpoint_before_has_them_and_it_is_said_what_the_decoder_knows() {
    let scratch = trained();
    let before = tensors(&scratch, "run", 3);
    for step in [4, 6] {
        for ((name, before), (_, after)) in before.iter().zip(&tensors(&scratch, "run", step)) {
            assert_eq!(before == after, !name.starts_with("decoder."), "{name} at step {step}");
        }
    }
    let said = |step: u64| inspect(scratch.path(&format!("run/checkpoints/step-{step:09}")))["info"].clone();
    assert_eq!(said(3)["decoder"], serde_json::Value::Null);
    let decoder = serde_json::json!({ "masked": true, "timesteps": [1, 1000], "steps": 2 });
    assert_eq!(
        (&said(5)["decoder"], &said(5)["foreground_regions"]),
        (&decoder, &serde_json::json!([1]))
    );

    // What was interrupted in the phase goes on to the same end.
    let copy = scratch.copy("run", "again");
    for step in [5, 6] {
        std::fs::remove_dir_all(copy.join(format!("checkpoints/step-{step:09}"))).unwrap();
    }
    expect(&mut scratch.resume("again"), 0);
    assert!(state(&copy, 6) == state(&scratch.path("run"), 6));
    assert_eq!(inspect(copy.join("model.safetensors"))["info"], said(6));

    // A finished checkpoint in a run of its own.
    let finished = scratch.path("run/checkpoints/step-000000003/model.safetensors");
    let more = ["--recipe", "decoder", "--steps", "2", "--regions", "2", "--init-from"];
    expect(scratch.train("decoder", &more).arg(&finished), 0);
    let info = inspect(scratch.path("decoder/model.safetensors"))["info"].clone();
    assert_eq!(
        (&info["decoder"]["steps"], &info["foreground_regions"]),
        (&2.into(), &serde_json::json!([1]))
    );
    for ((name, before), (_, after)) in before.iter().zip(&tensors(&scratch, "decoder", 2)) {
        // The last level has as many groups as channels: normalisation takes such a bias off again, and all that it learns is
        // rounding.
        if !(name.starts_with("decoder.levels.1.") && name.ends_with(".residual.conv_1.bias")) {
            assert_eq!(before == after, !name.starts_with("decoder."), "{name}");
        }
    }
}

/// `factorseg COMMAND` with the trained checkpoint, on one thread.
fn drawing(scratch: &Scratch, command: &str, more: &[&str]) -> Command {
    let mut drawing = program();
    drawing
        .arg(command)
        .args(["--device", "cpu", "--threads", "1", "--model"]);
    drawing.arg(scratch.path("run/model.safetensors")).args(more);
    drawing
}

fn pixels(scratch: &Scratch, name: &str) -> image::RgbImage {
    image::open(scratch.path(name)).unwrap().into_rgb8()
}

#[test]
fn images_are_drawn_with_their_regions_their_way_and_their_branches() {
    let scratch = trained();
    let mut generate = drawing(
        &scratch,
        "generate",
        &[
            "--class",
            "n00000001,none",
            "--count",
            "2",
            "--batch",
            "3",
            "--steps",
            "4",
        ],
    );
    for (option, name) in [
        ("out", "grid.png"),
        ("images", "each"),
        ("trajectory", "way.png"),
        ("branches", "parts.png"),
    ] {
        generate.arg(format!("--{option}")).arg(scratch.path(name));
    }
    let output = generate.arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["images"], &report["regions"]), (&4.into(), &2.into()));
    // Cells of 16 px drawn eight times as large: image, regions and two masks, two images a row; two rows of four moments and the end
    // for each image; image, and mask and prediction of each branch.
    let cells = |across: u32, down: u32, groups: u32| (across * 130 + 4 * groups, down * 130);
    assert_eq!(pixels(&scratch, "grid.png").dimensions(), cells(8, 2, 2));
    assert_eq!(pixels(&scratch, "way.png").dimensions(), cells(5, 8, 1));
    assert_eq!(pixels(&scratch, "parts.png").dimensions(), cells(5, 4, 1));
    let mut names: Vec<_> = std::fs::read_dir(scratch.path("each"))
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let of = |index: u32| {
        ["overlay.png", "png", "region-1.png", "region-2.png", "regions.png"].map(|end| format!("0000{index}.{end}"))
    };
    assert_eq!(names, (0..4).flat_map(of).collect::<Vec<_>>());

    // An image does not depend on what it is drawn with; a class, a seed and the sampler matter.
    let image = |more: &[&str]| {
        let mut generate = drawing(&scratch, "generate", &["--count", "1", "--steps", "4", "--out"]);
        expect(
            generate
                .arg(scratch.path("x.png"))
                .arg("--images")
                .arg(scratch.path("one"))
                .args(more),
            0,
        );
        pixels(&scratch, "one/00000.png")
    };
    let first = pixels(&scratch, "each/00000.png");
    assert_eq!(image(&["--class", "n00000001"]), first);
    for other in [
        &["--class", "none"][..],
        &["--class", "n00000001", "--seed", "1"],
        &["--class", "n00000001", "--sampler", "ddim"],
    ] {
        assert_ne!(image(other), first, "{other:?}");
    }
}

/// The baseline: DDPM, which is the network of one region.
#[test]
fn one_region_is_a_plain_u_net_and_draws() {
    let scratch = Scratch::new();
    let more = [
        "--recipe",
        "paper-cub",
        "--regions",
        "1",
        "--steps",
        "3",
        "--batch-size",
        "4",
        "--save-every",
        "1",
    ];
    let said = expect(&mut scratch.train("run", &more), 0);
    assert!(
        said.contains("masks uniform") && said.contains("class `none` will be the mean"),
        "{said}"
    );
    for ((name, first), (_, last)) in tensors(&scratch, "run", 2).iter().zip(&tensors(&scratch, "run", 3)) {
        let learns = !name.starts_with("mask_generator.");
        assert!(learns || first == last, "{name}");
        if name == "class_embedding.weight" {
            let row = |class: usize| &last[class * 32..(class + 1) * 32];
            for (none, (a, b)) in row(2).iter().zip(row(0).iter().zip(row(1))) {
                assert!((none - (a + b) / 2.0).abs() < 1e-6);
            }
        }
    }
    let info = inspect(scratch.path("run/model.safetensors"))["info"].clone();
    assert_eq!(
        (&info["decoder"]["masked"], &info["decoder"]["steps"]),
        (&true.into(), &3.into())
    );
    let more = [
        "--class",
        "n00000000",
        "--count",
        "1",
        "--sampler",
        "ddim",
        "--steps",
        "3",
        "--out",
    ];
    let branches = scratch.path("parts.png");
    expect(
        drawing(&scratch, "generate", &more)
            .arg(scratch.path("x.png"))
            .arg("--branches")
            .arg(branches),
        0,
    );
    assert_eq!(pixels(&scratch, "x.png").dimensions(), (3 * 130 + 4, 130));
}

#[test]
fn pictures_are_interpolated_from_one_to_the_other() {
    let scratch = trained();
    let ends = ["data/n00000000/00.png", "data/n00000001/23.png"].map(|name| scratch.path(name));
    // Hardly any noise: the ends are as they were.
    let mut interpolate = drawing(
        &scratch,
        "interpolate",
        &["--timestep", "1", "--count", "3", "--batch", "2", "--out"],
    );
    expect(interpolate.arg(scratch.path("between.png")).args(&ends), 0);
    let picture = pixels(&scratch, "between.png");
    assert_eq!(picture.dimensions(), (3 * 130 + 4, 3 * 130));
    for (left, top) in [(0, 130), (260, 130), (130, 130)] {
        let (x, y) = (left + 64, top + 64);
        for (found, mixed) in picture.get_pixel(x, y).0.iter().zip(picture.get_pixel(x, y - 130).0) {
            assert!(found.abs_diff(mixed) < 12, "{found} {mixed}");
        }
    }
    let mut refused = drawing(&scratch, "interpolate", &["--out", "x.png", "absent.png"]);
    assert!(expect(refused.arg(&ends[0]), 1).contains("absent.png"));
}

#[test]
fn generation_is_refused_with_what_the_checkpoint_lacks() {
    let scratch = trained();
    let refused = |model: &str, reason: &str| {
        let mut generate = program();
        generate
            .args(["generate", "--device", "cpu", "--out"])
            .arg(scratch.path("x.png"));
        if !model.is_empty() {
            generate.arg("--model").arg(scratch.path(model));
        }
        let message = expect(&mut generate, 1);
        assert!(
            message.contains(reason) && message.contains("--recipe decoder"),
            "{message}"
        );
    };
    refused("", "holds no decoder");
    refused("run/checkpoints/step-000000003", "not trained under its masks");
    assert!(!scratch.path("x.png").exists());
}

/// The shipped checkpoint that draws: a class by its name, and on the picture that it drew `segment` finds an object as well.
#[test]
fn the_shipped_checkpoint_draws_a_class_and_segments() {
    let scratch = Scratch::new();
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/checkpoints/drawing.safetensors");
    let mut generate = program();
    generate.args([
        "generate",
        "--device",
        "cpu",
        "--model",
        checkpoint,
        "--class",
        "sports car",
    ]);
    generate.args(["--count", "1", "--sampler", "ddim", "--steps", "10", "--images"]);
    generate
        .arg(scratch.path("drawn"))
        .arg("--out")
        .arg(scratch.path("drawn.png"));
    expect(&mut generate, 0);
    let drawn = pixels(&scratch, "drawn/00000.png");
    assert_eq!(drawn.dimensions(), (32, 32));
    let levels = drawn.as_raw().iter().map(|level| f64::from(*level));
    let mean = levels.clone().sum::<f64>() / 3072.0;
    assert!(
        levels.map(|level| (level - mean).abs()).sum::<f64>() / 3072.0 > 10.0,
        "nothing is drawn"
    );
    let mut segment = program();
    segment.args(["segment", "--device", "cpu", "--json", "--model", checkpoint, "--out"]);
    segment
        .arg(scratch.path("segmented"))
        .arg(scratch.path("drawn/00000.png"));
    let said: serde_json::Value = serde_json::from_slice(&segment.output().unwrap().stdout).unwrap();
    let object = said["shares"][1].as_f64().unwrap();
    assert!((0.02..0.9).contains(&object), "{said}");
}
