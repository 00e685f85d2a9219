//! Checkpoints that are torn, foreign or lie: each is one clear error, and the next start works.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video::VideoFormat;

use crate::support::*;

const EMBEDDED: &[u8] = include_bytes!("../../../model/checkpoints/default.safetensors");

/// Starts an element with these bytes as its model. Returns the error, or none if it starts.
fn start(bytes: &[u8]) -> Option<String> {
    init();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let element = gst::ElementFactory::make("factorseg")
        .property("model", path.to_str().unwrap())
        .property("device", "cpu")
        .property("threads", 1u32)
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let started = element.set_state(gst::State::Paused).is_ok();
    let errors: Vec<String> = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Error]))
        .map(|message| error_text(&message))
        .collect();
    // What was wrong with the model does not stay.
    element.set_state(gst::State::Null).unwrap();
    element.set_property("model", "");
    element.set_state(gst::State::Paused).unwrap();
    element.set_state(gst::State::Null).unwrap();
    element.set_bus(None);
    assert_eq!(errors.len(), usize::from(!started), "{errors:?}");
    errors.into_iter().next()
}

/// The header's length in bytes, and where the tensors begin.
fn header() -> (usize, usize) {
    let length = u64::from_le_bytes(EMBEDDED[..8].try_into().unwrap()) as usize;
    (length, 8 + length)
}

/// The checkpoint with another header of any length.
fn with_header(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(&EMBEDDED[header().1..]);
    bytes
}

#[test]
fn whole_it_starts() {
    assert_eq!(start(EMBEDDED), None);
}

#[test]
fn a_torn_file_is_an_error_wherever_it_is_torn() {
    let tensors = header().1;
    for length in [
        0,
        1,
        7,
        8,
        9,
        100,
        tensors - 1,
        tensors,
        tensors + 1,
        EMBEDDED.len() / 2,
        EMBEDDED.len() - 1,
    ] {
        let error = start(&EMBEDDED[..length]).unwrap_or_else(|| panic!("{length} bytes are a model"));
        assert!(error.contains("model.safetensors"), "{length}: {error}");
        assert!(!error.contains("panicked"), "{length}: {error}");
    }
}

#[test]
fn a_foreign_or_lying_file_is_an_error() {
    let (length, tensors) = header();
    let text = std::str::from_utf8(&EMBEDDED[8..8 + length]).unwrap().to_owned();
    let mut huge = EMBEDDED.to_vec();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut longer = EMBEDDED.to_vec();
    longer[..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    let mut noise = EMBEDDED.to_vec();
    for (index, byte) in noise[8..tensors].iter_mut().enumerate() {
        *byte = (index * 7919 % 251) as u8;
    }
    let cases = [
        ("a picture", b"\x89PNG\r\n\x1a\n not a checkpoint at all".to_vec()),
        ("a header as long as can be", huge),
        ("a header of a terabyte", longer),
        ("a header of noise", noise),
        ("no configuration", with_header("{}")),
        ("nested too deep", with_header(&"[".repeat(100_000))),
        (
            "a billion channels",
            with_header(&text.replace("base_channels\\\":", "base_channels\\\":100000000")),
        ),
        (
            "no regions",
            with_header(&text.replace("regions\\\":", "regions\\\":-")),
        ),
        ("another name", with_header(&text.replace("conv_in", "conv_on"))),
        (
            "another type",
            with_header(
                &text
                    .replace("\"F32\"", "\"I8\"")
                    .replace("\"F16\"", "\"I8\"")
                    .replace("\"BF16\"", "\"I8\""),
            ),
        ),
        (
            "offsets beyond the file",
            with_header(&text.replace("\"data_offsets\":[", "\"data_offsets\":[9")),
        ),
    ];
    for (what, bytes) in cases {
        assert!(bytes != EMBEDDED, "{what}: nothing was changed");
        let error = start(&bytes).unwrap_or_else(|| panic!("{what} is a model"));
        assert!(error.contains("model.safetensors"), "{what}: {error}");
        assert!(!error.contains("panicked"), "{what}: {error}");
    }
}

#[test]
fn flipped_bytes_never_end_the_process() {
    // A checkpoint whose header was changed anywhere is refused, or means the same.
    let (length, _) = header();
    for step in 0..60 {
        let mut bytes = EMBEDDED.to_vec();
        bytes[step * (length + 8) / 60] ^= 1 << (step % 8);
        if let Some(error) = start(&bytes) {
            assert!(!error.contains("panicked"), "byte {step}: {error}");
        }
    }
}

#[test]
fn weights_that_are_not_finite_are_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.safetensors");
    let tensors = header().1;
    let mut bytes = EMBEDDED.to_vec();
    bytes[tensors..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    init();
    let element = gst::ElementFactory::make("factorseg")
        .property("model", path.to_str().unwrap())
        .property("device", "cpu")
        .build()
        .unwrap();
    let mut bench = Bench::with(element.downcast().unwrap());
    bench.set_caps(VideoFormat::I420, 64, 48);
    let info = video_info(VideoFormat::I420, 64, 48);
    let mut index = 0;
    until("the stream fails", || {
        index += 1;
        bench.harness.push(flat_frame(&info, index, 1)).is_err()
    });
    let errors = bench.messages(gst::MessageType::Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("not finite"), "{errors:?}");
}
