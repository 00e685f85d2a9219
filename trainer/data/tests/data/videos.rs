//! Videos as training data: made here with GStreamer, cut, broken, and mixed with pictures.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::common::{Scratch, options, pack_it};
use factorseg_data::dataset::DataSet;
use factorseg_data::packing::{FrameOptions, PackOptions, Witness};
use factorseg_data::video::frames;
use gstreamer::prelude::*;

/// A video of several scenes, each a second of a test pattern at 10 frames a second.
fn video(path: &Path, patterns: &[&str]) {
    video_in("avimux", path, patterns);
}

fn video_in(container: &str, path: &Path, patterns: &[&str]) {
    gstreamer::init().unwrap();
    let mut description = format!(
        "concat name=all ! jpegenc ! {container} ! filesink location={} ",
        path.display()
    );
    for pattern in patterns {
        description += &format!(
            "videotestsrc num-buffers=10 pattern={pattern} ! video/x-raw,width=96,height=64,framerate=10/1 ! all. "
        );
    }
    let pipeline = gstreamer::parse::launch(&description).unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(
        gstreamer::ClockTime::from_seconds(30),
        &[gstreamer::MessageType::Eos, gstreamer::MessageType::Error],
    );
    pipeline.set_state(gstreamer::State::Null).unwrap();
    assert_eq!(end.unwrap().type_(), gstreamer::MessageType::Eos);
}

#[test]
fn every_shot_gives_a_frame_and_no_picture_comes_twice() {
    let scratch = Scratch::new();
    let path = scratch.path("clip.avi");
    // Two still scenes, one that returns, and a moving one.
    video(&path, &["smpte", "checkers-8", "smpte", "ball", "black"]);
    let stop = AtomicBool::new(false);
    let packing = |per_second: f64, per_video: usize| PackOptions {
        frames: FrameOptions {
            per_second,
            per_video,
            ..FrameOptions::default()
        },
        ..options(32)
    };
    let all = frames(&path, &packing(5.0, 200), &stop).unwrap();
    assert_eq!((all.error.as_deref(), all.seen), (None, 25));
    assert!((4..=5).contains(&all.shots), "{} shots", all.shots);
    let of_second = |second: u64| all.frames.iter().filter(|frame| frame.time.as_secs() == second).count();
    // The still scenes once each, the one that returns not again, the black one never.
    assert_eq!([0, 1, 2, 4].map(of_second), [1, 1, 0, 0]);
    assert!(
        all.frames
            .iter()
            .all(|frame| (frame.pixels.width, frame.pixels.height) == (48, 32))
    );
    let few = frames(&path, &packing(5.0, 2), &stop).unwrap();
    assert_eq!(few.frames.len(), 2);
}

#[test]
fn a_folder_of_pictures_and_videos_is_packed() {
    let scratch = Scratch::new();
    for class in ["walks", "rides"] {
        scratch.picture(&format!("data/{class}/still.png"), 3);
    }
    video(&scratch.path("data/walks/clip.avi"), &["smpte", "checkers-8"]);
    scratch.write("data/rides/broken.mp4", b"no video");
    let whole = std::fs::read(scratch.path("data/walks/clip.avi")).unwrap();
    scratch.write("data/rides/cut.avi", &whole[..whole.len() / 3]);
    let data = scratch.path("data");
    assert!(DataSet::open(&data).unwrap_err().to_string().contains("factorseg pack"));
    let out = scratch.path("data.pack");
    let (packed, broken) = pack_it(data.to_str().unwrap(), &out, &options(24)).unwrap();
    assert!(
        broken.iter().any(|line| line.starts_with("rides/broken.mp4: ")),
        "{broken:?}"
    );
    let pack = DataSet::open(&out).unwrap();
    assert_eq!(
        (pack.classes(), packed.images),
        (&["rides".to_owned(), "walks".to_owned()][..], pack.len() as u64)
    );
    let names: Vec<String> = (0..pack.len()).map(|index| pack.name(index)).collect();
    let frames = names
        .iter()
        .filter(|name| name.starts_with("walks/clip.avi#t="))
        .count();
    assert_eq!(
        (frames, names.contains(&"walks/still.png".to_owned())),
        (2, true),
        "{names:?}"
    );
    let clip = names.iter().position(|name| name.starts_with("walks/clip")).unwrap();
    assert_eq!((pack.class(clip), pack.read(clip, 24).unwrap().height), (Some(1), 24));
    // What can be decoded of a video that is cut short is used.
    assert!(
        names.iter().any(|name| name.starts_with("rides/cut.avi#t=")),
        "{names:?}"
    );
    let strict = factorseg_data::packing::PackOptions {
        max_broken: 0,
        ..options(24)
    };
    let error = pack_it(data.to_str().unwrap(), &out, &strict).unwrap_err().to_string();
    assert!(error.contains("broken.mp4"), "{error}");
}

/// A phone held upright writes frames that lie, and a matrix that turns them.
#[test]
fn videos_are_turned_as_they_say() {
    let scratch = Scratch::new();
    let path = scratch.path("phone.mov");
    video_in("qtmux", &path, &["smpte"]);
    let stop = AtomicBool::new(false);
    let upright = frames(&path, &options(32), &stop).unwrap().frames;
    let mut bytes = std::fs::read(&path).unwrap();
    // The matrix of the track's header, version 0: a quarter to the right.
    let at = bytes.windows(4).position(|four| four == b"tkhd").unwrap() + 44;
    for (place, value) in [0, 0x10000, 0, -0x10000, 0, 0, 64 << 16, 0, 0x4000_0000i32]
        .iter()
        .enumerate()
    {
        bytes[at + 4 * place..][..4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let turned = frames(&path, &options(32), &stop).unwrap();
    assert_eq!(turned.error, None);
    let (upright, turned) = (&upright[0].pixels, &turned.frames[0].pixels);
    assert_eq!((turned.width, turned.height), (32, 48));
    // The first pixel comes to the upper right corner.
    let last = turned.width * 3 - 3;
    for channel in 0..3 {
        assert!(turned.data[last + channel].abs_diff(upright.data[channel]) < 12);
    }
}

/// A moving edge of which the lines are taken in turns: a comb, unless one field is taken alone.
#[test]
fn interlaced_videos_have_no_combs() {
    gstreamer::init().unwrap();
    if gstreamer::ElementFactory::find("y4mdec").is_none() {
        eprintln!("not run: no y4mdec (gst-plugins-bad)");
        return;
    }
    let scratch = Scratch::new();
    let (width, height) = (96usize, 64usize);
    let mut bytes = format!("YUV4MPEG2 C420 W{width} H{height} It F10:1 A1:1\n").into_bytes();
    for frame in 0..10 {
        bytes.extend(b"FRAME\n");
        for y in 0..height {
            // The second field comes later, so the edge is further on.
            let edge = 8 * frame + if y % 2 == 0 { 0 } else { 12 };
            bytes.extend((0..width).map(|x| if x < edge { 220 } else { 30 }));
        }
        bytes.extend(vec![128; width * height / 2]);
    }
    let path = scratch.write("old.y4m", bytes);
    let often = PackOptions {
        frames: FrameOptions {
            per_second: 10.0,
            ..FrameOptions::default()
        },
        ..options(height)
    };
    let found = frames(&path, &often, &AtomicBool::new(false)).unwrap();
    assert_eq!(found.error, None);
    assert!(found.frames.len() > 2);
    for frame in &found.frames {
        let row = |y: usize| &frame.pixels.data[y * frame.pixels.width * 3..][..frame.pixels.width * 3];
        let combs = (1..height).map(|y| {
            row(y)
                .iter()
                .zip(row(y - 1))
                .filter(|(a, b)| a.abs_diff(**b) > 60)
                .count()
        });
        assert_eq!(combs.sum::<usize>(), 0);
    }
}

/// Sees the object in the left half of every second frame it is shown, and counts what it is shown at once.
#[derive(Debug, Default)]
struct EverySecond(std::sync::Mutex<Vec<usize>>);

impl Witness for EverySecond {
    fn objects(&self, frames: &[image::RgbImage]) -> Result<Vec<Option<image::GrayImage>>, String> {
        self.0.lock().unwrap().push(frames.len());
        let object = image::GrayImage::from_fn(12, 8, |x, _| image::Luma([if x < 6 { 255 } else { 0 }]));
        Ok((0..frames.len())
            .map(|frame| (frame % 2 == 1).then(|| object.clone()))
            .collect())
    }
}

#[test]
fn frames_come_with_what_a_witness_is_sure_of() {
    let scratch = Scratch::new();
    let path = scratch.path("clip.avi");
    video(&path, &["ball", "smpte"]);
    let witness = std::sync::Arc::new(EverySecond::default());
    let watched = PackOptions {
        frames: FrameOptions {
            per_second: 5.0,
            duplicate_bits: 0,
            ..FrameOptions::default()
        },
        witness: Some(witness.clone()),
        ..options(32)
    };
    let out = scratch.path("clip.pack");
    pack_it(path.to_str().unwrap(), &out, &watched).unwrap();
    // A shot at a time, at the video's own rate.
    assert_eq!(*witness.0.lock().unwrap(), [10, 10]);
    let pack = DataSet::open(&out).unwrap();
    assert!(pack.has_objects() && pack.len() >= 2, "{}", pack.len());
    for index in 0..pack.len() {
        for side in [32, 16] {
            let pixels = pack.read(index, side).unwrap();
            let object = pixels.object.unwrap();
            let row = &object[..pixels.width];
            assert_eq!(
                (object.len(), row[0], row[pixels.width - 1]),
                (side * pixels.width, 255, 0)
            );
            assert!(
                row[pixels.width / 2 - 3] > 200 && row[pixels.width / 2 + 2] < 55,
                "{row:?}"
            );
        }
    }
    // A pack of a pack keeps them; nothing sure is nothing packed.
    let again = scratch.path("again.pack");
    pack_it(out.to_str().unwrap(), &again, &options(24)).unwrap();
    assert!(DataSet::open(&again).unwrap().read(0, 24).unwrap().object.is_some());
}
