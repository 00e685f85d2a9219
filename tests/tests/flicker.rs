//! How much masks move from frame to frame: not at all on a still video; on a DAVIS sequence as much as `smoothing` leaves.

use std::fs;
use std::path::Path;
use std::process::Command;

use factorseg_tests::{gstreamer_tool, shared_data, succeed};
use tempfile::TempDir;

/// Side lengths that the pictures are scaled to.
const SIZE: (usize, usize) = (428, 240);

/// Mean change of the foreground's probability from frame to frame, in percent, and the share of pixels that change
/// sides, in percent.
#[derive(Debug, PartialEq)]
struct Flicker {
    soft: f64,
    hard: f64,
}

/// Plays pictures into the element and compares each foreground with the one before.
fn flicker(directory: &Path, source: &str, properties: &str) -> (Flicker, usize) {
    let masks = directory.join("masks.raw");
    succeed(
        gstreamer_tool("gst-launch-1.0", directory)
            .current_dir(directory)
            .arg("-q")
            .args(
                format!(
                    "{source} ! jpegdec ! videoconvert ! videoscale ! \
                     video/x-raw,format=I420,width={},height={},pixel-aspect-ratio=1/1 ! \
                     factorseg device=cpu mode=every-frame overlay=none name=s mask_0::format=foreground {properties} \
                     s.mask_0 ! filesink location=masks.raw",
                    SIZE.0, SIZE.1
                )
                .split_whitespace(),
            ),
    );
    let bytes = fs::read(masks).unwrap();
    let frame = SIZE.0 * SIZE.1;
    assert_eq!(bytes.len() % frame, 0);
    let frames: Vec<&[u8]> = bytes.chunks(frame).collect();
    let (mut soft, mut hard) = (0, 0);
    for pair in frames.windows(2) {
        for (before, after) in pair[0].iter().zip(pair[1]) {
            soft += u64::from(before.abs_diff(*after));
            hard += u64::from((*before > 127) != (*after > 127));
        }
    }
    let compared = ((frames.len() - 1) * frame) as f64;
    let flicker = Flicker {
        soft: 100.0 * soft as f64 / 255.0 / compared,
        hard: 100.0 * hard as f64 / compared,
    };
    (flicker, frames.len())
}

#[test]
fn a_still_video_does_not_flicker_at_all() {
    let directory = TempDir::new().unwrap();
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/media/cat.jpg");
    fs::copy(picture, directory.path().join("00000.jpg")).unwrap();
    let source = "multifilesrc location=%05d.jpg loop=true start-index=0 stop-index=0 num-buffers=8 \
                  caps=image/jpeg,framerate=24/1";
    for properties in ["", "smoothing=0.7", "interval=3 refine=guided"] {
        let (flicker, frames) = flicker(directory.path(), source, properties);
        assert_eq!(frames, 8);
        assert_eq!(flicker, Flicker { soft: 0.0, hard: 0.0 }, "{properties}");
    }
}

#[test]
fn smoothing_calms_a_real_sequence() {
    let Some(archive) = shared_data("davis2016-480p-dev.zip") else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let mut rows = Vec::new();
    for sequence in ["blackswan", "cows"] {
        let folder = directory.path().join(sequence);
        fs::create_dir(&folder).unwrap();
        succeed(
            Command::new("unzip")
                .args(["-q", "-j"])
                .arg(&archive)
                .arg(format!("*JPEGImages/480p/{sequence}/0000*.jpg"))
                .arg(format!("*JPEGImages/480p/{sequence}/0001*.jpg"))
                .arg("-d")
                .arg(&folder),
        );
        let source = "multifilesrc location=%05d.jpg caps=image/jpeg,framerate=24/1";
        let row: Vec<Flicker> = ["smoothing=0", "smoothing=0.5", "smoothing=0.8"]
            .iter()
            .map(|properties| {
                let (flicker, frames) = flicker(&folder, source, properties);
                assert_eq!(frames, 20);
                println!(
                    "{sequence}, {properties}: {:.2} % soft, {:.2} % hard from frame to frame",
                    flicker.soft, flicker.hard
                );
                flicker
            })
            .collect();
        rows.push(row);
    }
    for row in rows {
        assert!(row[0].soft > row[1].soft && row[1].soft > row[2].soft, "{row:?}");
        assert!(row[2].soft > 0.0, "the masks do not move at all");
    }
}
