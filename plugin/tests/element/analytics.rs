//! The mask in GStreamer's own analytics metadata.

use gst::glib::translate::{ToGlibPtr, from_glib, from_glib_full};
use gstreamer as gst;
use gstreamer_analytics_sys as ffi;
use gstreamer_video::VideoFormat;

use crate::support::*;

#[test]
fn the_mask_can_be_read_as_a_segmentation() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Halves));
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let output = bench.harness.push_and_pull(flat_frame(&info, 0, 80)).unwrap();
    // SAFETY: the buffer outlives its meta, which is only read; out-parameters are written by the calls.
    unsafe {
        let meta = ffi::gst_buffer_get_analytics_relation_meta(output.to_glib_none().0);
        assert!(!meta.is_null());
        let mut state = std::ptr::null_mut();
        let mut found = ffi::GstAnalyticsMtd {
            id: 0,
            meta: std::ptr::null_mut(),
        };
        let kind = ffi::gst_analytics_segmentation_mtd_get_mtd_type();
        let any: bool = from_glib(ffi::gst_analytics_relation_meta_iterate(
            meta, &mut state, kind, &mut found,
        ));
        assert!(any);
        let segmentation = ffi::GstAnalyticsSegmentationMtd {
            id: found.id,
            meta: found.meta,
        };
        assert_eq!(ffi::gst_analytics_segmentation_mtd_get_region_count(&segmentation), 3);
        let ids = [0, 1, 2].map(|index| ffi::gst_analytics_segmentation_mtd_get_region_id(&segmentation, index));
        assert_eq!(ids, [1, 2, 3]);
        let (mut x, mut y, mut width, mut height) = (-1, -1, 0, 0);
        let mask: gst::Buffer = from_glib_full(ffi::gst_analytics_segmentation_mtd_get_mask(
            &segmentation,
            &mut x,
            &mut y,
            &mut width,
            &mut height,
        ));
        assert_eq!((x, y, width, height), (0, 0, 64, 48));
        let video = mask.meta::<gstreamer_video::VideoMeta>().unwrap();
        assert_eq!((video.width(), video.height(), video.stride()[0]), (16, 8, 16));
        let bytes = bytes(&mask);
        assert!(bytes.chunks(16).all(|row| row[..8] == [1; 8] && row[8..] == [2; 8]));
    }
}
