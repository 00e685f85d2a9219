//! Pixels: every format, size and stride.

use gst::prelude::*;
use gstfactorseg::FrameReport;
use gstfactorseg::parts::layout::FORMATS;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::support::*;

const SIZES: [(u32, u32); 7] = [(1, 1), (2, 1), (3, 5), (17, 9), (64, 48), (1, 4096), (4096, 1)];

/// A frame with rows `padding` bytes longer than GStreamer's default, every byte `byte`.
fn padded_frame(info: &gst_video::VideoInfo, padding: usize, byte: u8) -> gst::Buffer {
    let mut offsets = Vec::new();
    let mut strides = Vec::new();
    let mut size = 0;
    for plane in 0..info.n_planes() {
        // A component that lies in this plane tells its rows.
        let component = (0..info.n_components())
            .find(|c| info.comp_plane(*c as u8) == plane)
            .unwrap();
        let stride = info.stride()[plane as usize] as usize + padding;
        offsets.push(size);
        strides.push(stride as i32);
        size += stride * info.comp_height(component as u8) as usize;
    }
    let mut buffer = gst::Buffer::from_mut_slice(vec![byte; size]);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offsets,
        &strides,
    )
    .unwrap();
    stamp(&mut buffer, 0);
    buffer
}

/// The pixels as GStreamer's own converter sees them.
fn to_rgba(info: &gst_video::VideoInfo, buffer: &gst::Buffer) -> Vec<u8> {
    let target = video_info(gst_video::VideoFormat::Rgba, info.width(), info.height());
    let converter = gst_video::VideoConverter::new(info, &target, None).unwrap();
    let source = gst_video::VideoFrame::from_buffer_readable(buffer.clone(), info).unwrap();
    let mut output =
        gst_video::VideoFrame::from_buffer_writable(gst::Buffer::with_size(target.size()).unwrap(), &target).unwrap();
    converter.frame(&source, &mut output);
    output.plane_data(0).unwrap().to_vec()
}

#[test]
fn a_full_tint_has_its_colour_in_every_format_size_and_stride() {
    let fake = Fake::new(Behaviour::Whole);
    let mut count = 0;
    for format in FORMATS {
        for (width, height) in SIZES {
            for (padding, refine) in [(0, "none"), (12, "none"), (0, "guided"), (12, "guided")] {
                let element = fake.element();
                element.set_property_from_str("refine", refine);
                element.set_property("alpha", 1.0);
                element.set_property("colors", "d04020");
                let mut bench = Bench::with(element);
                bench.set_caps(format, width, height);
                let info = video_info(format, width, height);
                let input = padded_frame(&info, padding, 77);
                let before = to_rgba(&info, &input);
                let output = bench.harness.push_and_pull(input).unwrap();
                let report = FrameReport::from_buffer(&output).unwrap();
                assert_eq!(report.regions[0].area, 1.0);
                let pixels = to_rgba(&info, &output);
                let grey = info.is_gray();
                // Luma of the colour, by BT.601.
                let expected = if grey { [103; 3] } else { [0xd0, 0x40, 0x20] };
                for (i, pixel) in pixels.chunks_exact(4).enumerate() {
                    for (got, expected) in pixel.iter().zip(expected) {
                        assert!(
                            (i32::from(*got) - expected).abs() <= 4,
                            "{format:?} {width}x{height}+{padding}: pixel {i} is {pixel:?}"
                        );
                    }
                }
                if info.has_alpha() {
                    let alphas = pixels.chunks_exact(4).zip(before.chunks_exact(4));
                    assert!(alphas.into_iter().all(|(pixel, before)| pixel[3] == before[3]));
                }
                count += 1;
            }
        }
    }
    println!("{count} cases of format, size, stride and refinement");
}

#[test]
fn every_overlay_works_in_every_format_and_leaves_padding_alone() {
    let fake = Fake::new(Behaviour::Halves);
    let overlays = ["none", "tint", "contour", "foreground", "blur-background"];
    for format in FORMATS {
        for (overlay, refine) in overlays.into_iter().flat_map(|o| [(o, "none"), (o, "guided")]) {
            let (width, height, padding) = (33, 21, 9);
            let element = fake.element();
            element.set_property_from_str("overlay", overlay);
            element.set_property_from_str("refine", refine);
            let mut bench = Bench::with(element);
            let info = video_info(format, width, height);
            // Nobody takes another format with an opacity.
            bench.harness.set_sink_caps(info.to_caps().unwrap());
            bench.set_caps(format, width, height);
            let input = padded_frame(&info, padding, 90);
            let before = bytes(&input);
            let output = bench.harness.push_and_pull(input).unwrap();
            let after = bytes(&output);
            assert_eq!(before.len(), after.len());
            // A flat frame stays flat when it is blurred.
            let changes = !matches!(overlay, "none" | "blur-background");
            // What has the same bytes everywhere is not flat in V210.
            if (format, overlay) != (gst_video::VideoFormat::V210, "blur-background") {
                assert_eq!(before != after, changes, "{format:?} {overlay}");
            }
            let meta = output.meta::<gst_video::VideoMeta>().unwrap();
            for plane in 0..info.n_planes() as usize {
                let used = gstfactorseg::parts::layout::Layout::new(&info).plane_size(plane);
                let stride = meta.stride()[plane] as usize;
                for row in 0..used.1 {
                    let at = meta.offset()[plane] + row * stride;
                    assert!(
                        after[at + used.0..at + stride].iter().all(|&byte| byte == 90),
                        "{format:?} {overlay} drew beside the picture"
                    );
                }
            }
        }
    }
}

#[test]
fn the_mask_lies_where_the_picture_is() {
    // Region 1 is the left half: a cut-out keeps it and blackens the right.
    let fake = Fake::new(Behaviour::Halves);
    let element = fake.element();
    element.set_property_from_str("overlay", "foreground");
    element.set_property("motion-model", false);
    let mut bench = Bench::with(element);
    bench.set_caps(gst_video::VideoFormat::Rgb, 160, 80);
    let info = video_info(gst_video::VideoFormat::Rgb, 160, 80);
    let output = bench.harness.push_and_pull(flat_frame(&info, 0, 200)).unwrap();
    let pixels = bytes(&output);
    for y in 0..80 {
        let row = &pixels[y * 480..(y + 1) * 480];
        // One cell of the mask, 10 pixels, is the soft edge.
        assert!(row[..3 * 74].iter().all(|&byte| byte == 200));
        assert!(row[3 * 86..].iter().all(|&byte| byte == 0));
        assert!(row[3 * 75] > row[3 * 79] && row[3 * 79] > row[3 * 84]);
    }
    let report = FrameReport::from_buffer(&output).unwrap();
    let bounds = report.regions[0].bounds.unwrap();
    assert_eq!((bounds.x, bounds.y, bounds.width, bounds.height), (0.0, 0.0, 0.5, 1.0));
    assert!(report.regions[0].foreground && !report.regions[1].foreground);
    assert_eq!((report.regions[1].id, report.regions[1].area), (2, 0.5));
}

#[test]
fn large_frames_pass() {
    let fake = Fake::new(Behaviour::Whole);
    for (format, width, height) in [
        (gst_video::VideoFormat::I420, 3840, 2160),
        (gst_video::VideoFormat::Bgrx, 3840, 2160),
        (gst_video::VideoFormat::Nv12, 7680, 4320),
        (gst_video::VideoFormat::Rgb, 7680, 4320),
        (gst_video::VideoFormat::Gray8, 7679, 4319),
    ] {
        for overlay in ["tint", "contour", "foreground", "blur-background"] {
            let mut bench = Bench::new(&fake);
            bench.element.set_property_from_str("overlay", overlay);
            let info = video_info(format, width, height);
            bench.harness.set_sink_caps(info.to_caps().unwrap());
            bench.set_caps(format, width, height);
            let output = bench.harness.push_and_pull(flat_frame(&info, 0, 16)).unwrap();
            assert_eq!(output.size(), info.size());
            if overlay == "tint" {
                let stride = info.stride()[0] as usize;
                assert_ne!(bytes(&output)[stride * (height as usize - 1)], 16, "{format:?}");
            }
        }
    }
}

#[test]
fn what_others_see_of_a_frame_is_not_drawn_on() {
    let fake = Fake::new(Behaviour::Whole);
    let mut bench = Bench::new(&fake);
    bench.set_caps(gst_video::VideoFormat::I420, 64, 48);
    let info = video_info(gst_video::VideoFormat::I420, 64, 48);
    let input = flat_frame(&info, 0, 50);
    // As after a tee: a second owner of the buffer, and one of its memory alone.
    let other = input.clone();
    let memory = input.peek_memory(0).to_owned();
    let output = bench.harness.push_and_pull(input).unwrap();
    assert_ne!(bytes(&output), bytes(&other));
    assert!(bytes(&other).iter().all(|&byte| byte == 50));
    assert!(memory.map_readable().unwrap().iter().all(|&byte| byte == 50));
    assert_eq!(output.pts(), other.pts());
    assert_eq!(output.duration(), other.duration());
}

#[test]
fn caps_may_change_in_the_middle() {
    let fake = Fake::new(Behaviour::Brightness);
    let mut bench = Bench::new(&fake);
    for (index, (format, width, height)) in [
        (gst_video::VideoFormat::I420, 64, 48),
        (gst_video::VideoFormat::Rgb, 64, 48),
        (gst_video::VideoFormat::Rgb, 48, 64),
        (gst_video::VideoFormat::Nv12, 1, 1),
        (gst_video::VideoFormat::I420, 64, 48),
    ]
    .into_iter()
    .enumerate()
    {
        bench.set_caps(format, width, height);
        let info = video_info(format, width, height);
        let output = bench
            .harness
            .push_and_pull(flat_frame(&info, index as u64, 100))
            .unwrap();
        assert_eq!(output.size(), info.size());
        let caps = bench.element.static_pad("src").unwrap().current_caps();
        assert_eq!(caps, Some(info.to_caps().unwrap()));
        let wide = width >= height;
        assert_eq!(
            fake.inputs.lock().unwrap().last(),
            Some(&if wide { (16, 8) } else { (8, 16) })
        );
    }
    assert_eq!(bench.messages(gst::MessageType::Error), [""; 0]);
}

#[test]
fn interlaced_video_is_refused_by_name() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Whole));
    bench
        .harness
        .set_src_caps_str("video/x-raw,format=I420,width=64,height=48,framerate=25/1,interlace-mode=interleaved");
    let info = video_info(gst_video::VideoFormat::I420, 64, 48);
    assert_eq!(
        bench.harness.push(flat_frame(&info, 0, 0)),
        Err(gst::FlowError::NotNegotiated)
    );
    let errors = bench.messages(gst::MessageType::Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("deinterlace"), "{errors:?}");
}

#[test]
fn a_buffer_too_small_for_its_caps_is_an_error() {
    let mut bench = Bench::new(&Fake::new(Behaviour::Whole));
    bench.set_caps(gst_video::VideoFormat::I420, 64, 48);
    let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; 100]);
    stamp(&mut buffer, 0);
    assert_eq!(bench.harness.push(buffer), Err(gst::FlowError::Error));
    assert_eq!(bench.messages(gst::MessageType::Error).len(), 1);
}
