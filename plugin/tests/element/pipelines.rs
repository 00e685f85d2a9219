//! Pipelines as they are built around the element.

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
