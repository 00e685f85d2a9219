//! Pipelines as they are built around the element.

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::VideoFormat;

use crate::support::*;

/// How many facts of masks a buffer has; readers find the first.
fn facts(buffer: &gst::Buffer) -> usize {
    let Ok(first) = gst::meta::CustomMeta::from_buffer(buffer, gstfactorseg::meta::NAME) else {
        return 0;
    };
    let api = first.api();
    buffer.iter_meta::<gst::Meta>().filter(|meta| meta.api() == api).count()
}

#[test]
fn of_two_elements_in_a_row_the_second_is_read() {
    let other = |regions, behaviour| Fake {
        regions,
        ..Fake::new(behaviour)
    };
    let (first, second) = (other(3, Behaviour::Halves), other(2, Behaviour::Whole));
    let text = "videotestsrc num-buffers=4 ! video/x-raw,format=I420,width=64,height=48 ! factorseg name=a \
                ! queue ! factorseg name=b on-error=passthrough ! fakesink name=sink";
    for (behaviour, regions) in [(Behaviour::Whole, 2), (Behaviour::Fails, 0)] {
        second.behave(behaviour);
        let buffers = played(&launch(text, &[("a", &first), ("b", &second)]));
        assert_eq!(buffers.len(), 4);
        for buffer in buffers {
            let report = FrameReport::from_buffer(&buffer);
            assert_eq!(report.map_or(0, |report| report.regions.len()), regions);
            assert_eq!(facts(&buffer), usize::from(regions > 0));
        }
    }
}

#[test]
fn a_gap_carries_no_facts_of_before_and_regions_of_interest_stay() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Halves));
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let stale = bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
    assert_eq!(facts(&stale), 1);
    let mut gap = gst::Buffer::new();
    let told = gap.get_mut().unwrap();
    FrameReport::from_buffer(&stale).unwrap().attach(told).unwrap();
    gst_video::VideoRegionOfInterestMeta::add(told, "face", (8, 8, 16, 16));
    stamp(&mut gap, 1);
    let gap = bench.harness.push_and_pull(gap).unwrap();
    assert_eq!(facts(&gap), 0);
    let faces = gap.iter_meta::<gst_video::VideoRegionOfInterestMeta>();
    assert_eq!(faces.map(|face| face.rect()).collect::<Vec<_>>(), [(8, 8, 16, 16)]);
}

/// 64x48 of a bright disc on black.
const DISC: &str = "pattern=ball ! video/x-raw,format=I420,width=64,height=48,framerate=25/1";

/// Plays a pipeline; returns its buffers, of which each must have a mask of its own.
fn own_masks(text: &str, fakes: &[(&str, &Fake)]) -> Vec<gst::Buffer> {
    let buffers = played(&launch(text, fakes));
    for buffer in &buffers {
        let report = FrameReport::from_buffer(buffer).unwrap();
        assert_eq!((report.mask_pts, facts(buffer)), (buffer.pts(), 1));
    }
    buffers
}

#[test]
fn behind_a_leaky_queue_each_frame_that_comes_has_its_mask() {
    let fake = Fake::slow(Behaviour::Brightness, 5);
    let text = format!(
        "videotestsrc num-buffers=40 {DISC} ! queue leaky=downstream max-size-buffers=1 \
         ! factorseg name=s mode=every-frame ! fakesink name=sink"
    );
    let buffers = own_masks(&text, &[("s", &fake)]);
    assert_eq!(buffers.len(), fake.segmented());
    assert!(
        buffers
            .iter()
            .any(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT))
    );
}

#[test]
fn turned_video_is_segmented_as_it_is_seen() {
    let fake = Fake::new(Behaviour::Halves);
    let text = format!(
        "videotestsrc num-buffers=3 {DISC} ! videoflip video-direction=90r ! factorseg name=s ! fakesink name=sink"
    );
    assert_eq!(own_masks(&text, &[("s", &fake)]).len(), 3);
    assert_eq!(*fake.inputs.lock().unwrap(), [(8, 16); 3]);
}

#[test]
fn raw_video_over_rtp_keeps_every_frame() {
    let text = format!(
        "videotestsrc num-buffers=10 {DISC} ! rtpvrawpay ! rtpvrawdepay ! factorseg name=s ! fakesink name=sink"
    );
    assert_eq!(own_masks(&text, &[("s", &Fake::new(Behaviour::Halves))]).len(), 10);
}

#[test]
fn sources_one_after_the_other_are_scenes_of_their_own() {
    let fake = Fake::new(Behaviour::Brightness);
    let text = "concat name=c ! factorseg name=s smoothing=0.9 mask_0::format=foreground-hard s.src ! queue ! fakesink \
                s.mask_0 ! queue ! fakesink name=sink \
                videotestsrc num-buffers=5 pattern=white ! video/x-raw,format=GRAY8,width=64,height=48 ! c. \
                videotestsrc num-buffers=5 pattern=black ! video/x-raw,format=GRAY8,width=32,height=24 ! c.";
    let buffers = own_masks(text, &[("s", &fake)]);
    let bright: Vec<bool> = buffers.iter().map(|buffer| bytes(buffer)[0] == 255).collect();
    assert_eq!(bright, [[true; 5], [false; 5]].concat());
}

#[test]
fn another_rate_repeats_frames_and_their_masks_follow() {
    let fake = Fake::new(Behaviour::Brightness);
    let text = "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=64,height=48,framerate=10/1 ! videorate \
                ! video/x-raw,framerate=25/1 ! factorseg name=s ! fakesink name=sink";
    let buffers = own_masks(text, &[("s", &fake)]);
    assert!((22..=26).contains(&buffers.len()), "{}", buffers.len());
}

#[test]
fn a_picture_that_stands_costs_two_inferences() {
    let fake = Fake::new(Behaviour::Brightness);
    let text = format!(
        "videotestsrc num-buffers=1 {DISC} ! imagefreeze num-buffers=20 ! factorseg name=s mode=every-frame skip-still=1 \
         overlay=none ! fakesink name=sink"
    );
    assert_eq!(played(&launch(&text, &[("s", &fake)])).len(), 20);
    // Until the first mask has left, nobody knows that there is one.
    assert!((1..=3).contains(&fake.segmented()), "{}", fake.segmented());
}

#[test]
fn four_cameras_with_one_model_lose_no_frame() {
    let text: String = (0..4)
        .map(|camera| {
            format!(
                "videotestsrc is-live=true num-buffers=10 pattern=ball ! video/x-raw,width=96,height=64,framerate=30/1 ! queue \
                 ! factorseg name=s{camera} device=cpu motion-model=false ! queue ! fakesink name=f{camera} sync=false "
            )
        })
        .collect();
    let pipeline = launch(&text, &[]);
    let seen: Vec<_> = (0..4)
        .map(|camera| record(&pipeline.by_name(&format!("f{camera}")).unwrap()))
        .collect();
    play_to_the_end(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
    for seen in seen {
        assert_eq!(seen.lock().unwrap().len(), 10);
    }
}

#[test]
fn a_video_in_parts_is_written_read_and_played() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let fake = Fake::new(Behaviour::Halves);
    let text = format!(
        "videotestsrc num-buffers=30 {DISC} ! factorseg name=s ! jpegenc ! identity name=sink \
         ! splitmuxsink muxer-factory=matroskamux max-size-time=400000000 location={place}/part%02d.mkv"
    );
    assert_eq!(own_masks(&text, &[("s", &fake)]).len(), 30);
    assert!(std::fs::read_dir(directory.path()).unwrap().count() >= 3);
    let text = format!("splitmuxsrc location={place}/part*.mkv ! jpegdec ! factorseg name=s ! fakesink name=sink");
    assert_eq!(own_masks(&text, &[("s", &fake)]).len(), 30);
    // As the filter of a player.
    let element = fake.element();
    let sink = gst::ElementFactory::make("fakesink").build().unwrap();
    let seen = record(&sink);
    let player = gst::ElementFactory::make("playbin3")
        .property("uri", format!("file://{place}/part00.mkv"))
        .property("video-filter", &element)
        .property("video-sink", &sink)
        .build()
        .unwrap();
    let player = player.downcast::<gst::Pipeline>().unwrap();
    play_to_the_end(&player);
    player.set_state(gst::State::Null).unwrap();
    let seen = seen.lock().unwrap();
    assert!(
        seen.len() >= 10 && seen.iter().all(|buffer| facts(buffer) == 1),
        "{}",
        seen.len()
    );
}
