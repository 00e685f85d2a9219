//! One run on several processes under MPI, against one process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::common::{Scratch, checkpoints, expect, metrics, state};

/// A scratch folder whose recipe has four micro-batches a step, and no update that rounding alone can turn round.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let recipe = super::common::RECIPE
        .replace("micro_batch = 3", "micro_batch = 1")
        .replace("[augmentation]", "[adam]\nepsilon = 1e-4\n[augmentation]");
    scratch.write("recipe.toml", recipe);
    scratch
}

/// `command` as each of `ranks` processes.
fn mpirun(ranks: usize, command: &Command) -> Command {
    let mut job = Command::new("mpirun");
    // As root, as in a container; more processes than cores.
    job.env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    job.args(["--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    job.arg(command.get_program()).args(command.get_args());
    job
}

fn assert_same_bits(a: &Path, b: &Path, step: u64) {
    assert!(state(a, step) == state(b, step), "the weights differ");
    assert_eq!(metrics(a), metrics(b));
}

fn wait_until(what: &str, child: &mut Child, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {what}");
        assert!(start.elapsed() < Duration::from_secs(60), "no {what} after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// Two and three processes (one of which has two micro-batches, the others one) against one: but for the order of sums the same.
#[test]
fn processes_train_as_one_but_for_rounding() {
    let scratch = scratch();
    expect(&mut scratch.train("1", &[]), 0);
    for ranks in [2, 3] {
        let name = ranks.to_string();
        let said = expect(&mut mpirun(ranks, &scratch.train(&name, &[])), 0);
        assert!(
            said.contains(&format!("{ranks} ranks")) && said.contains("host memory"),
            "{said}"
        );
        assert_eq!(said.matches("24 images").count(), 1, "only one speaks: {said}");
        let (one, many) = (scratch.path("1"), scratch.path(&name));
        let (a, b) = (metrics(&one), metrics(&many));
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a["step"], b["step"]);
            if let (Some(a), Some(b)) = (a["loss"].as_f64(), b["loss"].as_f64()) {
                assert!((a - b).abs() < 1e-4 * a, "{a} {b}");
            }
            if let (Some(a), Some(b)) = (a["masks"]["entropy"].as_f64(), b["masks"]["entropy"].as_f64()) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
        let floats = |bytes: &[u8]| -> Vec<f32> {
            let words = bytes.chunks_exact(4);
            words.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let (a, b) = (state(&one, 10), state(&many, 10));
        let mut moved = false;
        for (name, values) in a.iter().filter(|(name, _)| !name.starts_with("second/")) {
            let (a, b) = (floats(values), floats(&b[name]));
            moved |= a != b;
            let difference = norm(a.iter().zip(&b).map(|(a, b)| a - b));
            assert!(
                difference < 1e-3 * norm(a.iter().copied()) + 1e-5,
                "{name}: {difference}"
            );
        }
        assert!(
            moved,
            "one did all the work: sums in another order are not the same bits"
        );
    }
}

/// A rank, killed with -9, ends the job. The newest checkpoint is whole, and the run goes on: on as many ranks with the same
/// bits, on any other number, too.
#[test]
fn a_killed_rank_ends_the_job_and_the_run_goes_on() {
    let scratch = scratch();
    let options = ["--save-every", "2", "--steps", "40"];
    expect(&mut mpirun(2, &scratch.train("whole", &options)), 0);
    let mut child = mpirun(2, &scratch.train("killed", &options))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let killed = scratch.path("killed");
    wait_until("its first checkpoint", &mut child, || {
        checkpoints(&killed).iter().any(|step| *step > 0)
    });
    let ranks = Command::new("pgrep")
        .args(["-P", &child.id().to_string()])
        .output()
        .unwrap();
    let last = String::from_utf8(ranks.stdout)
        .unwrap()
        .lines()
        .last()
        .unwrap()
        .to_owned();
    assert!(Command::new("kill").args(["-9", &last]).status().unwrap().success());
    assert!(!child.wait().unwrap().success(), "the job ends with its rank");
    scratch.copy("killed", "others");
    expect(&mut mpirun(2, &scratch.resume("killed")), 0);
    assert_same_bits(&scratch.path("whole"), &killed, 40);
    // On one process, and the last steps again on three.
    let others = scratch.path("others");
    expect(&mut scratch.resume("others"), 0);
    std::fs::remove_dir_all(others.join("checkpoints/step-000000040")).unwrap();
    expect(&mut mpirun(3, &scratch.resume("others")), 0);
    let loss = |run: &Path| metrics(run).last().unwrap()["loss"].as_f64().unwrap();
    assert!((loss(&others) - loss(&killed)).abs() < 1e-3 * loss(&killed));
}

/// SIGUSR1, which launchers hand on to all, and Ctrl-C to one rank alone: all save and stop at the same step.
#[test]
fn one_rank_that_is_asked_to_stop_stops_all() {
    let scratch = scratch();
    let mut child = mpirun(2, &scratch.train("run", &["--save-every", "100", "--steps", "200"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = scratch.path("run");
    wait_until("its first line", &mut child, || {
        std::fs::read_to_string(run.join("metrics.jsonl")).is_ok_and(|text| !text.is_empty())
    });
    let usr1 = Command::new("kill").args(["-USR1", &child.id().to_string()]).status();
    assert!(usr1.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let saved = checkpoints(&run);
    assert!(saved.len() == 1 && saved[0] > 0 && saved[0] < 200, "{saved:?}");
    expect(mpirun(2, &scratch.resume("run")).args(["--save-every", "100"]), 0);
}

/// `more` are the options of the second rank alone.
fn unlike(scratch: &Scratch, run: &str, data: &str, more: &[&str]) -> String {
    let whole = scratch.train(run, &[]);
    let mut job = mpirun(1, &whole);
    job.args([":", "-n", "1"]).arg(whole.get_program());
    let second = scratch.train_on(&scratch.path(data), run, more);
    expect(job.args(second.get_args()), 1)
}

#[test]
fn a_rank_without_the_others_data_or_options_is_named_and_no_run_begun() {
    let scratch = scratch();
    let said = unlike(&scratch, "run", "nowhere", &[]);
    assert!(said.contains("rank 1: ") && said.contains("nowhere"), "{said}");
    let said = unlike(&scratch, "run", "data/n00000000", &[]);
    assert!(said.contains("ranks [1] have other pictures or options"), "{said}");
    let said = unlike(&scratch, "run", "data", &["--batch-size", "8"]);
    assert!(said.contains("ranks [1] have other pictures or options"), "{said}");
    assert!(!scratch.path("run").exists());
}

#[test]
fn a_batch_is_split_where_the_recipe_does_not() {
    let scratch = Scratch::new();
    scratch.write("recipe.toml", super::common::RECIPE.replace("micro_batch = 3", ""));
    let messages = expect(&mut mpirun(2, &scratch.train("run", &["--steps", "4"])), 0);
    assert!(messages.contains("micro_batch is 2"), "{messages}");
    let config = std::fs::read_to_string(scratch.path("run/config.json")).unwrap();
    assert!(config.contains("\"micro_batch\": 2"), "{config}");
    let message = expect(&mut mpirun(5, &scratch.train("many", &[])), 1);
    assert!(message.contains("5 processes"), "{message}");
}
