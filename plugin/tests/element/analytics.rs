//! The mask in GStreamer's own analytics metadata.

use std::ffi::CStr;

use gst::glib::translate::{ToGlibPtr, from_glib, from_glib_full, from_glib_none};
use gstreamer as gst;
use gstreamer_analytics_sys as ffi;

use crate::support::*;

/// What readers find on a frame.
#[derive(Debug, Default, PartialEq)]
struct Found {
    ids: Vec<u32>,
    /// Of the whole frame.
    place: [i32; 4],
    /// Width, height, stride and the bytes of the mask.
    mask: (u32, u32, i32, Vec<u8>),
    classes: Vec<(String, f32)>,
    objects: Vec<(String, [i32; 4], f32)>,
    entries: usize,
}

fn name(quark: gst::glib::ffi::GQuark) -> String {
    // SAFETY: the quark comes from GLib.
    unsafe { CStr::from_ptr(gst::glib::ffi::g_quark_to_string(quark)) }
        .to_str()
        .unwrap()
        .to_owned()
}

/// The entries of a relation meta that are of a type.
unsafe fn entries(meta: *mut ffi::GstAnalyticsRelationMeta, kind: ffi::GstAnalyticsMtdType) -> Vec<u32> {
    let mut state = std::ptr::null_mut();
    let mut found = ffi::GstAnalyticsMtd {
        id: 0,
        meta: std::ptr::null_mut(),
    };
    // SAFETY: the caller's meta is alive; state and entry are written by the call.
    let mut next = || unsafe {
        let any: bool = from_glib(ffi::gst_analytics_relation_meta_iterate(
            meta, &mut state, kind, &mut found,
        ));
        any.then_some(found.id)
    };
    std::iter::from_fn(&mut next).collect()
}

fn found(buffer: &gst::Buffer) -> Option<Found> {
    // SAFETY: the buffer outlives its meta, which is only read; out-parameters are written by the calls.
    unsafe {
        let meta = ffi::gst_buffer_get_analytics_relation_meta(buffer.to_glib_none().0);
        if meta.is_null() {
            return None;
        }
        let mut found = Found {
            entries: ffi::gst_analytics_relation_get_length(meta),
            ..Found::default()
        };
        let segmentations = entries(meta, ffi::gst_analytics_segmentation_mtd_get_mtd_type());
        let classes = entries(meta, ffi::gst_analytics_cls_mtd_get_mtd_type());
        let ([segmentation], [class]) = (&segmentations[..], &classes[..]) else {
            panic!("{segmentations:?} {classes:?}");
        };
        let kind = ffi::gst_analytics_relation_meta_get_relation(meta, *segmentation, *class);
        assert_eq!(kind, ffi::GST_ANALYTICS_REL_TYPE_N_TO_N);
        let segmentation = ffi::GstAnalyticsSegmentationMtd {
            id: *segmentation,
            meta,
        };
        let count = ffi::gst_analytics_segmentation_mtd_get_region_count(&segmentation);
        let id = |index| ffi::gst_analytics_segmentation_mtd_get_region_id(&segmentation, index);
        found.ids = (0..count).map(id).collect();
        let [x, y, mut width, mut height] = [-1, -1, 0, 0];
        let ([mut x, mut y], sides) = ([x, y], (&raw mut width, &raw mut height));
        let mask: gst::Buffer = from_glib_full(ffi::gst_analytics_segmentation_mtd_get_mask(
            &segmentation,
            &mut x,
            &mut y,
            sides.0.cast(),
            sides.1.cast(),
        ));
        found.place = [x, y, width, height];
        let video = mask.meta::<gstreamer_video::VideoMeta>().unwrap();
        found.mask = (video.width(), video.height(), video.stride()[0], bytes(&mask));
        let class = ffi::GstAnalyticsClsMtd { id: *class, meta };
        let one = |index| {
            let quark = ffi::gst_analytics_cls_mtd_get_quark(&class, index);
            (name(quark), ffi::gst_analytics_cls_mtd_get_level(&class, index))
        };
        found.classes = (0..ffi::gst_analytics_cls_mtd_get_length(&class)).map(one).collect();
        for id in entries(meta, ffi::gst_analytics_od_mtd_get_mtd_type()) {
            let object = ffi::GstAnalyticsODMtd { id, meta };
            let ([mut x, mut y, mut w, mut h], mut level) = ([0; 4], 0.0);
            ffi::gst_analytics_od_mtd_get_location(&object, &mut x, &mut y, &mut w, &mut h, &mut level);
            let kind = name(ffi::gst_analytics_od_mtd_get_obj_type(&object));
            found.objects.push((kind, [x, y, w, h], level));
        }
        Some(found)
    }
}

/// The sides and values of the soft regions.
fn tensor(buffer: &gst::Buffer) -> Option<(Vec<usize>, Vec<f32>)> {
    // SAFETY: as above.
    unsafe {
        let meta = ffi::gst_buffer_get_tensor_meta(buffer.to_glib_none().0);
        if meta.is_null() {
            return None;
        }
        let id = gst::glib::Quark::from_str("factorseg-regions");
        let id = gst::glib::translate::IntoGlib::into_glib(id);
        let sides = [3, 8, 16];
        let index = ffi::gst_tensor_meta_get_index_from_id(meta, id);
        let tensor = ffi::gst_tensor_meta_get(meta, index.try_into().unwrap());
        let mut count = 0;
        let read = ffi::gst_tensor_get_dims(tensor.cast_mut(), &mut count);
        let read = std::slice::from_raw_parts(read, count).to_vec();
        assert_eq!(read, sides);
        let data = raw_data(tensor);
        let values = data
            .chunks_exact(4)
            .map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap()));
        Some((read, values.collect()))
    }
}

/// The bytes of a tensor, whose type the bindings keep opaque.
unsafe fn raw_data(tensor: *const ffi::GstTensor) -> Vec<u8> {
    #[repr(C)]
    struct Tensor {
        id: u32,
        layout: i32,
        data_type: i32,
        data: *mut gst::ffi::GstBuffer,
    }
    // SAFETY: the first fields of the public structure GstTensor.
    let tensor = unsafe { &*tensor.cast::<Tensor>() };
    assert_eq!(
        (tensor.layout, tensor.data_type),
        (ffi::GST_TENSOR_LAYOUT_CONTIGUOUS, ffi::GST_TENSOR_DATA_TYPE_FLOAT32)
    );
    // SAFETY: the tensor is alive, and so is its buffer.
    bytes(&unsafe { from_glib_none(tensor.data) })
}

const PICTURE: &str = "videotestsrc num-buffers=2 pattern=black ! video/x-raw,format=RGBA,width=64,height=48";

#[test]
fn the_mask_can_be_read_as_a_segmentation_an_object_and_a_tensor() {
    let fake = Fake {
        object: 1,
        ..Fake::new(Behaviour::Halves)
    };
    let text =
        format!("{PICTURE} ! factorseg name=s overlay=none motion-model=false target-class=tabby ! fakesink name=sink");
    for buffer in played(&launch(&text, &[("s", &fake)])) {
        let row = [[0; 8], [2; 8]].concat();
        let expected = Found {
            ids: vec![0, 2],
            place: [0, 0, 64, 48],
            mask: (16, 8, 16, row.repeat(8)),
            classes: vec![("background".into(), 1.0), ("tabby".into(), 1.0)],
            objects: vec![("tabby".into(), [32, 0, 32, 48], 1.0)],
            entries: 3,
        };
        assert_eq!(found(&buffer), Some(expected));
        let (_, values) = tensor(&buffer).unwrap();
        let left = [[1.0; 8], [0.0; 8]].concat();
        assert_eq!(values[..128], left.repeat(8));
        assert_eq!(values[256..], [0.0; 128]);
    }
}

#[test]
fn of_two_elements_in_a_row_the_second_s_analytics_are_read() {
    let (first, second) = (Fake::new(Behaviour::Halves), Fake::new(Behaviour::Whole));
    let text = format!(
        "{PICTURE} ! factorseg name=a ! factorseg name=b motion-model=false on-error=passthrough ! fakesink name=sink"
    );
    let fakes = [("a", &first), ("b", &second)];
    for buffer in played(&launch(&text, &fakes)) {
        let found = found(&buffer).unwrap();
        assert_eq!((found.entries, found.mask.3), (3, vec![1; 128]));
        let tensors = buffer.iter_meta::<gst::Meta>();
        // SAFETY: the type is registered by the call.
        let kind = unsafe { from_glib(ffi::gst_tensor_meta_api_get_type()) };
        assert_eq!(tensors.filter(|meta| meta.api() == kind).count(), 1);
    }
    second.behave(Behaviour::Fails);
    for buffer in played(&launch(&text, &fakes)) {
        assert_eq!((found(&buffer), tensor(&buffer)), (None, None));
    }
}

#[test]
fn gstreamers_own_overlays_show_the_object() {
    for overlay in ["objectdetectionoverlay", "segmentationoverlay"] {
        init();
        if gst::ElementFactory::find(overlay).is_none() {
            println!("SKIPPED: this GStreamer has no {overlay}");
            continue;
        }
        let text = format!(
            "{PICTURE} ! factorseg name=s overlay=none ! {overlay} ! videoconvert ! video/x-raw,format=RGBA ! fakesink name=sink"
        );
        for buffer in played(&launch(&text, &[("s", &Fake::new(Behaviour::Halves))])) {
            let pixels = bytes(&buffer);
            let drawn = |x: usize, y: usize| pixels[4 * (64 * y + x)..][..3].iter().any(|value| *value > 40);
            let count = |columns: std::ops::Range<usize>| {
                columns
                    .flat_map(|x| (0..48).map(move |y| (x, y)))
                    .filter(|(x, y)| drawn(*x, *y))
                    .count()
            };
            // A box has a border; a segmentation has its colour everywhere.
            let (left, right) = (count(0..31), count(36..64));
            assert!(left > 40, "{overlay}: {left}");
            assert!(right < left / 10, "{overlay}: {right} beside {left}");
        }
    }
}
