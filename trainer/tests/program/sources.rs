//! Training from everything that pictures come in, and what goes with it: pack, bench, serve, import.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::common::{Scratch, checkpoints, expect, inspect, metrics, program, state};
use image::{Rgb, RgbImage};

fn packed(scratch: &Scratch, size: &str) -> PathBuf {
    let out = scratch.path("data.pack");
    let mut pack = program();
    pack.arg("pack")
        .arg(scratch.path("data"))
        .arg("--out")
        .arg(&out)
        .args(["--size", size]);
    expect(&mut pack, 0);
    out
}

#[test]
fn a_pack_trains_as_its_folder_does_bit_for_bit() {
    let scratch = Scratch::new();
    // Two regions that compete, whose exported head the held-out pictures decide.
    let competing = super::common::RECIPE.replace(
        "mask_head = \"trained\"\nmasks = { temperature = { from = 0.5, to = 0.5 } }",
        "mask_head = \"trained\"\ncompetition = { block = 0.3, foreground = [0.3, 0.3] }",
    );
    assert_ne!(competing, super::common::RECIPE);
    scratch.write("recipe.toml", competing);
    // Larger than what is trained on, so that the held-out pictures, too, are resampled.
    for i in 0..24u32 {
        let picture = RgbImage::from_fn(37 + i, 45, |x, y| {
            Rgb([(x * 5) as u8, (y * 5) as u8, (x * y + i * 31) as u8])
        });
        let path = scratch.path(&format!("data/n0000000{}/{i:02}.png", i % 2));
        picture.save(path).unwrap();
    }
    expect(&mut scratch.train("folder", &[]), 0);
    // The training side, 16, times the recipe's crop_scale.
    let pack = packed(&scratch, "20");
    expect(&mut scratch.train_on(&pack, "packed", &[]), 0);
    let (folder, packed) = (scratch.path("folder"), scratch.path("packed"));
    assert!(state(&folder, 10) == state(&packed, 10), "the weights differ");
    assert_eq!(metrics(&folder), metrics(&packed), "the log, with the held-out figures");
    // The mask head, into which the held-out pictures' share goes, and all other weights.
    let exported = |run: &Path| {
        let bytes = std::fs::read(run.join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.data().to_vec()));
        tensors.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert!(exported(&folder) == exported(&packed), "the exported weights differ");
    // It goes on, and refuses to when the pack has changed.
    assert!(packed.join("curves.svg").exists());
    assert_eq!(std::fs::read_dir(packed.join("tensorboard")).unwrap().count(), 1);
    let mut smaller = program();
    smaller
        .arg("pack")
        .arg(scratch.path("data"))
        .arg("--out")
        .arg(&pack)
        .args(["--size", "16"]);
    expect(&mut smaller, 0);
    assert!(expect(&mut scratch.resume("packed"), 1).contains("not those that the run began with"));
    let message = expect(&mut scratch.train_on(&pack, "close", &["--steps", "2"]), 0);
    assert!(message.contains("--size 20"), "{message}");
    let mut large = program();
    large.arg("train").arg(&pack).arg("--run").arg(scratch.path("large"));
    large
        .args(["--preset", "tiny", "--recipe"])
        .arg(scratch.path("recipe.toml"));
    let message = expect(&mut large, 1);
    assert!(
        message.contains("packed at 16 pixels") && message.contains("--size 40"),
        "{message}"
    );
}

#[test]
fn shards_and_videos_train() {
    let scratch = Scratch::new();
    let mut tar = std::process::Command::new("tar");
    assert!(
        tar.arg("-cf")
            .arg(scratch.path("data.tar"))
            .arg("-C")
            .arg(scratch.path("data"))
            .arg(".")
            .status()
            .unwrap()
            .success()
    );
    let messages = expect(
        &mut scratch.train_on(&scratch.path("data.tar"), "shards", &["--steps", "4"]),
        0,
    );
    assert!(messages.contains("24 images of 2 classes"), "{messages}");

    // Two seconds of a moving ball, then one of another picture: frames that differ, and one that does not.
    std::fs::create_dir(scratch.path("footage")).unwrap();
    let mut launch = std::process::Command::new("gst-launch-1.0");
    let description = format!(
        "-q concat name=c ! jpegenc ! avimux ! filesink location={} \
         videotestsrc num-buffers=20 pattern=ball ! video/x-raw,width=64,height=48,framerate=10/1 ! c. \
         videotestsrc num-buffers=10 pattern=smpte ! video/x-raw,width=64,height=48,framerate=10/1 ! c.",
        scratch.path("footage/clip.avi").display()
    );
    assert!(launch.args(description.split_whitespace()).status().unwrap().success());
    scratch.write("footage/broken.mp4", b"no video");
    let frames = ["--steps", "4", "--frames-per-second", "5"];
    let messages = expect(&mut scratch.train_on(&scratch.path("footage"), "videos", &frames), 0);
    assert!(
        messages.contains("skipped broken broken.mp4") && messages.contains("clip.avi: "),
        "{messages}"
    );
    assert_eq!(checkpoints(&scratch.path("videos")), [4]);
    let message = expect(&mut scratch.train_on(&scratch.path("footage"), "videos", &[]), 1);
    assert!(message.contains("factorseg resume"), "{message}");
    // The run holds its own data: it goes on without the videos.
    std::fs::remove_file(scratch.path("footage/clip.avi")).unwrap();
    expect(&mut scratch.resume("videos"), 0);
}

#[cfg(not(feature = "object-store"))]
#[test]
fn a_program_without_object_stores_says_how_to_get_them() {
    let mut pack = program();
    pack.args(["pack", "s3://bucket/x.tar", "--out", "out.pack"]);
    assert!(expect(&mut pack, 1).contains("object-store"));
}

#[test]
fn packing_says_what_is_wrong_and_leaves_nothing() {
    let scratch = Scratch::new();
    let pack = |source: &str, more: &[&str], code: i32| {
        let mut command = program();
        command
            .arg("pack")
            .arg(source)
            .arg("--out")
            .arg(scratch.path("out.pack"))
            .args(more);
        expect(&mut command, code)
    };
    assert!(pack(scratch.path("nowhere").to_str().unwrap(), &[], 1).contains("does not exist"));
    assert!(pack("data-{0..}.tar", &[], 1).contains("{000..127}"));
    pack(scratch.path("data").to_str().unwrap(), &["--size", "0"], 2);
    pack(
        scratch.path("data").to_str().unwrap(),
        &["--frames-per-second", "-1"],
        2,
    );
    // A full disk, in small.
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" pack \"$1\" --out \"$2\""]);
    limited
        .arg(env!("CARGO_BIN_EXE_factorseg"))
        .arg(scratch.path("data"))
        .arg(scratch.path("out.pack"));
    let message = expect(&mut limited, 1);
    assert!(
        message.contains("out.pack") && message.contains("free some space"),
        "{message}"
    );
    let left: Vec<_> = std::fs::read_dir(scratch.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_loader_is_measured() {
    let scratch = Scratch::new();
    let pack = packed(&scratch, "20");
    let output = program()
        .args(["bench", "loader"])
        .arg(&pack)
        .args(["--image-size", "16", "--batch-size", "8", "--seconds", "1", "--json"])
        .output()
        .unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["images_per_second"].as_f64().unwrap() > 100.0, "{line}");
    assert_eq!((&line["images"], &line["batch_size"]), (&24.into(), &8.into()));
}

#[test]
fn training_is_measured() {
    let mut bench = program();
    bench.args([
        "bench",
        "train",
        "--preset",
        "tiny",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--batch-size",
        "2",
    ]);
    let output = bench
        .args(["--steps", "2", "--warmup", "1", "--json"])
        .output()
        .unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let number = |name: &str| line[name].as_f64().unwrap();
    let shares = ["input_wait", "forward", "backward", "optimizer"].map(number);
    assert!(
        shares.iter().sum::<f64>() <= 1.001 && shares[1] > 0.0 && shares[2] > 0.0,
        "{line}"
    );
    assert!(number("images_per_second") > 0.0 && number("loss") > 0.0, "{line}");
    assert!(expect(program().args(["bench", "train", "--phase", "9"]), 1).contains("phases 0 to"));
}

fn fetch(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_run_is_served() {
    let scratch = Scratch::new();
    assert!(expect(program().arg("serve").arg(scratch.path("data")), 1).contains("holds no run"));
    expect(&mut scratch.train("run", &[]), 0);
    let mut server = program()
        .arg("serve")
        .arg(scratch.path("run"))
        .args(["--port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let status = fetch(&address, "/status.json");
    let status: serde_json::Value = serde_json::from_str(status.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        (&status["train"]["step"], &status["total_steps"]),
        (&10.into(), &10.into())
    );
    let sample = status["samples"][0].as_str().unwrap();
    assert!(fetch(&address, &format!("/samples/{sample}")).contains("PNG"));
    assert!(fetch(&address, "/curves.svg").contains(">masks</text>"));
    assert!(fetch(&address, "/checkpoints/step-000000010/model.safetensors").starts_with("HTTP/1.1 404"));
    std::process::Command::new("kill")
        .arg(server.id().to_string())
        .status()
        .unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn a_public_network_is_imported_and_trained_on() {
    let scratch = Scratch::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/import/tests/fixtures/improved.pt");
    let out = scratch.path("imported.safetensors");
    let import = |more: &[&str], code| {
        let mut command = program();
        command
            .arg("import")
            .arg(&fixture)
            .arg("--out")
            .arg(&out)
            .args(["--image-size", "16"])
            .args(more);
        expect(&mut command, code)
    };
    assert!(import(&[], 0).contains("--noise-schedule cosine"));
    assert!(import(&["--noise-schedule", "cosine", "--diffusion-steps", "1500"], 1).contains("multiple of 1000"));
    assert!(import(&["--diffusion-steps", "4000"], 1).contains("linear schedule"));
    let mut told_all = vec!["--noise-schedule", "cosine", "--diffusion-steps", "1500"];
    told_all.extend(["--no-rescale-timesteps"]);
    assert!(import(&told_all, 0).contains("of 1500 has the noise"));
    assert!(import(&["--heads", "5"], 1).contains("--heads"));
    assert!(import(&["--noise-schedule", "cosine"], 0).contains("noise of the paper's t = 30"));
    let description = inspect(&out);
    assert_eq!(
        (
            &description["config"]["regions"],
            &description["config"]["base_channels"]
        ),
        (&3.into(), &32.into())
    );

    let config = train_from(&scratch, &out);
    assert!(config.contains("\"cosine_steps\": 4000"), "{config}");
}

/// Trains on the network of a checkpoint, from its weights alone: a step of each phase, on the checkpoint's own schedule.
/// Returns the run's configuration.
fn train_from(scratch: &Scratch, checkpoint: &Path) -> String {
    let mut command = program();
    command
        .arg("train")
        .arg(scratch.path("data"))
        .arg("--run")
        .arg(scratch.path("run"));
    command.args([
        "--device",
        "cpu",
        "--threads",
        "1",
        "--steps",
        "4",
        "--held-out",
        "0",
        "--unconditional",
    ]);
    command
        .arg("--init-from")
        .arg(checkpoint)
        .arg("--recipe")
        .arg(scratch.path("recipe.toml"));
    let messages = expect(&mut command, 0);
    assert!(!messages.contains("afresh"), "{messages}");
    std::fs::read_to_string(scratch.path("run/config.json")).unwrap()
}

/// guided-diffusion's published 64x64 network but for its width and the images' size: imported by one command, trained,
/// and segmented with.
#[test]
fn a_network_with_resblock_updown_is_imported_and_trained_on() {
    let scratch = Scratch::new();
    let (file, out) = (
        scratch.path("64x64_diffusion.safetensors"),
        scratch.path("guided.safetensors"),
    );
    super::made::write("guided-64", &file);
    let import = |more: &[&str], code| {
        let mut command = program();
        command.arg("import").arg(&file).arg("--out").arg(&out);
        command.args([
            "--image-size",
            "16",
            "--regions",
            "2",
            "--new-attention-order",
            "--noise-schedule",
            "cosine",
            "--diffusion-steps",
            "1000",
        ]);
        expect(command.args(more), code)
    };
    // Without its heads it would be another network.
    assert!(import(&[], 1).contains("--head-channels"));
    assert!(!out.exists());
    import(&["--head-channels", "16"], 0);
    let config = train_from(&scratch, &out);
    for field in [
        "\"resblock_updown\": true",
        "\"attention_head_channels\": 16",
        "\"cosine_steps\": 1000",
    ] {
        assert!(config.contains(field), "{field}: {config}");
    }
    let last = metrics(&scratch.path("run")).pop().unwrap();
    assert_eq!(last["step"], 4);
    assert!(last["loss"].as_f64().is_some_and(f64::is_finite), "{last}");
    let mut segment = program();
    segment
        .arg("segment")
        .arg(scratch.path("data/n00000000"))
        .arg("--model")
        .arg(scratch.path("run/model.safetensors"))
        .arg("--out")
        .arg(scratch.path("segmented"))
        .args(["--device", "cpu"]);
    expect(&mut segment, 0);
    assert!(std::fs::read_dir(scratch.path("segmented")).unwrap().count() >= 12);
}
