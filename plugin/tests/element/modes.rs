//! When frames are segmented, and what is seen on a clocked sink.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::motion;
use crate::support::*;

#[test]
fn every_frame_has_its_own_mask() {
    let fake = Fake::slow(Behaviour::Brightness, 5);
    let element = fake.element();
    element.set_property_from_str("mode", "every-frame");
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::Gray8, 32, 16);
    let info = video_info(VideoFormat::Gray8, 32, 16);
    for index in 0..10u64 {
        let output = bench
            .harness
            .push_and_pull(flat_frame(&info, index, if index % 2 == 0 { 20 } else { 240 }))
            .unwrap();
        let report = FrameReport::from_buffer(&output).unwrap();
        assert_eq!(report.mask_pts, output.pts());
        assert_eq!(report.mask_age, Some(gst::ClockTime::ZERO));
        assert_eq!(report.regions[0].area, (index % 2) as f64);
        assert_eq!((report.class.as_str(), report.timestep), ("none", 30));
    }
    assert_eq!(fake.segmented(), 10);
    assert_eq!((bench.stat("frames"), bench.stat("inferred")), (10, 10));
    assert_eq!((bench.stat("reused"), bench.stat("dropped")), (0, 0));
    assert!(bench.stat("latency-p50") >= 5_000_000);
}

#[test]
fn the_network_sees_one_frame_of_an_interval_and_motion_judges_the_others() {
    for (interval, motion) in [
        (1u32, true),
        (2, true),
        (7, true),
        (1, false),
        (2, false),
        (3, false),
        (7, false),
    ] {
        let fake = Fake::new(Behaviour::Whole);
        let element = fake.element();
        element.set_property_from_str("mode", "every-frame");
        element.set_property("interval", interval);
        element.set_property("motion-model", motion);
        let mut bench = Bench::with(element);
        bench.set_caps(VideoFormat::Nv12, 32, 16);
        let info = video_info(VideoFormat::Nv12, 32, 16);
        for index in 0..21 {
            let output = bench.harness.push_and_pull(flat_frame(&info, index, 9)).unwrap();
            let report = FrameReport::from_buffer(&output).unwrap();
            let age = if motion { 0 } else { index % u64::from(interval) };
            assert_eq!(report.mask_age, Some(age * FRAME_DURATION));
            // The overlay does not blink in between.
            assert_ne!(bytes(&output)[0], 9);
        }
        let seen = 21usize.div_ceil(interval as usize);
        assert_eq!(fake.segmented(), seen);
        assert_eq!(bench.stat("inferred"), if motion { 21 } else { seen as u64 });
        assert_eq!(bench.stat("reused"), 21 - bench.stat("inferred"));
    }
}

#[test]
fn the_network_sees_the_first_frame_of_each_scene_whatever_the_interval() {
    let fake = Fake::new(Behaviour::Halves);
    let element = fake.element();
    element.set_property_from_str("mode", "every-frame");
    element.set_property("interval", 100u32);
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::Rgb, motion::WIDTH as u32, motion::HEIGHT as u32);
    let info = video_info(VideoFormat::Rgb, motion::WIDTH as u32, motion::HEIGHT as u32);
    let mut pushed = 0;
    let mut push = |mut frame: gst::Buffer, at: u64| {
        stamp(&mut frame, at);
        bench.harness.push_and_pull(frame).unwrap();
        pushed += 1;
        assert_eq!(bench.stat("inferred"), pushed);
        fake.segmented()
    };
    let scene: Vec<usize> = (0..4).map(|index| push(motion::frame(index), index)).collect();
    assert_eq!(scene, [1; 4]);
    // A cut, which the picture alone shows, ...
    assert_eq!(push(flat_frame(&info, 4, 250), 4), 2);
    assert_eq!(push(flat_frame(&info, 5, 250), 5), 2);
    assert_eq!(push(motion::frame(9), 6), 3);
    assert_eq!(push(motion::frame(10), 7), 3);
    // ... and a jump in time.
    assert_eq!(push(motion::frame(11), 100), 4);
    assert_eq!(push(motion::frame(12), 101), 4);
}

#[test]
fn latest_never_waits_and_draws_the_newest_mask() {
    let fake = Fake::slow(Behaviour::Whole, 250);
    let element = fake.element();
    element.set_property_from_str("mode", "latest");
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let start = Instant::now();
    for index in 0..20 {
        let output = bench.harness.push_and_pull(flat_frame(&info, index, 30)).unwrap();
        assert_eq!(FrameReport::from_buffer(&output), None);
    }
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    until("the first mask is there", || bench.stat("inferred") >= 1);
    let output = bench.harness.push_and_pull(flat_frame(&info, 20, 30)).unwrap();
    let report = FrameReport::from_buffer(&output).unwrap();
    assert!(report.mask_age.unwrap() > gst::ClockTime::ZERO);
    assert_ne!(bytes(&output)[0], 30);
    // Newest wins: after the one under way comes the last that was pushed before it, none in between.
    until("the second mask is there", || bench.stat("inferred") >= 2);
    let output = bench.harness.push_and_pull(flat_frame(&info, 21, 30)).unwrap();
    let report = FrameReport::from_buffer(&output).unwrap();
    assert!(report.mask_pts >= Some(19 * FRAME_DURATION), "{report:?}");
    assert!(bench.stat("dropped") >= 15);
}

#[test]
fn a_frame_that_the_network_was_to_see_leaves_that_to_the_one_that_takes_its_place() {
    let fake = Fake::new(Behaviour::Halves);
    let element = fake.element();
    element.set_property_from_str("mode", "latest");
    element.set_property("interval", 4u32);
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let push = |bench: &mut Bench, index| bench.harness.push_and_pull(flat_frame(&info, index, 30)).unwrap();
    push(&mut bench, 0);
    until("the first frame is segmented", || bench.stat("inferred") == 1);
    // While the engine is held, frame 6 takes the place of frame 4, which the network was to see, and of the others.
    let gate = fake.delay.lock().unwrap();
    for index in 1..7 {
        push(&mut bench, index);
    }
    drop(gate);
    until("all have ended", || bench.stat("inferred") + bench.stat("dropped") == 7);
    // The first one and the last, and not frame 1, which the engine may have begun with.
    assert_eq!(fake.segmented(), 2);
}

#[test]
fn auto_is_latest_for_live_sources_only() {
    for (live, mode) in [(true, "latest"), (false, "every-frame")] {
        let mut bench = Bench::new(&Fake::new(Behaviour::Whole));
        bench.harness.set_live(live);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        bench.harness.push_and_pull(flat_frame(&info, 0, 30)).unwrap();
        let stats = bench.element.property::<gst::Structure>("stats");
        let value = stats.get::<gstfactorseg::factorseg::Mode>("mode").unwrap();
        let nick = gst::glib::EnumValue::from_value(&value.to_value())
            .unwrap()
            .1
            .nick()
            .to_owned();
        assert_eq!(nick, mode);
    }
}

#[test]
fn latency_is_told_for_live_frames_that_wait() {
    for (live, mode, tells) in [
        (true, "every-frame", true),
        (true, "latest", false),
        (false, "every-frame", false),
    ] {
        let element = Fake::slow(Behaviour::Whole, 20).element();
        element.set_property_from_str("mode", mode);
        let mut bench = Bench::with(element);
        bench.harness.set_live(live);
        bench.set_caps(VideoFormat::I420, 64, 48);
        let info = video_info(VideoFormat::I420, 64, 48);
        for index in 0..10 {
            bench.harness.push_and_pull(flat_frame(&info, index, 30)).unwrap();
        }
        let latency = bench.harness.query_latency().unwrap_or_default();
        let told = bench.messages(gst::MessageType::Latency).len();
        if tells {
            assert!(latency >= gst::ClockTime::from_mseconds(20), "{latency}");
            // Not for every frame.
            assert!((1..6).contains(&told), "{told} messages");
        } else {
            assert_eq!((latency, told), (gst::ClockTime::ZERO, 0), "{live} {mode}");
        }
    }
}

#[test]
fn a_still_video_has_still_masks() {
    let element = Fake::new(Behaviour::Brightness).element();
    element.set_property("smoothing", 0.8);
    let mut bench = Bench::with(element);
    bench.set_caps(VideoFormat::Rgb, 50, 30);
    let info = video_info(VideoFormat::Rgb, 50, 30);
    let first = bytes(&bench.harness.push_and_pull(flat_frame(&info, 0, 120)).unwrap());
    for index in 1..5 {
        let output = bench.harness.push_and_pull(flat_frame(&info, index, 120)).unwrap();
        assert_eq!(bytes(&output), first);
    }
}

#[test]
fn smoothing_ends_where_the_video_is_cut() {
    // Bright, then a little darker: smoothed it stays bright, after a gap it does not. The flag alone is no gap: a leaky queue
    // sets it on each frame.
    for (flag, seconds, expected) in [(false, 0, 1.0), (true, 0, 1.0), (false, 2, 0.0), (true, 2, 0.0)] {
        let element = Fake::new(Behaviour::Brightness).element();
        element.set_property("smoothing", 0.99);
        let mut bench = Bench::with(element);
        bench.set_caps(VideoFormat::Gray8, 32, 16);
        let info = video_info(VideoFormat::Gray8, 32, 16);
        bench.harness.push_and_pull(flat_frame(&info, 0, 140)).unwrap();
        let mut second = flat_frame(&info, 1 + 25 * seconds, 120);
        if flag {
            second.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
        }
        let output = bench.harness.push_and_pull(second).unwrap();
        let report = FrameReport::from_buffer(&output).unwrap();
        assert_eq!(report.regions[0].area, expected, "flag: {flag}, gap: {seconds} s");
    }
}

/// Plays 60 frames at 30 per second into a sink that drops what is more than 50 ms late. Returns (shown, dropped). The
/// engine takes 100 ms for a frame.
fn play_clocked(mode: &str, qos: bool) -> (u64, u64) {
    play(&Fake::slow(Behaviour::Whole, 100), mode, qos)
}

fn play(fake: &Fake, mode: &str, qos: bool) -> (u64, u64) {
    let text = format!(
        "videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 \
         ! factorseg name=s mode={mode} qos={qos} ! fakesink name=sink sync=true qos=true max-lateness=50000000"
    );
    let pipeline = launch(&text, &[("s", fake)]);
    play_to_the_end(&pipeline);
    let stats = pipeline.by_name("sink").unwrap().property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    (stats.get("rendered").unwrap(), stats.get("dropped").unwrap())
}

#[test]
fn a_slow_engine_freezes_no_clocked_sink() {
    // What a filter that waits shows, as a measure that the test can fail.
    let waiting = std::thread::spawn(|| play_clocked("every-frame", false));
    let latest = play_clocked("latest", true);
    let waiting = waiting.join().unwrap();
    println!("(shown, dropped) of 60: latest {latest:?}, every-frame without qos {waiting:?}");
    assert_eq!(latest, (60, 0));
    assert!(waiting.0 < 20, "{waiting:?}");
}

#[test]
fn late_frames_are_shown_with_the_last_mask() {
    let (shown, dropped) = play_clocked("every-frame", true);
    println!("(shown, dropped) of 60: every-frame {:?}", (shown, dropped));
    assert_eq!(shown + dropped, 60);
    // A busy machine may wake a thread too late now and then.
    assert!(shown >= 57, "{shown} of 60 shown");
}

/// The element's own frames are late because of the masks, which it leaves out; upstream is not to drop frames for that.
#[test]
fn upstream_drops_no_frame_because_of_late_masks() {
    let text = "videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 ! videoconvert \
        ! video/x-raw,format=RGB ! factorseg name=f mode=every-frame \
        ! fakesink name=sink sync=true qos=true max-lateness=50000000";
    let pipeline = launch(text, &[("f", &Fake::slow(Behaviour::Whole, 400))]);
    let element = segmenter(&pipeline, "f");
    play_to_the_end(&pipeline);
    let frames = element
        .property::<gst::Structure>("stats")
        .get::<u64>("frames")
        .unwrap();
    let stats = pipeline.by_name("sink").unwrap().property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    let shown = stats.get::<u64>("rendered").unwrap();
    println!("{frames} of 60 come, {shown} are shown");
    assert_eq!(frames, 60);
    // The first mask that is waited for is too late for some of them.
    assert!(shown >= 30, "{shown} of 60 shown");
}

#[test]
fn a_frame_with_time_enough_waits_for_its_own_mask() {
    // 10 ms for each frame of 33 ms, in front of a clocked sink: nothing is late, so nothing is reused.
    let fake = Fake::slow(Behaviour::Whole, 10);
    let (shown, _) = play(&fake, "every-frame", true);
    assert!(shown >= 57, "{shown} of 60 shown");
    assert!(fake.segmented() >= 50, "{} of 60 segmented", fake.segmented());
}

#[test]
fn the_latency_follows_the_engine_up_and_down() {
    let fake = Fake::slow(Behaviour::Whole, 2);
    let element = fake.element();
    element.set_property_from_str("mode", "every-frame");
    let mut bench = Bench::with(element);
    bench.harness.set_live(true);
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let mut index = 0..;
    let mut run = |bench: &mut Bench, delay: u64, frames: usize| {
        *fake.delay.lock().unwrap() = Duration::from_millis(delay);
        for _ in 0..frames {
            let frame = flat_frame(&info, index.next().unwrap(), 30);
            bench.harness.push_and_pull(frame).unwrap();
        }
        let told = bench.messages(gst::MessageType::Latency).len();
        (told, bench.harness.query_latency().unwrap())
    };
    let (_, short) = run(&mut bench, 2, 10);
    let (told, long) = run(&mut bench, 100, 3);
    assert!(told > 0 && long >= gst::ClockTime::from_mseconds(100), "{told} {long}");
    assert!(short < gst::ClockTime::from_mseconds(90), "{short}");
    // Down only when it has been too long for hundreds of frames.
    let (told, still) = run(&mut bench, 2, 100);
    assert_eq!((told, still), (0, long));
    let (told, again) = run(&mut bench, 2, 450);
    assert!(told > 0 && again < long / 2, "{told} {again}");
}
