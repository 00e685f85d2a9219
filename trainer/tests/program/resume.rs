//! A run that stops and goes on is the run that never stopped, bit for bit.

use std::path::Path;
use std::process::{Child, Command};

use super::common::{Scratch, checkpoints, expect, inspect, metrics, start_until, state};

fn assert_same_run(a: &Path, b: &Path, step: u64) {
    let (left, right) = (state(a, step), state(b, step));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, values) in &left {
        assert!(*values == right[name], "{name} differs");
    }
    assert_eq!(metrics(a), metrics(b));
}

fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn resuming_anywhere_gives_the_same_bits() {
    let scratch = Scratch::new();
    let whole = scratch.path("whole");
    expect(&mut scratch.train("whole", &["--save-every", "1", "--keep", "99"]), 0);
    assert_eq!(checkpoints(&whole), (1..=10).collect::<Vec<_>>());
    // Within a phase, at the borders of phases, and one step before the end.
    for from in [1u64, 2, 3, 4, 6, 8, 9] {
        let name = format!("from-{from}");
        let part = scratch.copy("whole", &name);
        for step in from + 1..=10 {
            std::fs::remove_dir_all(part.join(format!("checkpoints/step-{step:09}"))).unwrap();
        }
        expect(&mut scratch.resume(&name), 0);
        assert_same_run(&whole, &part, 10);
    }
}

#[test]
fn a_log_that_sums_over_a_stop_is_the_same() {
    let scratch = Scratch::new();
    let every_four = ["--log-every", "4", "--save-every", "3", "--keep", "9"];
    expect(&mut scratch.train("whole", &every_four), 0);
    expect(&mut scratch.train("part", &every_four), 0);
    std::fs::remove_dir_all(scratch.path("part/checkpoints/step-000000009")).unwrap();
    std::fs::remove_dir_all(scratch.path("part/checkpoints/step-000000010")).unwrap();
    expect(&mut scratch.resume("part"), 0);
    assert_same_run(&scratch.path("whole"), &scratch.path("part"), 10);
}

#[test]
fn kill_9_loses_at_most_the_last_interval() {
    let scratch = Scratch::new();
    expect(&mut scratch.train("whole", &["--save-every", "2", "--steps", "40"]), 0);
    let run = scratch.path("killed");
    let mut train = scratch.train("killed", &["--save-every", "2", "--steps", "40"]);
    let (mut child, _log) = start_until(&mut train, "step 2/40 checkpoint");
    child.kill().unwrap();
    child.wait().unwrap();
    expect(&mut scratch.resume("killed"), 0);
    assert_same_run(&scratch.path("whole"), &run, 40);
}

#[test]
fn ctrl_c_and_sigterm_save_and_exit_130() {
    let scratch = Scratch::new();
    let length = ["--save-every", "100", "--steps", "60"];
    expect(scratch.train("whole", &[]).args(length), 0);
    for name in ["-INT", "-TERM"] {
        let run = scratch.path(name);
        let (mut child, _log) = start_until(scratch.train(name, &[]).args(length), "step 1/60");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        let saved = checkpoints(&run);
        assert_eq!(saved.len(), 1, "{saved:?}");
        assert!(saved[0] < 60);
        expect(&mut scratch.resume(name), 0);
        assert_same_run(&scratch.path("whole"), &run, 60);
    }
}

#[test]
fn a_finished_run_resumes_to_nothing() {
    let scratch = Scratch::new();
    expect(&mut scratch.train("run", &[]), 0);
    let before = state(&scratch.path("run"), 10);
    expect(&mut scratch.resume("run"), 0);
    assert!(before == state(&scratch.path("run"), 10));
}

#[test]
fn a_competition_resumes_with_the_same_bits_and_names_its_foreground() {
    let scratch = Scratch::new();
    let competition = [
        "mask_head = \"trained\"\nmasks = { temperature = { from = 0.5, to = 0.5 } }",
        "mask_head = \"trained\"\ncompetition = { block = 0.3, foreground = [0.3, 0.3] }",
    ];
    let recipe = super::common::RECIPE.replace(competition[0], competition[1]);
    assert_ne!(recipe, super::common::RECIPE);
    scratch.write("recipe.toml", recipe);
    let refused = scratch.train("one", &["--regions", "1"]).output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && message.contains("use --regions 2"),
        "{message}"
    );

    let more = ["--regions", "2", "--save-every", "1", "--keep", "99"];
    expect(&mut scratch.train("whole", &more), 0);
    let (whole, part) = (scratch.path("whole"), scratch.copy("whole", "part"));
    std::fs::remove_dir_all(part.join("checkpoints/step-000000010")).unwrap();
    expect(&mut scratch.resume("part"), 0);
    assert_same_run(&whole, &part, 10);

    let description = inspect(whole.join("model.safetensors"));
    assert_eq!(description["info"]["foreground_regions"], serde_json::json!([1]));
}

/// The steps of the log's checkpoint lines, in the order of their rank: the last one is the best.
fn ranked(run: &Path) -> Vec<u64> {
    let lines = metrics(run).into_iter().filter(|line| line["kind"] == "checkpoint");
    let best = lines.filter(|line| line["best"].as_bool().unwrap());
    best.map(|line| line["step"].as_u64().unwrap()).collect()
}

/// One phase of the test recipe whose loss on pictures it has never seen falls first, then rises: the second half of the
/// steps is far too fast.
fn overshooting() -> String {
    let mut recipe: toml::Table = super::common::RECIPE.parse().unwrap();
    recipe.remove("gradient_clip");
    recipe["ema_rate"] = 0.0.into();
    let phases = recipe["phases"].as_array_mut().unwrap();
    phases.truncate(1);
    phases[0]["steps"] = 12.into();
    phases[0]
        .as_table_mut()
        .unwrap()
        .insert("final_learning_rate".into(), 0.9.into());
    recipe.to_string()
}

#[test]
fn the_best_checkpoint_is_kept_beside_the_newest_and_survives_kill_9() {
    let scratch = Scratch::new();
    scratch.write("recipe.toml", overshooting());
    let options = ["--save-every", "1", "--keep", "1"];
    let messages = expect(&mut scratch.train("whole", &options), 0);
    let whole = scratch.path("whole");
    let best = *ranked(&whole).last().unwrap();
    assert!(best < 12, "the recipe was to end worse than it was");
    assert_eq!(checkpoints(&whole), [best, 12]);
    assert!(
        messages.contains(&format!("best.safetensors of step {best}")),
        "{messages}"
    );
    let model = |run: &Path, step: u64| {
        std::fs::read(run.join(format!("checkpoints/step-{step:09}/model.safetensors"))).unwrap()
    };
    let published = |run: &Path, name: &str| std::fs::read(run.join(name)).unwrap();
    assert!(published(&whole, "best.safetensors") == model(&whole, best));
    assert!(published(&whole, "model.safetensors") == model(&whole, 12));
    // The best one is the one with the least loss of all that were ever written.
    let losses: Vec<(f64, u64)> = metrics(&whole)
        .into_iter()
        .filter(|line| line["kind"] == "checkpoint")
        .map(|line| (line["loss"].as_f64().unwrap(), line["step"].as_u64().unwrap()))
        .collect();
    assert_eq!(losses.len(), 12);
    let least = losses.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert_eq!(least.1, best);

    let (mut child, _log) = start_until(&mut scratch.train("killed", &options), " checkpoint");
    let killed = scratch.path("killed");
    child.kill().unwrap();
    child.wait().unwrap();
    // As if the kill had come between a checkpoint and the copy of its weights.
    scratch.write("killed/best.safetensors", b"of before");
    expect(&mut scratch.resume("killed"), 0);
    assert_same_run(&whole, &killed, 12);
    assert_eq!(checkpoints(&killed), [best, 12]);
    assert!(published(&killed, "best.safetensors") == model(&killed, best));

    let export = |run: &str, code| {
        let mut command = super::common::program();
        command
            .arg("export")
            .arg(scratch.path(run))
            .arg("--out")
            .arg(scratch.path("out.safetensors"))
            .arg("--best");
        expect(&mut command, code)
    };
    export("whole", 0);
    assert_eq!(inspect(scratch.path("out.safetensors"))["info"]["step"], best);
    assert!(export("data", 1).contains("no best.safetensors"));
}

#[test]
fn no_held_out_images_no_best_checkpoint() {
    let scratch = Scratch::new();
    let messages = expect(
        scratch.train("run", &["--save-every", "5"]).args(["--held-out", "0"]),
        0,
    );
    assert!(!messages.contains("best:") && !scratch.path("run/best.safetensors").exists());
    assert!(ranked(&scratch.path("run")).is_empty());
}
