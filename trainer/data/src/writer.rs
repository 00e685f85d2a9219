//! Writes a pack in one pass, in constant memory: the file appears when it is whole.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::classes::Classes;
use crate::decode::Pixels;
use crate::error::{DataError, io_error};
use crate::pack::{Description, ENTRY, Entry, HEADER, HEADER_USED, MAGIC, NO_CLASS, VERSION};

/// A pack in the making.
pub(crate) struct PackWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    index: BufWriter<File>,
    names: BufWriter<File>,
    classes: Classes,
    images: u64,
    pixel_bytes: u64,
    name_bytes: u64,
    /// Zero bytes that are left out of the file: a hole takes no space.
    hole: u64,
}

impl PackWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, DataError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        let failed = io_error("write", path);
        let scratch = || tempfile::tempfile_in(folder).map(BufWriter::new).map_err(&failed);
        let file = tempfile::Builder::new()
            .prefix(".packing-")
            .tempfile_in(folder)
            .map_err(&failed)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[0; HEADER]).map_err(&failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            index: scratch()?,
            names: scratch()?,
            classes: Classes::default(),
            images: 0,
            pixel_bytes: 0,
            name_bytes: 0,
            hole: 0,
        })
    }

    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    pub(crate) fn add(&mut self, name: &str, class: Option<&str>, pixels: &Pixels) -> Result<(), DataError> {
        let mut crc = crc32fast::Hasher::new();
        let mut black = true;
        for bytes in parts(pixels) {
            crc.update(bytes);
            black &= bytes.iter().all(|value| *value == 0);
        }
        self.add_known(name, class, pixels, crc.finalize(), black)
    }

    /// [`PackWriter::add`] of pixels whose checksum is known, and whether they are all zero.
    pub(crate) fn add_known(
        &mut self,
        name: &str,
        class: Option<&str>,
        pixels: &Pixels,
        crc: u32,
        black: bool,
    ) -> Result<(), DataError> {
        let failed = io_error("write", &self.path);
        let too_large = |_| failed(io::Error::other(format!("{name} is larger than 65535 pixels")));
        let (width, height) = (
            u16::try_from(pixels.width).map_err(too_large)?,
            u16::try_from(pixels.height).map_err(too_large)?,
        );
        let long = |_| failed(io::Error::other(format!("{name} is longer than 65535 bytes")));
        let name_length = u16::try_from(name.len()).map_err(long)?;
        let class = class.map_or(NO_CLASS, |class| self.classes.number(class));
        let length: usize = parts(pixels).map(<[u8]>::len).sum();
        if black {
            self.hole += length as u64;
        } else {
            self.close_hole().map_err(&failed)?;
            for bytes in parts(pixels) {
                self.file.write_all(bytes).map_err(&failed)?;
            }
        }
        let entry = Entry {
            offset: self.pixel_bytes,
            name: self.name_bytes,
            name_length,
            has_object: pixels.object.is_some(),
            width,
            height,
            class,
            crc,
        };
        self.index.write_all(&entry.to_bytes()).map_err(&failed)?;
        self.names.write_all(name.as_bytes()).map_err(&failed)?;
        self.images += 1;
        self.pixel_bytes += length as u64;
        self.name_bytes += name.len() as u64;
        Ok(())
    }

    fn close_hole(&mut self) -> io::Result<()> {
        if self.hole > 0 {
            self.file.seek(SeekFrom::Current(self.hole as i64))?;
            self.hole = 0;
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    pub(crate) fn finish(mut self, mut description: Description) -> Result<(), DataError> {
        let failed = io_error("write", &self.path);
        self.close_hole().map_err(&failed)?;
        let (classes, places) = self.classes.sorted();
        description.classes = classes;
        let json = serde_json::to_vec(&description).map_err(|error| failed(error.into()))?;
        let (index_crc, names_crc) = (|| {
            let mut index = rewound(self.index)?;
            let mut crc = crc32fast::Hasher::new();
            let mut bytes = [0; ENTRY];
            for _ in 0..self.images {
                index.read_exact(&mut bytes)?;
                let mut entry = Entry::from_bytes(&bytes);
                if entry.class != NO_CLASS {
                    entry.class = places[entry.class as usize];
                }
                crc.update(&entry.to_bytes());
                self.file.write_all(&entry.to_bytes())?;
            }
            let mut names = rewound(self.names)?;
            let mut names_crc = crc32fast::Hasher::new();
            let mut block = vec![0; 1 << 16];
            loop {
                let count = names.read(&mut block)?;
                if count == 0 {
                    break;
                }
                names_crc.update(&block[..count]);
                self.file.write_all(&block[..count])?;
            }
            self.file.write_all(&json)?;
            io::Result::Ok((crc.finalize(), names_crc.finalize()))
        })()
        .map_err(&failed)?;

        let mut header = Vec::with_capacity(HEADER_USED);
        header.extend(MAGIC);
        let mut start = HEADER as u64;
        header.extend(VERSION.to_le_bytes());
        header.extend(self.images.to_le_bytes());
        for length in [
            self.pixel_bytes,
            self.images * ENTRY as u64,
            self.name_bytes,
            json.len() as u64,
        ] {
            header.extend(start.to_le_bytes());
            header.extend(length.to_le_bytes());
            start += length;
        }
        for crc in [index_crc, names_crc, crc32fast::hash(&json)] {
            header.extend(crc.to_le_bytes());
        }
        header.extend(crc32fast::hash(&header).to_le_bytes());
        self.file
            .rewind()
            .and_then(|()| self.file.write_all(&header))
            .map_err(&failed)?;
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(&failed)?;
        let file = file.persist(&self.path).map_err(|error| failed(error.error))?;
        // Temporary files are private; a data set need not be.
        #[cfg(unix)]
        let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            match File::open(folder).and_then(|folder| folder.sync_all()) {
                // CIFS, sshfs and others do not flush folders. What is lost in a power cut is packed again.
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
                result => result.map_err(&failed)?,
            }
        }
        Ok(())
    }
}

/// What is stored of a picture.
fn parts(pixels: &Pixels) -> impl Iterator<Item = &[u8]> {
    [Some(&*pixels.data), pixels.object.as_deref()].into_iter().flatten()
}

fn rewound(file: BufWriter<File>) -> io::Result<BufReader<File>> {
    let mut file = file.into_inner().map_err(|error| error.into_error())?;
    file.rewind()?;
    Ok(BufReader::new(file))
}
