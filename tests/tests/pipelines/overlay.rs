//! `factorseg-pipeline overlay`, which `scripts/demo.sh` runs, too.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use factorseg_tests::{fail, succeed};
use tempfile::TempDir;

use crate::support::{agreement, folder, frames, launch, part, pipeline};

/// `factorseg-pipeline overlay --in INPUT --out OUTPUT`; the built-in clip without an input.
fn overlay(input: Option<&Path>, output: &Path) -> Command {
    let mut command = pipeline(Path::new("."), "overlay --in");
    command.arg(input.unwrap_or(Path::new("clip"))).arg("--out").arg(output);
    command
}

/// What is in an MP4 file: frames that decode, and whether it has sound.
fn play(file: &Path) -> (usize, bool) {
    let decode = |stream: &str| {
        let text = launch(
            Path::new("."),
            &format!(
                "filesrc location={} ! qtdemux name=d d.{stream}_0 ! decodebin ! fakesink name=out silent=false",
                file.display()
            ),
        );
        text.matches("out: last-message = chain").count()
    };
    let has_sound = std::fs::read(file)
        .unwrap()
        .windows(12)
        .any(|word| word == b"SoundHandler");
    (decode("video"), has_sound && decode("audio") > 0)
}

#[test]
fn the_built_in_clip_becomes_a_video_with_sound_and_a_poster() {
    let directory = TempDir::new().unwrap();
    let video = directory.path().join("demo.mp4");
    let poster = directory.path().join("demo.png");
    let text = succeed(overlay(None, &video).arg("--poster").arg(&poster));
    assert!(text.contains("132 frames in"), "{text}");
    assert!(text.contains("per second"), "{text}");
    assert!(text.contains("device c"), "{text}");
    assert_eq!(play(&video), (132, true));
    let poster = image::open(&poster).unwrap();
    assert_eq!((poster.width(), poster.height()), (1280, 720));

    // Its own output is a video that it reads, odd things said about it are errors.
    let again = directory.path().join("again.mp4");
    let set = |set: &str| {
        let mut command = overlay(Some(&video), &again);
        command.arg(set);
        command
    };
    let text = succeed(set("interval=25").arg("preset=bright tint"));
    assert!(text.contains("132 frames in"), "{text}");
    for (value, expected) in [
        ("colour=red", "no property `colour`"),
        ("overlay=sparkles", "`sparkles` is no value"),
        ("stats=1", "read-only"),
        ("preset=dim", "`bright tint`"),
        ("overlay", "not PROPERTY=VALUE"),
    ] {
        let text = fail(&mut set(value));
        assert!(text.contains(expected), "{value}: {text}");
    }
}

#[test]
fn other_containers_odd_sizes_and_folders_are_read_and_keep_their_sound() {
    let directory = TempDir::new().unwrap();
    let pictures = "videotestsrc num-buffers=20 ! video/x-raw,width=321,height=181,framerate=10/1";
    let sound = "audiotestsrc num-buffers=20 ! audio/x-raw,rate=8000,channels=1 ! queue ! m.";
    for (name, pipeline, expected) in [
        (
            "sound.avi",
            format!("{sound} {pictures} ! jpegenc ! queue ! avimux name=m"),
            (20, true),
        ),
        (
            "silent.webm",
            format!("{pictures} ! vp8enc deadline=1 ! webmmux"),
            (20, false),
        ),
    ] {
        let input = directory.path().join(name);
        launch(
            Path::new("."),
            &format!("{pipeline} ! filesink location={}", input.display()),
        );
        let output = input.with_extension("mp4");
        let poster = input.with_extension("png");
        succeed(overlay(Some(&input), &output).arg("--poster").arg(&poster));
        assert_eq!(play(&output), expected, "{name}");
        let poster = image::open(poster).unwrap();
        assert_eq!((poster.width(), poster.height()), (321, 181), "{name}");
    }

    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let picture = image::RgbImage::from_pixel(64, 48, image::Rgb([200, 100, 0]));
    for name in ["0.png", "1.png", "2.png"] {
        picture.save(folder.join(name)).unwrap();
    }
    let output = directory.path().join("folder.mp4");
    succeed(&mut overlay(Some(&folder), &output));
    assert_eq!(play(&output), (3, false));

    // What comes before a file that cannot be read, or is no picture, is kept, also where it is not the last.
    for (index, why) in [(2, "Is a directory"), (1, "is no picture"), (0, "is no picture")] {
        let broken = folder.join(format!("{index}.png"));
        std::fs::remove_file(&broken).unwrap();
        match why {
            "is no picture" => std::fs::write(&broken, b"no picture").unwrap(),
            _ => std::fs::create_dir(&broken).unwrap(),
        }
        let text = fail(&mut overlay(Some(&folder), &output));
        assert!(
            text.contains("cannot read ") && text.contains(&format!("{index}.png")) && text.contains(why),
            "{text}"
        );
        if index > 0 {
            assert!(
                text.contains(&format!("the output ends after {index} frames: ")),
                "{text}"
            );
            assert_eq!(play(&output), (index, false));
        }
        if broken.is_dir() {
            std::fs::remove_dir(&broken).unwrap();
        }
        picture.save(&broken).unwrap();
    }
}

#[test]
fn an_interrupted_run_leaves_a_file_that_plays() {
    let directory = TempDir::new().unwrap();
    let video = directory.path().join("part.mp4");
    let mut run = overlay(None, &video)
        .arg("samples=8")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = String::new();
    let mut lines = BufReader::new(run.stderr.take().unwrap());
    lines.read_line(&mut progress).unwrap();
    assert!(progress.contains(" of 132 frames"), "{progress}");
    succeed(Command::new("kill").args(["-INT", &run.id().to_string()]));
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let (frames, sound) = play(&video);
    assert!((1..132).contains(&frames) && sound, "{frames}");
}

#[test]
fn inputs_that_are_no_video_are_errors_that_name_them() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("noise.mp4"), [0x5a; 4096]).unwrap();
    let sound = file("sound.ogg");
    launch(
        Path::new("."),
        &format!(
            "audiotestsrc num-buffers=20 ! vorbisenc ! oggmux ! filesink location={}",
            sound.display()
        ),
    );
    std::fs::create_dir(file("folder")).unwrap();
    for (input, output, expected) in [
        ("missing.mp4", "out.mp4", ["missing.mp4", "No such file"]),
        ("folder", "out.mp4", ["folder", "holds no pictures"]),
        ("noise.mp4", "out.mp4", ["noise.mp4", "give a video"]),
        ("sound.ogg", "out.mp4", ["sound.ogg", "it holds no video"]),
        ("noise.mp4", "noise.mp4", ["noise.mp4", "give another"]),
        ("noise.mp4", "nowhere/out.mp4", ["nowhere", "make it first"]),
    ] {
        let text = fail(&mut overlay(Some(&file(input)), &file(output)));
        assert!(expected.iter().all(|part| text.contains(part)), "{input}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn a_telephone_s_video_comes_out_upright() {
    let folder = folder();
    // The matrix of the track says how it is turned: a quarter to the right, in fixed point.
    let mut file = std::fs::read(folder.path().join("in.mp4")).unwrap();
    let track = file.windows(4).position(|word| word == b"tkhd").unwrap();
    for (entry, value) in [(0, 0i32), (1, 1 << 16), (3, -(1 << 16)), (4, 0)] {
        file[track + 44 + 4 * entry..][..4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(folder.path().join("phone.mp4"), file).unwrap();
    succeed(&mut pipeline(
        folder.path(),
        "overlay --in phone.mp4 --out out.mp4 overlay=none",
    ));
    let (before, after) = (frames(folder.path(), "in.mp4"), frames(folder.path(), "out.mp4"));
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert!(agreement(&image::imageops::rotate90(before), after) > 0.99);
    }
}

#[test]
fn the_original_is_on_the_left() {
    let folder = folder();
    succeed(&mut pipeline(
        folder.path(),
        "overlay --in in.mp4 --out out.mp4 --side-by-side alpha=1",
    ));
    let (before, after) = (frames(folder.path(), "in.mp4"), frames(folder.path(), "out.mp4"));
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.dimensions(), (320, 120));
        let (left, right) = (part(after, (0, 0), (160, 120)), part(after, (160, 0), (160, 120)));
        assert!(agreement(before, &left) > 0.99);
        assert!(
            (0.5..0.99).contains(&agreement(before, &right)),
            "{}",
            agreement(before, &right)
        );
    }
}
