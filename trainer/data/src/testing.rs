//! What tests and benches of this crate and of the trainer need to look at scale.

use std::path::Path;

use crate::decode::Pixels;
use crate::error::DataError;
use crate::pack::Description;
use crate::writer::PackWriter;

/// A pack of black pictures: holes in a sparse file.
#[derive(Debug)]
pub struct SparsePack;

impl SparsePack {
    /// Writes `images` black pictures of `side` x `side`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(path: &Path, images: usize, side: usize) -> Result<(), DataError> {
        let mut writer = PackWriter::create(path)?;
        let pixels = Pixels {
            width: side,
            height: side,
            data: vec![0; side * side * 3].into(),
            object: None,
        };
        let crc = crc32fast::hash(&pixels.data);
        for index in 0..images {
            let name = format!("n{:08}/{index:08}.png", index % 1000);
            writer.add_known(&name, None, &pixels, crc, true)?;
        }
        writer.finish(Description {
            side,
            square: true,
            source: "nothing".into(),
            ..Description::default()
        })
    }
}

/// Bytes of memory that this process holds and that are no mapped file's; 0 where the system does not say.
pub fn anonymous_memory() -> u64 {
    status("RssAnon:")
}

/// The largest resident memory that this process ever had, in bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix(field)?
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kib| kib << 10)
}
