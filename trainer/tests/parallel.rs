//! Data parallel training: on two devices of one machine, and with a worker over loopback.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Scratch, checkpoints, expect, metrics, program, state};

/// A scratch folder whose recipe has four micro-batches a step, and no update that rounding alone can turn round.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let recipe = common::RECIPE
        .replace("micro_batch = 3", "micro_batch = 1")
        .replace("[augmentation]", "[adam]\nepsilon = 1e-4\n[augmentation]");
    scratch.write("recipe.toml", recipe);
    scratch
}

/// As `scratch.train`, on other devices.
fn train(scratch: &Scratch, run: &str, devices: &str, more: &[&str]) -> Command {
    let mut command = scratch.train(run, &[]);
    // The last of two wins.
    command.args(["--device", devices]).args(more);
    command
}

fn assert_same_bits(a: &Path, b: &Path, step: u64) {
    assert!(state(a, step) == state(b, step), "the weights differ");
    assert_eq!(metrics(a), metrics(b));
}

/// `factorseg worker` on a free port of this machine, ended with the test.
struct Worker {
    child: Child,
    device: String,
}

impl Worker {
    fn start(more: &[&str]) -> Self {
        let mut child = program()
            .args(["worker", "--listen", "127.0.0.1:0", "--device", "cpu", "--threads", "1"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let device = line.trim().to_owned();
        assert!(device.starts_with("remote:127.0.0.1:"), "{device}");
        Self { child, device }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.device.strip_prefix("remote:").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, child: &mut Child, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {what}");
        assert!(start.elapsed() < Duration::from_secs(60), "no {what} after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lines(run: &Path) -> usize {
    std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn two_devices_train_as_one_but_for_rounding() {
    let scratch = scratch();
    expect(&mut train(&scratch, "one", "cpu", &[]), 0);
    expect(&mut train(&scratch, "two", "cpu,cpu", &[]), 0);
    let (one, two) = (scratch.path("one"), scratch.path("two"));
    for (a, b) in metrics(&one).iter().zip(&metrics(&two)) {
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
    let (a, b) = (state(&one, 10), state(&two, 10));
    let mut moved = false;
    for (name, values) in a.iter().filter(|(name, _)| !name.starts_with("second/")) {
        let (a, b) = (floats(values), floats(&b[name]));
        moved |= a != b;
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let difference = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
        assert!(
            difference < 1e-3 * norm(&mut a.iter().copied()) + 1e-5,
            "{name}: {difference}"
        );
    }
    assert!(
        moved,
        "one device did all the work: sums in another order are not the same bits"
    );
}

#[test]
fn two_devices_resume_with_the_same_bits_after_kill_9() {
    let scratch = scratch();
    let options = ["--save-every", "2", "--steps", "40"];
    expect(&mut train(&scratch, "whole", "cpu,cpu", &options), 0);
    let mut child = train(&scratch, "killed", "cpu,cpu", &options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let killed = scratch.path("killed");
    wait_until("its first checkpoint", &mut child, || {
        checkpoints(&killed).iter().any(|step| *step > 0)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    expect(&mut scratch.resume("killed"), 0);
    assert_same_bits(&scratch.path("whole"), &killed, 40);
}

#[test]
fn a_worker_computes_what_a_second_device_does() {
    let scratch = scratch();
    expect(&mut train(&scratch, "two", "cpu,cpu", &[]), 0);
    expect(&mut train(&scratch, "one", "cpu", &[]), 0);
    let worker = Worker::start(&[]);
    expect(
        &mut train(&scratch, "helped", &format!("cpu,{}", worker.device), &[]),
        0,
    );
    assert_same_bits(&scratch.path("two"), &scratch.path("helped"), 10);
    // A worker alone: this machine only moves the weights.
    expect(&mut train(&scratch, "away", &worker.device, &[]), 0);
    assert_same_bits(&scratch.path("one"), &scratch.path("away"), 10);
}

#[test]
fn a_worker_that_dies_costs_no_step() {
    let scratch = scratch();
    let options = ["--save-every", "1000", "--steps", "60"];
    expect(&mut train(&scratch, "whole", "cpu,cpu", &options), 0);
    let mut worker = Worker::start(&[]);
    let mut child = train(&scratch, "run", &format!("cpu,{}", worker.device), &options)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let run = scratch.path("run");
    wait_until("its third line", &mut child, || lines(&run) >= 3);
    worker.child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("factorseg resume") && message.contains("worker 127.0.0.1"),
        "{message}"
    );
    let saved = checkpoints(&run);
    assert!(saved.len() == 1 && saved[0] >= 3 && saved[0] < 60, "{saved:?}");
    let message = expect(&mut scratch.resume("run"), 1);
    assert!(message.contains("factorseg worker"), "{message}");
    // With another worker, and after a kill of the trainer with the same one.
    let worker = Worker::start(&[]);
    let mut child = scratch
        .resume("run")
        .args(["--device", &format!("cpu,{}", worker.device)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let before = lines(&run);
    wait_until("a new line", &mut child, || lines(&run) > before);
    child.kill().unwrap();
    child.wait().unwrap();
    expect(&mut scratch.resume("run"), 0);
    assert_same_bits(&scratch.path("whole"), &run, 60);
}

#[test]
fn a_worker_bears_with_anything_and_serves_one_trainer() {
    let scratch = scratch();
    let mut worker = Worker::start(&[]);
    let answer = |bytes: &[u8]| {
        let mut stream = worker.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A connection that is reset has been answered too.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let hello = |json: &str| {
        let mut frame = b"fseg\x01\0\0\0".to_vec();
        frame.extend((json.len() as u64).to_le_bytes());
        frame.extend(json.as_bytes());
        frame
    };
    answer(b"");
    assert!(answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").contains("not from factorseg"));
    assert!(answer(&hello(r#"{"version":77}"#)).contains("version 77"));
    assert!(answer(&hello("[]")).contains("not valid"));
    let mut endless = hello("");
    endless[8..].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(answer(&endless).contains("at most"));

    // While a trainer is connected, another one is told so.
    let open = worker.connect();
    std::thread::sleep(Duration::from_millis(200));
    let message = expect(&mut train(&scratch, "busy", &worker.device, &[]), 1);
    assert!(message.contains("works for another trainer"), "{message}");
    drop(open);
    expect(&mut train(&scratch, "free", &worker.device, &["--steps", "4"]), 0);

    let small = Worker::start(&["--max-memory", "1"]);
    let message = expect(&mut train(&scratch, "small", &small.device, &[]), 1);
    assert!(message.contains("--max-memory"), "{message}");

    let terminated = Command::new("kill")
        .arg(worker.child.id().to_string())
        .status()
        .unwrap();
    assert!(terminated.success());
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_batch_is_split_where_the_recipe_does_not() {
    let scratch = Scratch::new();
    scratch.write("recipe.toml", common::RECIPE.replace("micro_batch = 3", ""));
    let messages = expect(&mut train(&scratch, "run", "cpu,cpu", &["--steps", "4"]), 0);
    assert!(messages.contains("micro_batch is 2"), "{messages}");
    let config = std::fs::read_to_string(scratch.path("run/config.json")).unwrap();
    assert!(config.contains("\"micro_batch\": 2"), "{config}");
    let message = expect(&mut train(&scratch, "many", "cpu,cpu,cpu,cpu,cpu", &[]), 1);
    assert!(message.contains("5 devices"), "{message}");
    expect(&mut train(&scratch, "wrong", "remote:nowhere", &[]), 2);
    let message = expect(&mut train(&scratch, "bf16", "cpu", &["--precision", "bf16"]), 1);
    assert!(message.contains("--precision f32"), "{message}");
}
