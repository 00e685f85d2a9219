//! The pads that carry masks.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFormat;

use crate::support::*;

#[test]
fn masks_have_the_size_and_times_of_their_frames() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    let (_, mut labels) = mask_harness(&bench, "mask_%u", "labels");
    let (_, mut regions) = mask_harness(&bench, "mask_7", "regions");
    for (index, (width, height)) in [(64, 48), (33, 21), (1, 1)].into_iter().enumerate() {
        bench.set_caps(VideoFormat::Nv12, width, height);
        let info = video_info(VideoFormat::Nv12, width, height);
        let video = bench
            .harness
            .push_and_pull(flat_frame(&info, index as u64, 80))
            .unwrap();
        for (harness, rows) in [(&mut labels, height), (&mut regions, 3 * height)] {
            let mask = harness.pull().unwrap();
            assert_eq!((mask.pts(), mask.duration()), (video.pts(), video.duration()));
            assert_eq!(FrameReport::from_buffer(&mask), FrameReport::from_buffer(&video));
            let caps = harness.sinkpad().unwrap().current_caps().unwrap();
            let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
            assert_eq!((info.width(), info.height()), (width, rows));
            assert_eq!(info.format(), VideoFormat::Gray8);
            assert_eq!(info.fps(), gst::Fraction::new(25, 1));
            assert_eq!(mask.size(), info.size());
            if width > 1 {
                let bytes = bytes(&mask);
                let ends = [bytes[0], bytes[width as usize - 1]];
                let expected = if rows == height { [1, 2] } else { [255, 0] };
                assert_eq!(ends, expected);
            }
        }
    }
}

#[test]
fn the_format_may_change_while_playing() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench.element.set_property("foreground-regions", "2");
    let (pad, mut masks) = mask_harness(&bench, "mask_0", "labels");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    for (format, left, right, rows) in [
        ("labels", 1, 2, 48),
        ("foreground", 0, 255, 48),
        ("foreground-hard", 0, 255, 48),
        ("regions", 255, 0, 144),
        ("labels", 1, 2, 48),
    ] {
        pad.set_property_from_str("format", format);
        bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
        let mask = bytes(&masks.pull().unwrap());
        assert_eq!((mask[0], mask[63], mask.len()), (left, right, 64 * rows), "{format}");
    }
}

#[test]
fn a_refined_foreground_follows_the_picture() {
    // The picture's edge lies 5 pixels beside the mask's, which a cell of 10 pixels cannot tell.
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench.element.set_property_from_str("refine", "guided");
    bench.element.set_property("motion-model", false);
    bench.element.set_property("alpha", 1.0);
    bench.element.set_property("colors", "ffffff");
    let (_, mut soft) = mask_harness(&bench, "mask_0", "foreground");
    let (_, mut hard) = mask_harness(&bench, "mask_1", "foreground-hard");
    bench.set_caps(VideoFormat::Gray8, 160, 80);
    let data: Vec<u8> = (0..160 * 80).map(|i| if i % 160 < 85 { 180 } else { 40 }).collect();
    let mut frame = gst::Buffer::from_mut_slice(data);
    stamp(&mut frame, 0);
    let video = bytes(&bench.harness.push_and_pull(frame).unwrap());
    let (soft, hard) = (bytes(&soft.pull().unwrap()), bytes(&hard.pull().unwrap()));
    for y in 0..80 {
        let row = y * 160;
        assert!(
            soft[row + 84] > 127 && soft[row + 85] < 30,
            "{:?}",
            &soft[row + 80..row + 90]
        );
        assert_eq!((hard[row + 84], hard[row + 85]), (255, 0));
        assert!(video[row + 84] > 215 && video[row + 85] < 65);
    }
}

#[test]
fn there_is_a_mask_for_every_frame_even_before_the_first_result() {
    let fake = Fake::slow(Behaviour::Whole, 50);
    let mut bench = Bench::new(&fake);
    bench.element.set_property_from_str("mode", "latest");
    let (_, mut masks) = mask_harness(&bench, "mask_0", "labels");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
    assert!(bytes(&masks.pull().unwrap()).iter().all(|&label| label == 0));
    until("there is a mask", || bench.stat("inferred") > 0);
    let output = bench.harness.push_and_pull(flat_frame(&info, 1, 80)).unwrap();
    let mask = masks.pull().unwrap();
    assert!(bytes(&mask).iter().all(|&label| label == 1));
    assert_eq!(mask.pts(), output.pts());
}

#[test]
fn pads_come_and_go_while_frames_pass() {
    let fake = Fake::new(Behaviour::Whole);
    let mut bench = Bench::new(&fake);
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    for round in 0..20 {
        let (pad, mut masks) = mask_harness(&bench, "mask_%u", "labels");
        assert_eq!(pad.name(), "mask_0");
        bench.harness.push_and_pull(flat_frame(&info, 2 * round, 80)).unwrap();
        masks.pull().unwrap();
        // The harness releases the pad.
        drop(masks);
        assert_eq!(bench.element.num_src_pads(), 1);
        bench
            .harness
            .push_and_pull(flat_frame(&info, 2 * round + 1, 80))
            .unwrap();
    }
    bench.element.request_pad_simple("mask_3").unwrap();
    // Unlinked pads stop nothing.
    bench.harness.push_and_pull(flat_frame(&info, 50, 80)).unwrap();
}

#[test]
fn a_pipeline_of_masks_alone_plays_to_the_end() {
    let text = "videotestsrc num-buffers=10 ! factorseg name=s mask_0::format=foreground \
                s.mask_0 ! videoconvert name=convert ! fakesink name=sink";
    let pipeline = launch(text, &[("s", &Fake::new(Behaviour::Halves))]);
    let events = Arc::new(Mutex::new(Vec::new()));
    let pad = pipeline.by_name("convert").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, {
        let events = events.clone();
        move |_, probe| {
            events.lock().unwrap().extend(probe.event().map(|event| event.type_()));
            gst::PadProbeReturn::Ok
        }
    });
    assert_eq!(played(&pipeline).len(), 10);
    assert_eq!(
        *events.lock().unwrap(),
        [
            gst::EventType::StreamStart,
            gst::EventType::Caps,
            gst::EventType::Segment,
            gst::EventType::Eos
        ]
    );
}

#[test]
fn the_flows_of_all_pads_are_combined() {
    use gst::FlowError::{Eos, Error, Flushing, NotLinked};
    use gst::FlowSuccess::Ok as Taken;
    // What video and mask return, and what upstream hears: the worst, but an end or a missing link only from both.
    for (video, mask, expected) in [
        (Ok(Taken), Ok(Taken), Ok(Taken)),
        (Ok(Taken), Err(Eos), Ok(Taken)),
        (Err(Eos), Ok(Taken), Ok(Taken)),
        (Err(Eos), Err(Eos), Err(Eos)),
        (Ok(Taken), Err(NotLinked), Ok(Taken)),
        (Err(NotLinked), Err(NotLinked), Err(NotLinked)),
        (Err(NotLinked), Err(Eos), Err(Eos)),
        (Ok(Taken), Err(Error), Err(Error)),
        (Err(Error), Ok(Taken), Err(Error)),
        (Ok(Taken), Err(Flushing), Err(Flushing)),
    ] {
        for mode in ["every-frame", "latest"] {
            let fake = Fake::new(Behaviour::Whole);
            let mut bench = Bench::new(&fake);
            bench.element.set_property_from_str("mode", mode);
            let (pad, _masks) = mask_harness(&bench, "mask_0", "labels");
            bench.set_caps(VideoFormat::Rgb, 16, 8);
            let answers = [(bench.element.static_pad("src").unwrap(), video), (pad, mask)];
            for (pad, answer) in answers {
                pad.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
                    probe.flow_res = answer;
                    gst::PadProbeReturn::Handled
                });
            }
            let info = video_info(VideoFormat::Rgb, 16, 8);
            // A frame that waits for its mask learns it for those that follow.
            let flows: Vec<_> = (0..4)
                .map(|index| bench.harness.push(flat_frame(&info, index, 80)))
                .collect();
            assert_eq!(flows[3], expected, "{mode}, video {video:?}, mask {mask:?}: {flows:?}");
            bench.harness.set_drop_buffers(true);
        }
    }
}
