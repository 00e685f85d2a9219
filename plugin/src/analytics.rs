//! The mask in GStreamer's own metadata (since 1.26), for elements that read it: `segmentationoverlay`,
//! `objectdetectionoverlay`, decoders of tensors.
//!
//! | on a frame | |
//! |---|---|
//! | `GstAnalyticsSegmentationMtd` | semantic; a byte is the number of the foreground region that wins there, from 1, and 0 elsewhere. As small as the masks' grid, over the whole frame, rows without padding |
//! | `GstAnalyticsClsMtd` | for each index of the segmentation, in the relation N_TO_N: `background`, then what the regions are |
//! | `GstAnalyticsODMtd` | for each foreground region that wins something: its box in pixels, what it is, and its mean probability there |
//! | `GstTensorMeta` | the soft regions: a tensor `factorseg-regions` of 32-bit floats, `[K, height, width]` |

use factorseg_model::RegionMap;
use gst::glib;
use gst::glib::translate::{IntoGlib, IntoGlibPtr, from_glib};
use gstreamer as gst;
use gstreamer_analytics_sys as ffi;
use gstreamer_video as gst_video;

use crate::engine::mask::{self, Mask};
use crate::meta::FrameReport;

/// What regions are called where no class was asked for.
const OBJECT: &str = "object";
/// What the tensor of soft regions is called.
const TENSOR: &str = "factorseg-regions";

/// Entries that a frame's relation meta has for a mask: segmentation, classes, and a box for each object.
fn entries(report: &FrameReport) -> usize {
    let is_boxed = |region: &&crate::meta::RegionReport| region.foreground && region.bounds.is_some();
    2 + report.regions.iter().filter(is_boxed).count()
}

/// Takes away what an element before this one said of its mask. Entries of other elements in the same relation meta keep it,
/// for no entry can be taken out alone.
pub fn remove(before: &FrameReport, buffer: &mut gst::BufferRef) {
    let buffer = buffer.as_mut_ptr();
    // SAFETY: `buffer` is borrowed mutably, hence writable, and metas are removed that were just found on it.
    unsafe {
        let meta = ffi::gst_buffer_get_analytics_relation_meta(buffer);
        if !meta.is_null() && ffi::gst_analytics_relation_get_length(meta) == entries(before) {
            gst::ffi::gst_buffer_remove_meta(buffer, meta.cast());
        }
        let meta = ffi::gst_buffer_get_tensor_meta(buffer);
        if !meta.is_null() && ffi::gst_tensor_meta_get_index_from_id(meta, quark(TENSOR)) >= 0 {
            gst::ffi::gst_buffer_remove_meta(buffer, meta.cast());
        }
    }
}

/// Adds a mask to a frame of `width` x `height`; `report` says of the same mask what regions are and where.
///
/// # Errors
/// If GStreamer refuses it.
pub fn attach(
    mask: &Mask,
    report: &FrameReport,
    (width, height): (usize, usize),
    buffer: &mut gst::BufferRef,
) -> Result<(), glib::BoolError> {
    let shown = Shown::new(&mask.map, report);
    let class = if report.class == "none" { OBJECT } else { &report.class };
    let relations = Relations::on(buffer)?;
    let segmentation = relations.segmentation(&shown, &mask.map, (width, height))?;
    let mut quarks = vec![quark(class); shown.ids.len()];
    quarks[0] = quark("background");
    let classes = relations.classes(&quarks, &shown.levels)?;
    relations.relate(ffi::GST_ANALYTICS_REL_TYPE_N_TO_N, segmentation, classes)?;
    for (id, level) in shown.ids.iter().zip(&shown.levels).skip(1) {
        let Some(bounds) = report.regions[*id as usize - 1].bounds else {
            continue;
        };
        let pixels = |share: f64, side: usize| (share * side as f64).round() as i32;
        let (left, top) = (pixels(bounds.x, width), pixels(bounds.y, height));
        let (right, bottom) = (
            pixels(bounds.x + bounds.width, width),
            pixels(bounds.y + bounds.height, height),
        );
        let place = [left, top, right - left, bottom - top];
        let object = relations.object(quark(class), place, *level)?;
        relations.relate(ffi::GST_ANALYTICS_REL_TYPE_RELATE_TO, object, segmentation)?;
    }
    attach_tensor(&mask.map, buffer)
}

/// The mask as others number it.
struct Shown {
    /// Number of the region in each cell, 0 for the background.
    cells: Vec<u8>,
    /// The numbers that there are: 0, then those of the foreground.
    ids: Vec<u32>,
    /// The mean probability of each where it wins; 0 where it wins nothing.
    levels: Vec<f32>,
}

impl Shown {
    fn new(map: &RegionMap, report: &FrameReport) -> Self {
        let foreground = report.regions.iter().filter(|region| region.foreground);
        let ids: Vec<u32> = std::iter::once(0).chain(foreground.map(|region| region.id)).collect();
        let size = map.width * map.height;
        let mut sums = vec![(0.0, 0.0f32); ids.len()];
        let cells = mask::winners(map).into_iter().enumerate().map(|(cell, region)| {
            let index = ids.iter().position(|id| *id as usize == region + 1).unwrap_or(0);
            sums[index].0 += map.probabilities[region * size + cell];
            sums[index].1 += 1.0;
            u8::try_from(ids[index]).unwrap_or(u8::MAX)
        });
        Self {
            cells: cells.collect(),
            levels: sums.iter().map(|(sum, count)| sum / count.max(1.0)).collect(),
            ids,
        }
    }
}

fn quark(name: &str) -> glib::ffi::GQuark {
    glib::Quark::from_str(name).into_glib()
}

/// The relation meta of a frame that is borrowed mutably.
struct Relations(*mut ffi::GstAnalyticsRelationMeta);

impl Relations {
    /// That which is there, since readers look at one alone, or a new one.
    fn on(buffer: &mut gst::BufferRef) -> Result<Self, glib::BoolError> {
        // SAFETY: `buffer` is borrowed mutably, hence writable; its meta lives as long.
        let meta = unsafe {
            let buffer = buffer.as_mut_ptr();
            let found = ffi::gst_buffer_get_analytics_relation_meta(buffer);
            match found.is_null() {
                true => ffi::gst_buffer_add_analytics_relation_meta(buffer),
                false => found,
            }
        };
        match meta.is_null() {
            true => Err(glib::bool_error!("Cannot add a relation meta")),
            false => Ok(Self(meta)),
        }
    }

    fn segmentation(
        &self,
        shown: &Shown,
        map: &RegionMap,
        (width, height): (usize, usize),
    ) -> Result<u32, glib::BoolError> {
        let mut mask = gst::Buffer::from_slice(shown.cells.clone());
        let (columns, rows) = (map.width as u32, map.height as u32);
        let flags = gst_video::VideoFrameFlags::empty();
        gst_video::VideoMeta::add(mask.make_mut(), flags, gst_video::VideoFormat::Gray8, columns, rows)?;
        let mut ids = shown.ids.clone();
        let mut handle = ffi::GstAnalyticsSegmentationMtd {
            id: 0,
            meta: std::ptr::null_mut(),
        };
        // SAFETY: the meta is that of a writable buffer. The function takes `mask`, which has a video meta, as its own, copies
        // as many ids as it is told, and writes `handle`.
        let added = unsafe {
            ffi::gst_analytics_relation_meta_add_segmentation_mtd(
                self.0,
                mask.into_glib_ptr(),
                ffi::GST_SEGMENTATION_TYPE_SEMANTIC,
                ids.len(),
                ids.as_mut_ptr(),
                0,
                0,
                width as u32,
                height as u32,
                &mut handle,
            )
        };
        told(added, "a segmentation").map(|()| handle.id)
    }

    fn classes(&self, quarks: &[glib::ffi::GQuark], levels: &[f32]) -> Result<u32, glib::BoolError> {
        let (mut quarks, mut levels) = (quarks.to_vec(), levels.to_vec());
        let mut handle = ffi::GstAnalyticsClsMtd {
            id: 0,
            meta: std::ptr::null_mut(),
        };
        // SAFETY: as above; quarks and levels are as many, and copied.
        let added = unsafe {
            let length = quarks.len();
            ffi::gst_analytics_relation_meta_add_cls_mtd(
                self.0,
                length,
                levels.as_mut_ptr(),
                quarks.as_mut_ptr(),
                &mut handle,
            )
        };
        told(added, "classes").map(|()| handle.id)
    }

    fn object(&self, kind: glib::ffi::GQuark, [x, y, w, h]: [i32; 4], level: f32) -> Result<u32, glib::BoolError> {
        let mut handle = ffi::GstAnalyticsODMtd {
            id: 0,
            meta: std::ptr::null_mut(),
        };
        // SAFETY: as above.
        let added =
            unsafe { ffi::gst_analytics_relation_meta_add_od_mtd(self.0, kind, x, y, w, h, level, &mut handle) };
        told(added, "an object").map(|()| handle.id)
    }

    fn relate(&self, kind: ffi::GstAnalyticsRelTypes, first: u32, second: u32) -> Result<(), glib::BoolError> {
        // SAFETY: as above; both are entries of this meta.
        told(
            unsafe { ffi::gst_analytics_relation_meta_set_relation(self.0, kind, first, second) },
            "a relation",
        )
    }
}

/// Whether something was added.
fn told(added: glib::ffi::gboolean, what: &str) -> Result<(), glib::BoolError> {
    // SAFETY: any integer is a boolean.
    let added: bool = unsafe { from_glib(added) };
    added
        .then_some(())
        .ok_or_else(|| glib::bool_error!("Cannot add {what} to the relation meta"))
}

fn attach_tensor(map: &RegionMap, buffer: &mut gst::BufferRef) -> Result<(), glib::BoolError> {
    let bytes: Vec<u8> = map.probabilities.iter().flat_map(|p| p.to_ne_bytes()).collect();
    let data = gst::Buffer::from_slice(bytes);
    let mut sides = [map.regions, map.height, map.width];
    // SAFETY: `buffer` is writable. The tensor takes `data` as its own and copies the sides; the meta takes the tensor and the
    // array, which GLib has allocated for one pointer.
    unsafe {
        let meta = ffi::gst_buffer_add_tensor_meta(buffer.as_mut_ptr());
        let tensor = ffi::gst_tensor_new_simple(
            quark(TENSOR),
            ffi::GST_TENSOR_DATA_TYPE_FLOAT32,
            data.into_glib_ptr(),
            ffi::GST_TENSOR_DIM_ORDER_ROW_MAJOR,
            sides.len(),
            sides.as_mut_ptr(),
        );
        if meta.is_null() || tensor.is_null() {
            return Err(glib::bool_error!("Cannot add a tensor"));
        }
        let array: *mut *mut ffi::GstTensor = glib::ffi::g_malloc(size_of::<*mut ffi::GstTensor>()).cast();
        array.write(tensor);
        ffi::gst_tensor_meta_set(meta, 1, array);
    }
    Ok(())
}
