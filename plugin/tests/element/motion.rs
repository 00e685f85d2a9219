//! Masks judged again by what moves on its own, with the checkpoint that is built in.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_check as gst_check;
use gstreamer_video::VideoFormat;

use crate::support::*;

pub const WIDTH: usize = 320;
pub const HEIGHT: usize = 180;
/// Side of the square.
const SIDE: usize = 70;

/// Brightness that is smooth over a few pixels, from -1 to 1.
fn texture(x: f32, y: f32) -> f32 {
    let wave = |kx: f32, ky: f32, phase: f32| (kx * x + ky * y + phase + (0.013 * x * ky).sin()).sin();
    (wave(0.11, 0.05, 0.0) + wave(-0.07, 0.13, 1.0) + wave(0.21, 0.17, 2.0) + wave(0.031, -0.023, 3.0)) / 4.0
}

/// Where the square is.
fn square(index: u64) -> (usize, usize) {
    (60 + 5 * index as usize, 55)
}

fn is_inside(index: u64, x: usize, y: usize) -> bool {
    let (left, top) = square(index);
    (left..left + SIDE).contains(&x) && (top..top + SIDE).contains(&y)
}

/// A brownish square that moves to the right over a greenish ground, on which a like one lies, while the camera pans to
/// the right, too.
pub fn frame(index: u64) -> gst::Buffer {
    let mut data = Vec::with_capacity(3 * WIDTH * HEIGHT);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let inside = is_inside(index, x, y);
            let other = (230..230 + SIDE).contains(&(x + 2 * index as usize)) && (90..90 + SIDE).contains(&y);
            let place = if inside {
                x as f32 - square(index).0 as f32 + 1000.0
            } else {
                x as f32 + 2.0 * index as f32
            };
            let light = 60.0 * texture(place, y as f32);
            let color = if inside || other {
                [140.0, 110.0, 80.0]
            } else {
                [95.0, 120.0, 85.0]
            };
            data.extend(color.map(|value: f32| (value + light) as u8));
        }
    }
    let mut frame = gst::Buffer::from_mut_slice(data);
    stamp(&mut frame, index);
    frame
}

struct Stream {
    bench: Bench,
    masks: gst_check::Harness,
    _pad: gst::Pad,
}

impl Stream {
    fn new(motion_model: bool) -> Self {
        init();
        let element = gst::ElementFactory::make("factorseg")
            .property("device", "cpu")
            .property("motion-model", motion_model)
            .build()
            .unwrap();
        let mut bench = Bench::with(element.downcast().unwrap());
        let (pad, masks) = mask_harness(&bench, "mask_0", "foreground-hard");
        bench.set_caps(VideoFormat::Rgb, WIDTH as u32, HEIGHT as u32);
        Self {
            bench,
            masks,
            _pad: pad,
        }
    }

    fn mask(&mut self, frame: gst::Buffer) -> Vec<u8> {
        self.bench.harness.push_and_pull(frame).unwrap();
        bytes(&self.masks.pull().unwrap())
    }
}

/// Intersection over union of a mask with the square.
fn overlap(mask: &[u8], index: u64) -> f64 {
    let (mut both, mut either) = (0, 0);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (found, inside) = (mask[y * WIDTH + x] > 127, is_inside(index, x, y));
            both += usize::from(found && inside);
            either += usize::from(found || inside);
        }
    }
    both as f64 / either.max(1) as f64
}

#[test]
fn what_moves_against_the_camera_is_the_object() {
    let (mut with, mut without) = (Stream::new(true), Stream::new(false));
    let (mut judged, mut alone) = (Vec::new(), Vec::new());
    for index in 0..8 {
        judged.push(overlap(&with.mask(frame(index)), index));
        alone.push(overlap(&without.mask(frame(index)), index));
    }
    // The first frame has none before it, and the second remembers it.
    let with_motion = judged[2..].iter().all(|overlap| *overlap > 0.8);
    let without_motion = alone[2..].iter().all(|overlap| *overlap < 0.6);
    assert!(with_motion && without_motion, "{judged:?}, without {alone:?}");
}

#[test]
fn a_gap_and_a_cut_begin_anew_and_the_flag_alone_does_not() {
    let mut fresh = Stream::new(true);
    let first = fresh.mask(frame(9));
    let mut stream = Stream::new(true);
    let mut flagged = Stream::new(true);
    for index in 0..4 {
        let mut with_flag = frame(index);
        with_flag.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
        assert_eq!(stream.mask(frame(index)), flagged.mask(with_flag), "frame {index}");
    }
    let mut jump = frame(9);
    stamp(&mut jump, 100);
    assert_eq!(stream.mask(jump), first, "after a gap");
    let info = video_info(VideoFormat::Rgb, WIDTH as u32, HEIGHT as u32);
    stream.mask(flat_frame(&info, 101, 250));
    let mut cut = frame(9);
    stamp(&mut cut, 102);
    assert_eq!(stream.mask(cut), first, "after a cut");
}

#[test]
fn the_model_may_be_switched_while_frames_pass() {
    let mut stream = Stream::new(true);
    let mut plain = Stream::new(false);
    for index in 0..6 {
        let on = index % 3 != 2;
        stream.bench.element.set_property("motion-model", on);
        let mask = stream.mask(frame(index));
        let alone = plain.mask(frame(index));
        assert_eq!(mask == alone, !on, "frame {index}");
    }
}
