//! `factorseg train --teacher`: a student learns a finished checkpoint's masks.

use super::common::{Scratch, expect, inspect, metrics, state};

const TEACHER: &str = r#"
name = "teacher"
batch_size = 4
ema_rate = 0.9
[[phases]]
name = "competition"
steps = 3
timesteps = [5, 60]
learning_rate = 1e-3
mask_head = { released = { std = 0.5 } }
[phases.competition]
"#;

const STUDENT: &str = r#"
name = "student"
batch_size = 4
micro_batch = 3
ema_rate = 0.5
label_dropout = 0.5
[augmentation]
crop = "random"
crop_scale = 1.25
[self_training]
jitter = 0.5
[[phases]]
name = "student"
steps = 12
timesteps = [5, 60]
learning_rate = 5e-4
mask_head = "trained"
"#;

fn with_teacher() -> Scratch {
    let scratch = Scratch::new();
    let recipe = scratch.path("teacher.toml");
    scratch.write("teacher.toml", TEACHER);
    scratch.write("student.toml", STUDENT);
    expect(
        &mut scratch.train("teacher", &["--recipe", recipe.to_str().unwrap()]),
        0,
    );
    scratch
}

/// `factorseg train` of a student with further options.
fn student(scratch: &Scratch, run: &str, more: &[&str]) -> std::process::Command {
    let recipe = scratch.path("student.toml");
    let mut options = vec![
        "--recipe",
        recipe.to_str().unwrap(),
        "--regions",
        "2",
        "--save-every",
        "6",
        "--keep",
        "9",
    ];
    options.extend(more);
    scratch.train(run, &options)
}

#[test]
fn a_student_learns_its_teachers_masks_and_goes_on_without_the_file() {
    let scratch = with_teacher();
    let teacher = scratch.path("teacher/model.safetensors");
    // A checkpoint that only segments can be learned from, and started from.
    let small = scratch.path("small.safetensors");
    let mut export = super::common::program();
    export
        .arg("export")
        .arg(scratch.path("teacher"))
        .arg("--out")
        .arg(&small)
        .arg("--segmentation-only");
    expect(&mut export, 0);
    let said = expect(
        &mut student(&scratch, "whole", &["--init-from", small.to_str().unwrap()]),
        0,
    );
    assert!(said.contains("start afresh: the decoder\n"), "{said}");
    let run = scratch.path("whole");
    assert_eq!(
        std::fs::read(run.join("teacher.safetensors")).unwrap(),
        std::fs::read(&small).unwrap()
    );
    assert_eq!(
        inspect(run.join("model.safetensors"))["info"]["foreground_regions"],
        serde_json::json!([1])
    );
    // It comes closer to the teacher, on training pictures and on others.
    let metrics = metrics(&run);
    let losses = |kind: &str| -> Vec<f64> {
        let of_kind = metrics.iter().filter(|metric| metric["kind"] == kind);
        of_kind.map(|metric| metric["loss"].as_f64().unwrap()).collect()
    };
    let (training, held_out) = (losses("train"), losses("checkpoint"));
    assert!(
        training[..3].iter().sum::<f64>() > training[9..].iter().sum::<f64>(),
        "{training:?}"
    );
    assert!(held_out.len() == 2 && held_out[0] > held_out[1], "{held_out:?}");
    // The decoder stays as it is.
    let (early, late) = (state(&run, 6), state(&run, 12));
    let same = |name: &str| early[name] == late[name];
    let weights = || early.keys().filter(|name| name.starts_with("raw."));
    assert!(
        weights()
            .filter(|name| name.contains("decoder."))
            .all(|name| same(name))
    );
    assert!(
        weights()
            .filter(|name| name.contains("mask_generator.conv_out"))
            .all(|name| !same(name))
    );
    // The teacher may be gone when the run goes on.
    let part = scratch.copy("whole", "part");
    std::fs::remove_dir_all(part.join("checkpoints/step-000000012")).unwrap();
    std::fs::remove_file(&small).unwrap();
    std::fs::remove_file(&teacher).unwrap();
    expect(&mut scratch.resume("part"), 0);
    assert!(state(&part, 12) == late);
}

#[test]
fn what_cannot_teach_is_named() {
    let scratch = with_teacher();
    let teacher = scratch.path("teacher");
    let teacher = teacher.to_str().unwrap();
    let said = expect(&mut student(&scratch, "none", &[]), 1);
    assert!(
        said.contains("recipe student") && said.contains("--teacher or --init-from"),
        "{said}"
    );
    let said = expect(
        &mut student(&scratch, "three", &["--teacher", teacher, "--regions", "3"]),
        1,
    );
    assert!(
        said.contains("it has 2 regions, the network to train 3: use --regions 2"),
        "{said}"
    );
    scratch.write("broken.safetensors", b"no checkpoint");
    let broken = scratch.path("broken.safetensors");
    let said = expect(
        &mut student(&scratch, "broken", &["--teacher", broken.to_str().unwrap()]),
        1,
    );
    assert!(said.contains("broken.safetensors is no teacher"), "{said}");
    // What is missing beside the decoder is damage.
    let bytes = std::fs::read(scratch.path("teacher/model.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    let kept = tensors.into_iter().filter(|(name, _)| name != "encoder.conv_in.weight");
    let damaged = safetensors::serialize(kept, metadata.metadata().clone()).unwrap();
    scratch.write("damaged.safetensors", damaged);
    let damaged = scratch.path("damaged.safetensors");
    let said = expect(
        &mut student(&scratch, "damaged", &["--init-from", damaged.to_str().unwrap()]),
        1,
    );
    assert!(
        said.contains("encoder.conv_in.weight") && said.contains("missing"),
        "{said}"
    );
    let said = expect(&mut scratch.train("plain", &["--teacher", teacher]), 1);
    assert!(said.contains("recipe test learns from no teacher"), "{said}");
}

/// A clip with something that moves teaches, beside pictures; the run goes on without them. Where nothing moves, the error says so.
#[cfg(feature = "video")]
#[test]
fn footage_teaches_what_moves_in_it() {
    let scratch = Scratch::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let clip = std::fs::read(root.join("pipelines/media/bigbuckbunny.mp4")).unwrap();
    scratch.write("footage/clip.mp4", &clip);
    std::fs::copy(scratch.path("data/n00000000/00.png"), scratch.path("footage/still.png")).unwrap();
    let teacher = root.join("model/checkpoints/default.safetensors");
    let train = |data: &str, run: &str| {
        let mut command = super::common::program();
        command
            .arg("train")
            .arg(scratch.path(data))
            .arg("--run")
            .arg(scratch.path(run));
        command.args("--recipe footage --steps 4 --save-every 2 --unconditional --threads 1 --held-out 2".split(' '));
        command.arg("--init-from").arg(&teacher);
        command
    };
    let said = expect(&mut train("footage", "run"), 0);
    let images: usize = said
        .split(" images in ")
        .next()
        .unwrap()
        .lines()
        .last()
        .unwrap()
        .parse()
        .unwrap();
    assert!(images > 4, "{said}");
    let losses: Vec<f64> = metrics(&scratch.path("run"))
        .iter()
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    assert!(
        !losses.is_empty() && losses.iter().all(|loss| loss.is_finite()),
        "{losses:?}"
    );
    std::fs::remove_dir_all(scratch.path("footage")).unwrap();
    std::fs::remove_dir_all(scratch.path("run/checkpoints/step-000000004")).unwrap();
    expect(&mut scratch.resume("run"), 0);
    let said = expect(&mut train("data", "still"), 1);
    assert!(said.contains("learns from what moves in videos"), "{said}");
    assert!(!scratch.path("still").exists());
}
