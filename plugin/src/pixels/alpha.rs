//! An opacity for frames that came without one: a plane beside theirs, which stay where they are.

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use super::layout::Layout;
use super::mapping::{FrameError, readable};

/// The format that has no opacity, and the same with one.
pub const OPAQUE: gst_video::VideoFormat = gst_video::VideoFormat::I420;
pub const TRANSPARENT: gst_video::VideoFormat = gst_video::VideoFormat::A420;

/// Makes a frame of `from` (in [`OPAQUE`]) one of `to` (in [`TRANSPARENT`]) that is opaque everywhere. Without padding
/// it lies as its caps say.
///
/// # Errors
/// If the buffer holds no frame.
pub fn add_opacity(from: &Layout, to: &Layout, mut buffer: gst::Buffer) -> Result<gst::Buffer, FrameError> {
    let (mut offsets, mut strides) = {
        let frame = readable(from, &buffer)?;
        (frame.plane_offset().to_vec(), frame.plane_stride().to_vec())
    };
    offsets.push(buffer.size());
    strides.push(to.info.stride()[3]);
    if !forget_planes(buffer.make_mut()) {
        // A pool keeps its buffers' description, but not that of a copy, which has the same memory.
        let all = gst::BufferCopyFlags::FLAGS
            | gst::BufferCopyFlags::TIMESTAMPS
            | gst::BufferCopyFlags::META
            | gst::BufferCopyFlags::MEMORY;
        buffer = buffer.copy_region(all, ..)?;
        forget_planes(buffer.make_mut());
    }
    let opened = buffer.make_mut();
    let bytes = to.info.size() - to.info.offset()[3];
    opened.append_memory(gst::Memory::from_mut_slice(vec![u8::MAX; bytes]));
    gst_video::VideoMeta::add_full(
        opened,
        gst_video::VideoFrameFlags::empty(),
        TRANSPARENT,
        to.info.width(),
        to.info.height(),
        &offsets,
        &strides,
    )?;
    Ok(buffer)
}

/// Removes the description of planes, if there is one. Returns whether there is none any more.
fn forget_planes(buffer: &mut gst::BufferRef) -> bool {
    let meta = buffer.meta_mut::<gst_video::VideoMeta>();
    meta.is_none_or(|meta| meta.remove().is_ok())
}
