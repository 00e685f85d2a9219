//! What the element promises to those around it, and what its mask pads carry beside masks.

use gstreamer as gst;
use gstreamer_check as gst_check;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFormat;
use gstreamer_video::prelude::*;

use crate::support::*;

/// Answers allocation queries at a pad as a sink that takes every meta.
fn take_all_metas(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        match info.query_mut().map(|query| query.view_mut()) {
            Some(gst::QueryViewMut::Allocation(allocation)) => {
                allocation.add_allocation_meta::<gst_video::VideoCropMeta>(None);
                allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
                allocation.add_allocation_meta::<gst_video::VideoAffineTransformationMeta>(None);
                allocation.add_allocation_meta::<gst_video::VideoOverlayCompositionMeta>(None);
                allocation.add_allocation_meta::<gst_video::VideoRegionOfInterestMeta>(None);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

#[test]
fn only_metas_that_are_heeded_are_promised() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Halves));
    take_all_metas(&bench.harness.sinkpad().unwrap());
    bench.set_caps(VideoFormat::I420, 64, 48);
    let caps = video_info(VideoFormat::I420, 64, 48).to_caps().unwrap();
    let mut query = gst::query::Allocation::new(Some(&caps), true);
    assert!(bench.element.static_pad("sink").unwrap().query(&mut query));
    let metas: Vec<_> = query.allocation_metas().map(|(api, _)| api).collect();
    let kept = [
        gst_video::VideoMeta::meta_api(),
        gst_video::VideoRegionOfInterestMeta::meta_api(),
    ];
    assert_eq!(metas, kept);
}

#[test]
fn a_crop_before_the_element_is_carried_out() {
    let fake = Fake::new(Behaviour::Brightness);
    let text = "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=160,height=120 ! videocrop left=80 top=40 \
                ! factorseg name=s overlay=none ! fakesink name=sink";
    let pipeline = launch(text, &[("s", &fake)]);
    take_all_metas(&pipeline.by_name("sink").unwrap().static_pad("sink").unwrap());
    for buffer in played(&pipeline) {
        assert!(buffer.meta::<gst_video::VideoCropMeta>().is_none());
        let info = video_info(VideoFormat::I420, 80, 80);
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info).unwrap();
        assert_eq!((frame.info().width(), frame.info().height()), (80, 80));
    }
}

#[test]
fn the_network_sees_square_pixels() {
    let fake = Fake::new(Behaviour::Halves);
    for ((width, height), (n, d), expected) in [
        ((40, 48), (1, 1), (8, 16)),
        ((40, 48), (2, 1), (16, 8)),
        ((64, 48), (1, 2), (8, 16)),
        ((64, 48), (1, i32::MAX), (8, 16)),
        ((48, 64), (i32::MAX, 1), (16, 8)),
        ((720, 576), (64, 45), (16, 8)),
    ] {
        let mut bench = Bench::new(&fake);
        let info = gst_video::VideoInfo::builder(VideoFormat::I420, width, height)
            .fps(gst::Fraction::new(25, 1))
            .par(gst::Fraction::new(n, d))
            .build()
            .unwrap();
        bench.harness.set_src_caps(info.to_caps().unwrap());
        bench.harness.push_and_pull(flat_frame(&info, 0, 90)).unwrap();
        assert_eq!(fake.inputs.lock().unwrap().last(), Some(&expected), "{n}:{d}");
        // The same frame with other pixels is another picture.
        let square = video_info(VideoFormat::I420, width, height);
        bench.harness.set_src_caps(square.to_caps().unwrap());
        bench.harness.push_and_pull(flat_frame(&square, 1, 90)).unwrap();
        let expected = if width >= height { (16, 8) } else { (8, 16) };
        assert_eq!(fake.inputs.lock().unwrap().last(), Some(&expected));
    }
}

/// The tags and custom events that a pad got, in order.
fn told(harness: &mut gst_check::Harness) -> Vec<String> {
    std::iter::from_fn(|| harness.try_pull_event())
        .filter_map(|event| match event.view() {
            gst::EventView::Tag(tag) => Some(tag.tag().to_string()),
            gst::EventView::CustomDownstream(custom) => Some(custom.structure()?.name().to_string()),
            gst::EventView::CustomDownstreamSticky(custom) => Some(custom.structure()?.name().to_string()),
            gst::EventView::CustomDownstreamOob(custom) => Some(custom.structure()?.name().to_string()),
            gst::EventView::Toc(_) | gst::EventView::StreamCollection(_) | gst::EventView::SegmentDone(_) => {
                Some(event.type_().name().to_string())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn masks_carry_all_tags_and_events_of_the_video() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Halves));
    let (_, mut masks) = mask_harness(&bench, "mask_0", "labels");
    let orientation = |text: &str| {
        let mut tags = gst::TagList::new();
        tags.make_mut()
            .add::<gst::tags::ImageOrientation>(&text, gst::TagMergeMode::Append);
        gst::event::Tag::new(tags)
    };
    let global = || {
        let mut tags = gst::TagList::new();
        tags.make_mut().set_scope(gst::TagScope::Global);
        tags.make_mut()
            .add::<gst::tags::Title>(&"a film", gst::TagMergeMode::Append);
        gst::event::Tag::new(tags)
    };
    let custom = |name: &str| gst::Structure::new_empty(name);
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    bench.harness.push_event(orientation("rotate-90"));
    bench.harness.push_event(global());
    bench
        .harness
        .push_event(gst::event::CustomDownstreamSticky::new(custom("stays")));
    let info = video_info(VideoFormat::Rgb, 64, 48);
    bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
    bench
        .harness
        .push_event(gst::event::CustomDownstream::new(custom("passes")));
    bench
        .harness
        .push_event(gst::event::CustomDownstreamOob::new(custom("hurries")));
    bench.harness.push_event(orientation("rotate-180"));
    let end = gst::ClockTime::from_seconds(1);
    bench.harness.push_event(gst::event::SegmentDone::new(end));
    bench.harness.push_and_pull(flat_frame(&info, 1, 80)).unwrap();
    let video = told(&mut bench.harness);
    assert_eq!(video.len(), 7, "{video:?}");
    assert_eq!(told(&mut masks), video);
    // A pad that comes late gets what stays.
    let (_, mut late) = mask_harness(&bench, "mask_1", "labels");
    bench.harness.push_and_pull(flat_frame(&info, 2, 80)).unwrap();
    let late = told(&mut late);
    assert_eq!(late.len(), 3, "{late:?}");
    assert!(
        late.iter().any(|tag| tag.contains("rotate-180")) && late.contains(&"stays".into()),
        "{late:?}"
    );
}

#[test]
fn a_gap_in_the_video_is_one_in_the_masks() {
    let mut bench = Bench::new(&Fake::slow(Behaviour::Halves, 0));
    let (_, mut masks) = mask_harness(&bench, "mask_0", "labels");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let mut gap = gst::Buffer::new();
    stamp(&mut gap, 3);
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    bench.harness.push_and_pull(gap).unwrap();
    let gaps: Vec<_> = std::iter::from_fn(|| masks.try_pull_event())
        .filter_map(|event| match event.view() {
            gst::EventView::Gap(gap) => Some(gap.get()),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(3 * FRAME_DURATION, Some(FRAME_DURATION))]);
    assert_eq!(masks.buffers_received(), 0);
}

#[test]
fn a_frame_without_a_mask_is_flagged_on_mask_pads() {
    let fake = Fake::new(Behaviour::Fails);
    let element = fake.element();
    element.set_property_from_str("on-error", "passthrough");
    let mut bench = Bench::with(element);
    let (_, mut masks) = mask_harness(&bench, "mask_0", "labels");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    for (index, behaviour, gap) in [(0, Behaviour::Fails, true), (1, Behaviour::Halves, false)] {
        fake.behave(behaviour);
        bench.harness.push_and_pull(flat_frame(&info, index, 80)).unwrap();
        let flags = masks.pull().unwrap().flags();
        assert_eq!(flags.contains(gst::BufferFlags::GAP), gap);
    }
}

#[test]
fn progressive_frames_in_interlaced_carriage_play() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench
        .harness
        .set_src_caps_str("video/x-raw,format=I420,width=64,height=48,framerate=25/1,interlace-mode=mixed");
    let info = video_info(VideoFormat::I420, 64, 48);
    bench.harness.push_and_pull(flat_frame(&info, 0, 90)).unwrap();
    // One that is woven does not end the stream either.
    let mut woven = flat_frame(&info, 1, 90);
    woven
        .get_mut()
        .unwrap()
        .set_video_flags(gst_video::VideoBufferFlags::INTERLACED);
    bench.harness.push_and_pull(woven).unwrap();
    assert_eq!(fake.segmented(), 2);
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
}

#[test]
fn interlaced_caps_are_refused_by_the_template() {
    let bench = Bench::new(&Fake::new(Behaviour::Halves));
    let sink = bench.element.static_pad("sink").unwrap();
    for mode in ["progressive", "mixed", "interleaved", "fields", "alternate"] {
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("interlace-mode", mode)
            .build();
        let taken = ["progressive", "mixed"].contains(&mode);
        assert_eq!(sink.pad_template_caps().can_intersect(&caps), taken, "{mode}");
        assert_eq!(!sink.query_caps(Some(&caps)).is_empty(), taken, "{mode}");
    }
    let silent = gst::Caps::builder("video/x-raw").field("format", "I420").build();
    assert!(!sink.query_caps(Some(&silent)).is_empty());
}

#[test]
fn deinterlacing_one_field_keeps_the_rate() {
    let fake = Fake::new(Behaviour::Halves);
    let text = "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 \
                ! interlace field-pattern=1:1 ! deinterlace fields=top ! factorseg name=s overlay=none ! fakesink name=sink";
    // Two frames become the fields of one.
    let buffers = played(&launch(text, &[("s", &fake)]));
    assert!((4..=6).contains(&buffers.len()), "{}", buffers.len());
    assert_eq!(buffers[0].duration(), Some(2 * FRAME_DURATION));
}

/// A live source of 20 ms before a harness.
fn live_bench(fake: &Fake) -> Bench {
    let element = fake.element();
    element.set_property_from_str("mode", "every-frame");
    let mut bench = Bench::with(element);
    bench.harness.set_live(true);
    bench.harness.set_upstream_latency(gst::ClockTime::from_mseconds(20));
    bench
}

#[test]
fn mask_pads_have_the_latency_of_the_video() {
    let mut bench = live_bench(&Fake::slow(Behaviour::Halves, 30));
    let (pad, mut masks) = mask_harness(&bench, "mask_0", "labels");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    for index in 0..6 {
        bench.harness.push_and_pull(flat_frame(&info, index, 80)).unwrap();
        masks.pull().unwrap();
    }
    let latency = |pad: &gst::Pad| {
        let mut query = gst::query::Latency::new();
        assert!(pad.query(&mut query));
        query.result()
    };
    let video = latency(&bench.element.static_pad("src").unwrap());
    assert!(video.0 && video.1 >= gst::ClockTime::from_mseconds(50), "{video:?}");
    assert_eq!(latency(&pad), video);
}

#[test]
fn a_sink_of_masks_that_is_late_is_heard() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench.element.set_property_from_str("mode", "every-frame");
    let (pad, mut masks) = mask_harness(&bench, "mask_0", "labels");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    let mut push = |bench: &mut Bench, index| {
        bench.harness.push_and_pull(flat_frame(&info, index, 80)).unwrap();
        masks.pull().unwrap();
    };
    push(&mut bench, 0);
    let late =
        |timestamp: u64, by: i64| gst::event::Qos::new(gst::QOSType::Underflow, 1.0, by, timestamp * FRAME_DURATION);
    // Frame 2 was late by a frame: those before the fourth are not segmented.
    pad.send_event(late(2, FRAME_DURATION.nseconds() as i64));
    // The video's sink is on time, which does not help the other.
    bench
        .harness
        .push_upstream_event(late(2, -(FRAME_DURATION.nseconds() as i64)));
    for index in 1..4 {
        push(&mut bench, index);
    }
    assert_eq!(fake.segmented(), 1);
    push(&mut bench, 4);
    assert_eq!(fake.segmented(), 2);
}

/// What a mask pad can send, as it answers.
fn mask_caps(bench: &Bench, format: &str) -> gst::Caps {
    let pad = bench.element.request_pad_simple("mask_%u").unwrap();
    pad.set_property_from_str("format", format);
    pad.query_caps(None)
}

#[test]
fn mask_pads_answer_with_the_frames_size() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench.set_caps(VideoFormat::Nv12, 64, 48);
    let info = video_info(VideoFormat::Nv12, 64, 48);
    bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
    for (format, height) in [("labels", 48), ("foreground", 48), ("regions", 144)] {
        let caps = mask_caps(&bench, format);
        let structure = caps.structure(0).unwrap();
        assert_eq!(structure.get::<&str>("format"), Ok("GRAY8"));
        assert_eq!(structure.get::<i32>("width"), Ok(64), "{caps}");
        assert_eq!(structure.get::<i32>("height"), Ok(height), "{caps}");
        assert_eq!(
            structure.get::<gst::Fraction>("framerate"),
            Ok(gst::Fraction::new(25, 1))
        );
    }
}

#[test]
fn frames_have_the_size_that_masks_are_wanted_in() {
    let element = Fake::new(Behaviour::Halves).element();
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("videotestsrc").property("num-buffers", 2);
    let source = source.build().unwrap();
    let sink = |caps: &str| {
        let filter = gst::ElementFactory::make("capsfilter").property_from_str("caps", caps);
        let sink = gst::ElementFactory::make("fakesink").property("async", false);
        let made = [filter.build().unwrap(), sink.build().unwrap()];
        pipeline.add_many(&made).unwrap();
        made[0].link(&made[1]).unwrap();
        made[0].clone()
    };
    pipeline.add_many([&source, element.upcast_ref()]).unwrap();
    source.link(&element).unwrap();
    element.link_pads(Some("src"), &sink("video/x-raw"), None).unwrap();
    let masks = sink("video/x-raw,width=96,height=64,framerate=10/1");
    element.link_pads(Some("mask_%u"), &masks, None).unwrap();
    play_to_the_end(&pipeline);
    let caps = element.static_pad("src").unwrap().current_caps().unwrap();
    let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
    assert_eq!(
        (info.width(), info.height(), info.fps()),
        (96, 64, gst::Fraction::new(10, 1))
    );
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn masks_that_nobody_takes_are_an_error_that_names_the_pad() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Halves));
    let (_, mut masks) = mask_harness(&bench, "mask_0", "labels");
    masks.set_sink_caps_str("video/x-raw,format=GRAY8,width=32,height=32");
    bench.set_caps(VideoFormat::Rgb, 64, 48);
    let info = video_info(VideoFormat::Rgb, 64, 48);
    let _ = bench.harness.push(flat_frame(&info, 0, 80));
    bench.harness.push_event(gst::event::Eos::new());
    let errors = bench.messages(gst::MessageType::Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("mask_0") && errors[0].contains("width=(int)64"),
        "{errors:?}"
    );
}

#[test]
fn masks_of_stereoscopic_frames_are_stereoscopic() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Halves));
    let (_, mut masks) = mask_harness(&bench, "mask_0", "labels");
    let info = gst_video::VideoInfo::builder(VideoFormat::I420, 64, 48)
        .fps(gst::Fraction::new(25, 1))
        .multiview_mode(gst_video::VideoMultiviewMode::SideBySide)
        .build()
        .unwrap();
    bench.harness.set_src_caps(info.to_caps().unwrap());
    bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
    masks.pull().unwrap();
    let caps = masks.sinkpad().unwrap().current_caps().unwrap();
    let masks = gst_video::VideoInfo::from_caps(&caps).unwrap();
    assert_eq!(masks.multiview_mode(), info.multiview_mode());
    assert_eq!(masks.colorimetry().to_string(), "1:4:0:0");
}

/// A bench whose sink takes these caps, with a cut-out of the left half.
fn cut_out(sink: &str) -> Bench {
    let element = Fake::new(Behaviour::Halves).element();
    element.set_property_from_str("overlay", "foreground");
    element.set_property("motion-model", false);
    let mut bench = Bench::with(element);
    bench.harness.set_sink_caps_str(sink);
    bench
}

/// Format of what leaves.
fn format_out(bench: &Bench) -> VideoFormat {
    let caps = bench.element.static_pad("src").unwrap().current_caps().unwrap();
    gst_video::VideoInfo::from_caps(&caps).unwrap().format()
}

/// Samples of the first row of a plane.
fn row_of(buffer: &gst::Buffer, format: VideoFormat, plane: u32) -> Vec<u8> {
    let info = video_info(format, 64, 48);
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
    frame.plane_data(plane).unwrap()[..64].to_vec()
}

#[test]
fn a_cut_out_of_opaque_frames_is_transparent_for_who_takes_it() {
    for refine in ["none", "guided"] {
        let mut bench = cut_out("video/x-raw,format={I420,A420}");
        bench.element.set_property_from_str("refine", refine);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        let input = flat_frame(&info, 0, 90);
        let shared = input.clone();
        let output = bench.harness.push_and_pull(input).unwrap();
        assert_eq!(format_out(&bench), VideoFormat::A420);
        let alpha = row_of(&output, VideoFormat::A420, 3);
        assert_eq!((alpha[0], alpha[63]), (255, 0));
        let luma = row_of(&output, VideoFormat::A420, 0);
        // What nobody sees is black, for those who know no opacity.
        assert_eq!((luma[0], luma[63]), (90, 16));
        // Without padding it is what the caps say, for those who know no video meta either.
        assert_eq!(output.size(), video_info(VideoFormat::A420, 64, 48).size());
        assert!(bytes(&shared).iter().all(|&byte| byte == 90));
        assert_eq!(bench.messages(gst::MessageType::Warning), [""; 0]);
    }
}

#[test]
fn where_there_is_no_opacity_to_be_had_it_is_said_once() {
    let mut bench = cut_out("video/x-raw,format=I420");
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    for index in 0..3 {
        let output = bench.harness.push_and_pull(flat_frame(&info, index, 90)).unwrap();
        let luma = row_of(&output, VideoFormat::I420, 0);
        assert_eq!((luma[0], luma[63]), (90, 16));
    }
    let warnings = bench.messages(gst::MessageType::Warning);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("I420") && warnings[0].contains("background-color"),
        "{warnings:?}"
    );
}

#[test]
fn an_opaque_background_needs_no_opacity() {
    let mut bench = cut_out("video/x-raw,format={I420,A420}");
    bench.element.set_property("background-color", 0xff00_ff00u32);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let output = bench.harness.push_and_pull(flat_frame(&info, 0, 90)).unwrap();
    assert_eq!(format_out(&bench), VideoFormat::I420);
    assert_eq!(row_of(&output, VideoFormat::I420, 0)[63], 145);
    assert_eq!(bench.messages(gst::MessageType::Warning), [""; 0]);
}

#[test]
fn the_opacity_comes_and_goes_with_the_overlay() {
    let mut bench = cut_out("video/x-raw,format={I420,A420}");
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    for (index, overlay, format) in [
        (0, "foreground", VideoFormat::A420),
        (1, "tint", VideoFormat::I420),
        (2, "foreground", VideoFormat::A420),
        (3, "none", VideoFormat::I420),
    ] {
        bench.element.set_property_from_str("overlay", overlay);
        let output = bench.harness.push_and_pull(flat_frame(&info, index, 90)).unwrap();
        assert_eq!(format_out(&bench), format, "{overlay}");
        assert_eq!(output.size(), video_info(format, 64, 48).size());
    }
}

#[test]
fn the_opacity_goes_by_who_is_linked_now() {
    for mode in ["every-frame", "latest"] {
        let mut bench = cut_out("video/x-raw,format=A420");
        bench.element.set_property_from_str("mode", mode);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        bench.harness.push_and_pull(flat_frame(&info, 0, 90)).unwrap();
        let srcpad = bench.element.static_pad("src").unwrap();
        let peer = srcpad.peer().unwrap();
        for (index, format) in [(10, VideoFormat::I420), (20, VideoFormat::A420)] {
            srcpad.unlink(&peer).unwrap();
            // What comes meanwhile is for nobody, and stops nothing.
            for index in index..index + 3 {
                let flow = bench.harness.push(flat_frame(&info, index, 90));
                assert!(flow.is_ok() || flow == Err(gst::FlowError::NotLinked), "{flow:?}");
            }
            // None of it is under way when somebody is linked.
            let event = gst::event::CustomDownstream::new(gst::Structure::new_empty("drains"));
            bench.harness.push_event(event);
            bench
                .harness
                .set_sink_caps_str(&format!("video/x-raw,format={}", format.to_str()));
            srcpad.link(&peer).unwrap();
            let _ = bench.harness.push(flat_frame(&info, index + 3, 90));
            let output = bench.harness.pull().unwrap();
            assert_eq!(output.pts(), Some((index + 3) * FRAME_DURATION), "{mode}");
            assert_eq!(output.size(), video_info(format, 64, 48).size(), "{mode}");
            assert_eq!(format_out(&bench), format, "{mode}");
        }
        assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
    }
}

#[test]
fn frames_that_wait_go_to_who_is_linked_when_they_leave() {
    let fake = Fake::new(Behaviour::Halves);
    let mut bench = Bench::new(&fake);
    bench.element.set_property_from_str("overlay", "foreground");
    bench.element.set_property_from_str("mode", "every-frame");
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    bench.harness.push_and_pull(flat_frame(&info, 0, 90)).unwrap();
    assert_eq!(format_out(&bench), VideoFormat::A420);
    let gate = fake.delay.lock().unwrap();
    for index in 1..3 {
        bench.harness.push(flat_frame(&info, index, 90)).unwrap();
    }
    let srcpad = bench.element.static_pad("src").unwrap();
    let peer = srcpad.peer().unwrap();
    srcpad.unlink(&peer).unwrap();
    bench.harness.set_sink_caps_str("video/x-raw,format=I420");
    srcpad.link(&peer).unwrap();
    drop(gate);
    for index in 1..4 {
        if index == 3 {
            bench.harness.push(flat_frame(&info, index, 90)).unwrap();
        }
        let output = bench.harness.pull().unwrap();
        assert_eq!(
            (output.pts(), output.size()),
            (Some(index * FRAME_DURATION), info.size())
        );
    }
    assert_eq!(format_out(&bench), VideoFormat::I420);
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
}

#[test]
fn a_source_that_can_choose_brings_an_opacity() {
    let bench = cut_out("video/x-raw,format={I420,NV12,RGBA,A420}");
    let sink = bench.element.static_pad("sink").unwrap();
    let first = |filter: &str| {
        let caps = sink.query_caps(Some(&filter.parse::<gst::Caps>().unwrap()));
        let mut caps = caps;
        caps.fixate();
        caps.structure(0).unwrap().get::<String>("format").unwrap()
    };
    assert_eq!(first("video/x-raw,format={NV12,I420,RGBA}"), "RGBA");
    assert_eq!(first("video/x-raw,format={NV12,I420}"), "I420");
    assert_eq!(first("video/x-raw,format=NV12"), "NV12");
    bench.element.set_property_from_str("overlay", "tint");
    assert_eq!(first("video/x-raw,format={NV12,I420,RGBA}"), "NV12");
}

#[test]
fn a_cut_out_lets_the_compositor_s_background_through() {
    for converter in ["", "! videoconvert"] {
        let text = format!(
            "videotestsrc num-buffers=2 pattern=black ! video/x-raw,format=I420,width=64,height=48 {converter} \
             ! factorseg name=seg overlay=foreground motion-model=false ! compositor background=white \
             ! video/x-raw,format=RGBA ! fakesink name=sink"
        );
        let buffers = played(&launch(&text, &[("seg", &Fake::new(Behaviour::Halves))]));
        let pixels = bytes(buffers.last().unwrap());
        assert!(pixels[0] < 5, "the object is black: {:?}", &pixels[..4]);
        assert!(
            pixels[4 * 63] > 250,
            "the rest is seen through: {:?}",
            &pixels[4 * 63..4 * 64]
        );
    }
}

#[test]
fn a_source_in_bytes_plays_as_through_identity() {
    let fake = Fake::new(Behaviour::Halves);
    let text = "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=64,height=48 ! identity name=source \
                ! factorseg name=s ! fakesink name=sink";
    let seen = |bytes_wanted: bool| {
        let pipeline = launch(text, &[("s", &fake)]);
        let pad = pipeline.by_name("source").unwrap().static_pad("src").unwrap();
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &mut info.data
                && bytes_wanted
                && event.type_() == gst::EventType::Segment
            {
                *event = gst::event::Segment::new(&gst::FormattedSegment::<gst::format::Bytes>::new());
            }
            gst::PadProbeReturn::Ok
        });
        played(&pipeline).iter().map(bytes).collect::<Vec<_>>()
    };
    let (in_bytes, in_time) = (seen(true), seen(false));
    assert_eq!(in_bytes.len(), 4);
    assert!(in_bytes == in_time);
}
