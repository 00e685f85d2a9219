//! Whatever stops a run before its first checkpoint, `resume` goes on or `train` begins again; and a run goes on wherever
//! its folder and its data are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::common::{Scratch, checkpoints, expect, metrics, start_until, state};

fn assert_same_state(a: &Path, b: &Path, step: u64) {
    assert!(state(a, step) == state(b, step), "the states differ");
}

fn edit(run: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = run.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(path, config.to_string()).unwrap();
}

#[test]
fn ctrl_c_while_a_run_starts_ends_it_at_once_and_leaves_nothing() {
    let scratch = Scratch::new();
    for name in ["-INT", "-TERM"] {
        // A recipe that never comes: the trainer waits for it, and the test knows when.
        let recipe = scratch.path(&format!("recipe{name}.toml"));
        assert!(Command::new("mkfifo").arg(&recipe).status().unwrap().success());
        let mut train = scratch.train("run", &["--recipe", recipe.to_str().unwrap()]);
        let mut child = train.stderr(Stdio::null()).spawn().unwrap();
        // Opens when the other end does.
        let _writer = std::fs::OpenOptions::new().write(true).open(&recipe).unwrap();
        let kill = Command::new("kill").args([name, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        assert!(!scratch.path("run").exists());
    }
    expect(&mut scratch.train("run", &[]), 0);
}

#[test]
fn killed_before_its_first_checkpoint_a_run_resumes_from_step_0() {
    let scratch = Scratch::new();
    let options = ["--save-every", "1000", "--steps", "40"];
    expect(&mut scratch.train("whole", &options), 0);
    let killed = scratch.path("killed");
    let (mut child, _log) = start_until(&mut scratch.train("killed", &options), "step 3/40");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(checkpoints(&killed), [0]);
    // Where the weights came from is not asked again.
    let refused = expect(&mut scratch.train("killed", &options), 1);
    assert!(refused.contains("factorseg resume"), "{refused}");
    expect(&mut scratch.resume("killed"), 0);
    assert_same_state(&scratch.path("whole"), &killed, 40);
    assert_eq!(metrics(&scratch.path("whole")), metrics(&killed));
    assert_eq!(checkpoints(&killed), [40], "step 0 has gone");

    // Killed while it wrote its first checkpoint it has no configuration yet, and `train` begins again.
    std::fs::remove_file(killed.join("config.json")).unwrap();
    let refused = expect(&mut scratch.train("killed", &options), 1);
    assert!(refused.contains("holds checkpoints"), "{refused}");
    std::fs::rename(
        killed.join("checkpoints/step-000000040"),
        killed.join("checkpoints/step-000000000"),
    )
    .unwrap();
    std::fs::write(killed.join("metrics.jsonl"), "").unwrap();
    expect(&mut scratch.train("killed", &options), 0);
    assert_same_state(&scratch.path("whole"), &killed, 40);
}

#[test]
fn too_many_broken_images_are_forgiven_by_resume() {
    let scratch = Scratch::new();
    scratch.write("data/n00000001/bad.jpg", b"\xff\xd8 not a picture");
    expect(&mut scratch.train("whole", &["--max-broken", "5"]), 0);
    let message = expect(
        &mut scratch.train("run", &["--max-broken", "0", "--save-every", "100"]),
        1,
    );
    assert!(message.contains("raise --max-broken"), "{message}");
    expect(
        scratch
            .resume("run")
            .args("--max-broken 5 --save-every 5 --keep 9 --threads 2 --cache-mib 1 --input-threads 1".split(' ')),
        0,
    );
    assert_same_state(&scratch.path("whole"), &scratch.path("run"), 10);
    assert_eq!(checkpoints(&scratch.path("run")), [5, 10]);
    // It is what the run goes on with.
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scratch.path("run/config.json")).unwrap()).unwrap();
    assert_eq!(config["options"]["max_broken"], 5);
}

/// A run that stopped at step 5 of 10.
fn stopped(scratch: &Scratch, source: &Path, run: &str) -> PathBuf {
    expect(&mut scratch.train_on(source, run, &["--save-every", "5"]), 0);
    let path = scratch.path(run);
    std::fs::remove_dir_all(path.join("checkpoints/step-000000010")).unwrap();
    path
}

#[test]
fn moved_data_is_named_and_must_be_the_same() {
    let scratch = Scratch::new();
    expect(&mut scratch.train("whole", &[]), 0);
    stopped(&scratch, &scratch.path("data"), "run");
    std::fs::rename(scratch.path("data"), scratch.path("elsewhere")).unwrap();
    let message = expect(&mut scratch.resume("run"), 1);
    assert!(message.contains("--data DATA"), "{message}");
    std::fs::create_dir(scratch.path("other")).unwrap();
    std::fs::copy(scratch.path("elsewhere/n00000000/00.png"), scratch.path("other/00.png")).unwrap();
    let message = expect(scratch.resume("run").arg("--data").arg(scratch.path("other")), 1);
    assert!(message.contains("not those that the run began with"), "{message}");
    expect(scratch.resume("run").arg("--data").arg(scratch.path("elsewhere")), 0);
    assert_same_state(&scratch.path("whole"), &scratch.path("run"), 10);
    // From now on it knows.
    expect(&mut scratch.resume("run"), 0);
}

#[test]
fn a_run_with_data_of_its_own_moves_with_it() {
    let scratch = Scratch::new();
    let mut pack = super::common::program();
    pack.arg("pack").arg(scratch.path("data")).arg("--out");
    expect(pack.arg(scratch.path("run/data.pack")).args(["--size", "20"]), 0);
    expect(&mut scratch.train("whole", &[]), 0);
    let run = stopped(&scratch, &scratch.path("run/data.pack"), "run");
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("config.json")).unwrap()).unwrap();
    assert_eq!(stored["data"]["path"], "data.pack");
    std::fs::rename(&run, scratch.path("moved")).unwrap();
    let older = scratch.copy("moved", "older");
    expect(&mut scratch.resume("moved"), 0);
    assert_same_state(&scratch.path("whole"), &scratch.path("moved"), 10);
    // Older versions stored where it was.
    edit(&older, |config| {
        config["data"]["path"] = "/no/such/place/data.pack".into()
    });
    expect(&mut scratch.resume("older"), 0);
}

#[test]
fn names_with_ranges_resume_from_any_folder() {
    let scratch = Scratch::new();
    for (number, class) in ["n00000000", "n00000001"].iter().enumerate() {
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(scratch.path(&format!("part-{number}.tar")));
        assert!(
            tar.arg("-C")
                .arg(scratch.path("data"))
                .arg(class)
                .status()
                .unwrap()
                .success()
        );
    }
    let mut train = scratch.train_on(Path::new("part-{0..1}.tar"), "run", &["--save-every", "5"]);
    expect(train.current_dir(scratch.path("")), 0);
    std::fs::remove_dir_all(scratch.path("run/checkpoints/step-000000010")).unwrap();
    expect(scratch.resume("run").current_dir("/"), 0);
}

#[test]
fn a_configuration_is_checked_as_train_checks_its_options() {
    let scratch = Scratch::new();
    let run = stopped(&scratch, &scratch.path("data"), "run");
    let competition = serde_json::json!({ "foreground": [1.5, 0.45] });
    let refused = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let copy = scratch.copy("run", name);
        edit(&copy, change);
        let before = std::fs::read(copy.join("config.json")).unwrap();
        let message = expect(&mut scratch.resume(name), 1);
        assert!(std::fs::read(copy.join("config.json")).unwrap() == before);
        message
    };
    let message = refused("shares", &|config| {
        config["recipe"]["phases"][3]["competition"] = competition.clone();
    });
    assert!(message.contains("competition.foreground is (1.5, 0.45)"), "{message}");
    let message = refused("batch", &|config| config["recipe"]["batch_size"] = u64::MAX.into());
    assert!(message.contains("batch_size"), "{message}");
    let message = refused("model", &|config| config["model"]["regions"] = 0.into());
    assert!(message.contains("regions"), "{message}");
    let message = refused("classes", &|config| config["model"]["classes"] = 7.into());
    assert!(message.contains("7 classes"), "{message}");
    let message = refused("threads", &|config| config["options"]["threads"] = 1_000_000.into());
    assert!(message.contains("options.threads"), "{message}");
    let message = refused("device", &|config| config["options"]["device"] = "toaster".into());
    assert!(message.contains("toaster"), "{message}");
    // One of an older version.
    let message = refused("old", &|config| {
        config["version"] = "0.0.1".into();
        config["options"]["sharpness"] = 3.into();
    });
    for words in [
        "factorseg 0.0.1",
        "unknown field `sharpness`",
        "--init-from",
        "model.safetensors",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(!message.contains("expected one of"), "{message}");
    assert_eq!(checkpoints(&run), [5]);
}

/// A library that takes `flock` and the flushing of folders away, as some file systems do.
const LESS: &str = "
#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int flock(int file, int operation) { (void)file; (void)operation; errno = ENOSYS; return -1; }
int fsync(int file) {
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) { errno = EINVAL; return -1; }
    return syscall(SYS_fsync, file);
}
";

#[test]
fn file_systems_may_offer_neither_locks_nor_flushed_folders() {
    let scratch = Scratch::new();
    scratch.write("less.c", LESS);
    let library = scratch.path("less.so");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(scratch.path("less.c"));
    assert!(compiler.status().unwrap().success());
    let mut train = scratch.train("run", &["--save-every", "5"]);
    let message = expect(train.env("LD_PRELOAD", &library), 0);
    for words in ["without locks", "cannot flush folders"] {
        assert_eq!(message.matches(words).count(), 1, "{words}: {message}");
    }
    assert_eq!(checkpoints(&scratch.path("run")), [5, 10]);
    expect(scratch.resume("run").env("LD_PRELOAD", &library), 0);
    let mut pack = super::common::program();
    pack.arg("pack").arg(scratch.path("data")).arg("--out");
    expect(pack.arg(scratch.path("out.pack")).env("LD_PRELOAD", &library), 0);
    // Where there are locks, a second trainer is still kept out.
    let lock = std::fs::File::create(scratch.path("run/run.lock")).unwrap();
    lock.lock().unwrap();
    assert!(expect(&mut scratch.resume("run"), 1).contains("another trainer works in"));
}

#[test]
fn numbers_without_sense_are_refused_and_nothing_panics() {
    let scratch = Scratch::new();
    let most = u64::MAX.to_string();
    for option in [
        "--batch-size",
        "--micro-batch",
        "--steps",
        "--threads",
        "--input-threads",
        "--prefetch",
        "--cache-mib",
    ] {
        for value in ["9223372036854775807", &most, "-1"] {
            expect(&mut scratch.train("run", &[&format!("{option}={value}")]), 2);
        }
    }
    for option in [
        "--regions",
        "--image-size",
        "--base-channels",
        "--residual-blocks",
        "--channel-multipliers",
    ] {
        let message = expect(&mut scratch.train("run", &[option, &most]), 1);
        assert!(message.contains("expected"), "{option}: {message}");
    }
    for (field, wild) in [
        ("batch_size = 4", "batch_size = 9223372036854775807"),
        ("steps = 2", "steps = 9223372036854775807"),
        ("gradient_clip = 1.0", "gradient_clip = 1e300"),
        ("std = 0.05", "std = 1e300"),
        ("from = 1.0", "from = 1e-300"),
        ("learning_rate = 1e-3", "learning_rate = inf"),
        ("crop_scale = 1.25", "crop_scale = 1e300"),
        ("mask_generator_factor = 4.0", "mask_generator_factor = nan"),
        ("timesteps = [1, 100]", "timesteps = [1, 9223372036854775807]"),
        ("[augmentation]", "[adam]\nepsilon = 1e-300\n[augmentation]"),
    ] {
        scratch.write("recipe.toml", super::common::RECIPE.replacen(field, wild, 1));
        let message = expect(&mut scratch.train("run", &[]), 1);
        assert!(message.contains("expected"), "{wild}: {message}");
    }
    scratch.write("recipe.toml", super::common::RECIPE);
    // In bounds, but more than any machine has.
    let large = [
        "--batch-size",
        "65536",
        "--micro-batch",
        "65536",
        "--base-channels",
        "2048",
    ];
    let message = expect(&mut scratch.train("run", &large), 1);
    assert!(
        message.contains("needs at least") && message.contains("--micro-batch"),
        "{message}"
    );
    assert!(!scratch.path("run").exists());
    // Odd, but with a meaning.
    expect(
        scratch
            .train("run", &["--steps", "2", "--prefetch", "0", "--cache-mib", "0"])
            .args(["--held-out", &most, "--max-broken", &most, "--keep", "0"])
            .args(["--save-every", "0", "--sample-every", &most]),
        0,
    );
    for arguments in [
        &["generate", "--out", "x.png", "--count", &most][..],
        &["segment", "x.png", "--out", "x", "--threads", "4096"],
        &["bench", "segment", "--seconds", "nan"],
        &["bench", "segment", "--batch", &most],
        &["bench", "loader", "--images", &most],
        &["bench", "train", "--steps", &most],
        &["pack", "x", "--out", "y", "--threads", &most],
        &["import", "x.pt", "--out", "y", "--regions", &most],
    ] {
        expect(super::common::program().args(arguments), 2);
    }
}
