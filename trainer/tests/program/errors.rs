//! Every failure names the thing and the way out, with the right exit code.

use std::process::Command;

use super::common::{RECIPE, Scratch, checkpoints, expect, program};

#[test]
fn data_that_cannot_be_used() {
    let scratch = Scratch::new();
    let train = |data: &str| {
        let mut command = program();
        command
            .arg("train")
            .arg(scratch.path(data))
            .arg("--run")
            .arg(scratch.path("run"));
        expect(&mut command, 1)
    };
    assert!(train("nowhere").contains("nowhere does not exist"));
    std::fs::create_dir(scratch.path("empty")).unwrap();
    assert!(train("empty").contains("no images below"));
    assert!(train("recipe.toml").contains("is a file"));
    assert!(
        !scratch.path("run").exists(),
        "a run that did not start leaves no folder"
    );
}

#[test]
fn recipes_that_cannot_be_used() {
    let scratch = Scratch::new();
    let message = |text: &str| {
        scratch.write("bad.toml", text);
        let path = scratch.path("bad.toml");
        expect(&mut scratch.train("run", &["--recipe", path.to_str().unwrap()]), 1)
    };
    assert!(message("name = ").contains("bad.toml"));
    assert!(message(&RECIPE.replace("batch_size = 4", "batch_size = 0")).contains("batch_size is 0"));
    assert!(message(&RECIPE.replace("ema_rate", "ema_rat")).contains("ema_rat"));
    assert!(message(&RECIPE.replace("timesteps = [1, 1000]", "timesteps = [1, 4000]")).contains("(1, 4000)"));
    assert!(expect(&mut scratch.train("run", &["--recipe", "no-such-recipe"]), 1).contains("two-phase"));
}

#[test]
fn usage_errors_exit_with_2() {
    let scratch = Scratch::new();
    expect(program().arg("train").arg(scratch.path("data")), 2);
    expect(&mut scratch.train("run", &["--preset", "enormous"]), 2);
    expect(&mut program(), 2);
    expect(program().arg("--help"), 0);
}

#[test]
fn broken_images_are_named_skipped_and_limited() {
    let scratch = Scratch::new();
    scratch.write("data/n00000001/bad.jpg", b"\xff\xd8 not a picture");
    let messages = expect(&mut scratch.train("run", &["--steps", "20"]), 0);
    assert!(
        messages.contains("skipped broken image n00000001/bad.jpg"),
        "{messages}"
    );
    assert_eq!(messages.matches("skipped broken").count(), 1);
    scratch.write("data/n00000001/worse.png", b"not a picture either");
    let messages = expect(&mut scratch.train("strict", &["--steps", "20", "--max-broken", "1"]), 1);
    assert!(
        messages.contains("2 images cannot be decoded") && messages.contains("--max-broken"),
        "{messages}"
    );
}

#[test]
fn runs_that_cannot_be_resumed() {
    let scratch = Scratch::new();
    assert!(expect(&mut scratch.resume("data"), 1).contains("holds no run"));
    expect(&mut scratch.train("run", &["--save-every", "5"]), 0);
    assert!(expect(&mut scratch.train("run", &[]), 1).contains("factorseg resume"));
    let run = scratch.path("run");
    assert_eq!(checkpoints(&run), [5, 10]);

    // A flipped bit and a cut file are seen; the checkpoint before still serves.
    let state = run.join("checkpoints/step-000000010/state.safetensors");
    let whole = std::fs::read(&state).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [flipped, whole[..whole.len() / 3].to_vec(), Vec::new()] {
        std::fs::write(&state, damaged).unwrap();
        let message = expect(&mut scratch.resume("run"), 1);
        assert!(
            message.contains("step-000000010 is damaged") && message.contains("the one before"),
            "{message}"
        );
    }
    std::fs::remove_dir_all(run.join("checkpoints/step-000000010")).unwrap();
    expect(&mut scratch.resume("run"), 0);

    // Other images than those the run began with.
    scratch.write("data/n00000001/new.png", b"x");
    assert!(expect(&mut scratch.resume("run"), 1).contains("not those that the run began with"));

    std::fs::write(run.join("config.json"), "{").unwrap();
    assert!(expect(&mut scratch.resume("run"), 1).contains("config.json"));
}

#[test]
fn a_failed_write_leaves_the_checkpoint_before() {
    let scratch = Scratch::new();
    expect(&mut scratch.train("run", &["--save-every", "5"]), 0);
    let run = scratch.path("run");
    std::fs::remove_dir_all(run.join("checkpoints/step-000000010")).unwrap();
    // What is published is that of the step that is left, so that the next checkpoint is the first to be written.
    for name in ["model.safetensors", "best.safetensors"] {
        std::fs::copy(run.join("checkpoints/step-000000005/model.safetensors"), run.join(name)).unwrap();
    }
    // No file may grow over 64 KiB: writing fails in the middle, as on a full disk.
    let mut limited = Command::new("bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" resume \"$1\""])
        .arg(env!("CARGO_BIN_EXE_factorseg"))
        .arg(&run);
    let message = expect(&mut limited, 1);
    assert!(
        message.contains("safetensors") && message.contains("the checkpoint before is intact"),
        "{message}"
    );
    assert_eq!(checkpoints(&run), [5]);
    assert_eq!(
        std::fs::read_dir(run.join("checkpoints")).unwrap().count(),
        1,
        "the partial checkpoint is gone"
    );
    assert!(run.join("checkpoints/step-000000005/manifest.json").exists() && run.join("best.safetensors").exists());
    expect(&mut scratch.resume("run"), 0);
    assert_eq!(checkpoints(&run), [5, 10]);
}
