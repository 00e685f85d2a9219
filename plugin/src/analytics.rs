//! The mask as `GstAnalyticsSegmentationMtd`, for elements that read GStreamer's own analytics metadata (since 1.26), such
//! as `segmentationoverlay`.
//!
//! The mask is semantic: each of its bytes is the number of the region that wins there, from 1. It is as small as the
//! masks' grid and covers the whole frame; its rows have no padding.

use factorseg_model::RegionMap;
use gst::glib;
use gst::glib::translate::{IntoGlibPtr, from_glib};
use gstreamer as gst;
use gstreamer_analytics_sys as ffi;
use gstreamer_video as gst_video;

use crate::engine::mask;

/// Adds a mask to a frame of `width` x `height`.
///
/// # Errors
/// If GStreamer refuses it.
pub fn attach(
    map: &RegionMap,
    (width, height): (usize, usize),
    buffer: &mut gst::BufferRef,
) -> Result<(), glib::BoolError> {
    let mut mask = gst::Buffer::from_mut_slice(labels(map));
    if let Some(mask) = mask.get_mut() {
        gst_video::VideoMeta::add(
            mask,
            gst_video::VideoFrameFlags::empty(),
            gst_video::VideoFormat::Gray8,
            map.width as u32,
            map.height as u32,
        )?;
    }
    let mut regions: Vec<u32> = (1..=map.regions as u32).collect();
    let mut handle = ffi::GstAnalyticsSegmentationMtd {
        id: 0,
        meta: std::ptr::null_mut(),
    };
    // SAFETY: `buffer` is borrowed mutably, hence writable; the returned meta belongs to it and lives as long.
    let meta = unsafe { ffi::gst_buffer_add_analytics_relation_meta(buffer.as_mut_ptr()) };
    if meta.is_null() {
        return Err(glib::bool_error!("Cannot add a relation meta"));
    }
    // SAFETY: `meta` is the meta from above. The function takes `mask`, which has a video meta, as its own, reads as many
    // regions as it is told, keeps no pointer to them, and writes `handle`.
    let added: bool = unsafe {
        from_glib(ffi::gst_analytics_relation_meta_add_segmentation_mtd(
            meta,
            mask.into_glib_ptr(),
            ffi::GST_SEGMENTATION_TYPE_SEMANTIC,
            regions.len(),
            regions.as_mut_ptr(),
            0,
            0,
            width as u32,
            height as u32,
            &mut handle,
        ))
    };
    added
        .then_some(())
        .ok_or_else(|| glib::bool_error!("Cannot add a segmentation to the relation meta"))
}

/// The winning region of each cell, from 1.
fn labels(map: &RegionMap) -> Vec<u8> {
    let label = |region: usize| u8::try_from(region + 1).unwrap_or(u8::MAX);
    mask::winners(map).into_iter().map(label).collect()
}
