//! Helpers of the tests.
#![allow(dead_code, reason = "each test program uses some of them")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use factorseg_data::DataError;
use factorseg_data::packing::{Event, FrameOptions, PackOptions, Packed, pack};
use factorseg_data::source::Source;
use image::{Rgb, RgbImage};

pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn picture(&self, name: &str, number: u32) -> PathBuf {
        self.write(name, png(number))
    }
}

pub fn png(number: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(40, 30, |x, y| {
        Rgb([(x * 6) as u8, (y * 8) as u8, (number * 20 + x * y % 7) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub fn options(side: usize) -> PackOptions {
    PackOptions {
        side,
        square: false,
        unconditional: false,
        threads: 2,
        max_broken: 10,
        frames: FrameOptions::default(),
        witness: None,
        store: Vec::new(),
    }
}

/// Packs and returns what was said of broken things.
pub fn pack_it(source: &str, out: &Path, options: &PackOptions) -> Result<(Packed, Vec<String>), DataError> {
    let mut broken = Vec::new();
    let packed = pack(
        &Source::parse(source)?,
        out,
        options,
        &Arc::new(AtomicBool::new(false)),
        &mut |event| {
            if let Event::Broken { name, reason } = event {
                broken.push(format!("{name}: {reason}"));
            }
        },
    )?;
    Ok((packed, broken))
}
