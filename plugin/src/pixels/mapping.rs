//! Buffers mapped as frames, trusted no further than they reach.

use gst::glib;
use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use super::layout::{Layout, Plane, PlaneMut};

/// A buffer that is not what its caps promise.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is too small for the frame.
    #[error("A buffer does not hold the frame that its caps promise: {0}")]
    Unmappable(#[from] glib::BoolError),
    /// A plane is too small, or its rows are.
    #[error("Plane {plane} of a frame has {length} bytes in rows of {stride}, too few for {rows} rows of {bytes}")]
    Plane {
        plane: usize,
        length: usize,
        /// Bytes from one row to the next.
        stride: i32,
        rows: usize,
        bytes: usize,
    },
}

/// Maps a buffer to read.
///
/// # Errors
/// If it does not hold a frame of this layout.
pub fn readable<'a>(
    layout: &Layout,
    buffer: &'a gst::BufferRef,
) -> Result<gst_video::VideoFrameRef<&'a gst::BufferRef>, FrameError> {
    Ok(gst_video::VideoFrameRef::from_buffer_ref_readable(
        buffer,
        &layout.info,
    )?)
}

/// Maps a buffer to draw on.
///
/// # Errors
/// If it does not hold a frame of this layout.
pub fn writable<'a>(
    layout: &Layout,
    buffer: &'a mut gst::BufferRef,
) -> Result<gst_video::VideoFrameRef<&'a mut gst::BufferRef>, FrameError> {
    Ok(gst_video::VideoFrameRef::from_buffer_ref_writable(
        buffer,
        &layout.info,
    )?)
}

/// The planes of a mapped frame, to read.
///
/// # Errors
/// If one is smaller than the layout's.
pub fn planes<'a, T>(layout: &Layout, frame: &'a gst_video::VideoFrameRef<T>) -> Result<Vec<Plane<'a>>, FrameError> {
    let planes = frame.planes_data().into_iter().zip(frame.plane_stride()).enumerate();
    planes
        .take(layout.planes)
        .map(|(index, (data, stride))| {
            let stride = checked(layout, index, *stride, data.len())?;
            Ok(Plane { data, stride })
        })
        .collect()
}

/// The planes of a mapped frame, to draw on.
///
/// # Errors
/// If one is smaller than the layout's.
pub fn planes_mut<'a>(
    layout: &Layout,
    frame: &'a mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
) -> Result<Vec<PlaneMut<'a>>, FrameError> {
    let strides = frame.plane_stride().to_vec();
    let planes = frame.planes_data_mut().into_iter().zip(strides).enumerate();
    planes
        .take(layout.planes)
        .map(|(index, (data, stride))| {
            let stride = checked(layout, index, stride, data.len())?;
            Ok(PlaneMut { data, stride })
        })
        .collect()
}

/// The stride of a plane, if the plane holds what the layout says.
fn checked(layout: &Layout, plane: usize, stride: i32, length: usize) -> Result<usize, FrameError> {
    let (bytes, rows) = layout.plane_size(plane);
    usize::try_from(stride)
        .ok()
        .filter(|stride| *stride >= bytes && length >= stride * (rows - 1) + bytes)
        .ok_or(FrameError::Plane {
            plane,
            length,
            stride,
            rows,
            bytes,
        })
}
