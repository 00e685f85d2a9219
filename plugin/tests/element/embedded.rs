//! The element with the checkpoint that is built in.

use gst::prelude::*;
use gstfactorseg::{FactorSeg, FrameReport};
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

fn element() -> FactorSeg {
    init();
    gst::ElementFactory::make("factorseg")
        .property("device", "cpu")
        .build()
        .unwrap()
        .downcast()
        .unwrap()
}

/// A frame with a bright disc.
fn disc(index: u64) -> gst::Buffer {
    let data: Vec<u8> = (0..96 * 64)
        .flat_map(|i| {
            let (x, y) = ((i % 96) as f32 - 48.0, (i / 96) as f32 - 32.0);
            if x.hypot(y) < 20.0 {
                [220, 180, 90]
            } else {
                [40, 90, 50]
            }
        })
        .collect();
    let mut frame = gst::Buffer::from_mut_slice(data);
    stamp(&mut frame, index);
    frame
}

#[test]
fn a_still_video_has_bit_identical_masks() {
    let mut bench = Bench::with(element());
    bench.set_caps(VideoFormat::Rgb, 96, 64);
    let first = bytes(&bench.harness.push_and_pull(disc(0)).unwrap());
    let second = bench.harness.push_and_pull(disc(1)).unwrap();
    assert_eq!(bytes(&second), first);
    let report = FrameReport::from_buffer(&second).unwrap();
    let area: f64 = report.regions.iter().map(|region| region.area).sum();
    assert!((area - 1.0).abs() < 1e-9);
    assert_eq!(report.mask_pts, second.pts());
    let stats = bench.element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<&str>("device").unwrap(), "cpu");
}

#[test]
fn two_elements_share_a_model_and_one_may_go() {
    let mut first = Bench::with(element());
    let mut second = Bench::with(element());
    second.element.set_property("seed", 5u64);
    for bench in [&mut first, &mut second] {
        bench.set_caps(VideoFormat::Rgb, 96, 64);
    }
    let before = bytes(&second.harness.push_and_pull(disc(0)).unwrap());
    first.harness.push_and_pull(disc(0)).unwrap();
    first.element.set_state(gst::State::Null).unwrap();
    drop(first);
    // The other one's options were not the first one's.
    let after = bytes(&second.harness.push_and_pull(disc(1)).unwrap());
    assert_eq!(before, after);
}
