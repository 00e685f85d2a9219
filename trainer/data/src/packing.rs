//! Packs any source into one file: read by a tokio task, decoded on blocking threads, written in order.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cache::TooManyBroken;
use crate::dataset::DataSet;
use crate::decode::{Pixels, centre_square, decode_image, read_image};
use crate::error::DataError;
use crate::folder::{Kind, Listing};
use crate::pack::Description;
use crate::source::Source;
use crate::writer::PackWriter;

/// Which frames of a video are taken; see [`crate::video`].
#[cfg(feature = "video")]
pub use crate::video::FrameOptions;

/// Which frames of a video would be taken, if this were built to decode videos.
#[cfg(not(feature = "video"))]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FrameOptions {
    /// Most frames of one video.
    pub per_video: usize,
    /// Frames that are looked at in each second.
    pub per_second: f64,
    /// Bits of 64, in which the perceptual hashes of two frames of the same picture may differ.
    pub duplicate_bits: u32,
}

/// How to pack.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Shorter side of the packed pictures, in pixels.
    pub side: usize,
    /// Keep only the middle square, as guided-diffusion does; else up to two to one.
    pub square: bool,
    /// Leave out the classes.
    pub unconditional: bool,
    /// Threads that read and decode.
    pub threads: usize,
    /// Broken pictures and videos that are skipped before packing stops.
    pub max_broken: usize,
    /// Frames of videos.
    pub frames: FrameOptions,
    /// Settings of the object store (`aws_endpoint`, `allow_http`, ...), which go before those of the environment.
    pub store: Vec<(String, String)>,
}

/// What packing has to say while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many pictures are packed.
    Packed(u64),
    /// A picture or video is broken and left out.
    Broken {
        /// Its name.
        name: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// What was taken of a video.
    Video {
        /// Its name.
        name: &'a str,
        /// Frames taken.
        frames: usize,
        /// Frames looked at.
        seen: usize,
        /// Shots among them.
        shots: usize,
    },
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Pictures in the file.
    pub images: u64,
    /// Broken pictures and videos that were left out.
    pub broken: usize,
}

/// Something to decode.
pub(crate) enum Input {
    /// A picture of a set.
    Indexed(DataSet, usize),
    /// A file.
    File {
        path: PathBuf,
        name: String,
        class: Option<String>,
    },
    /// A downloaded picture.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Bytes {
        bytes: Vec<u8>,
        name: String,
        class: Option<String>,
    },
    /// A downloaded video.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Temporary {
        file: tempfile::NamedTempFile,
        name: String,
        class: Option<String>,
    },
    /// Something that could not be fetched.
    #[cfg_attr(not(feature = "object-store"), allow(dead_code))]
    Failed { name: String, reason: String },
}

/// What came of an input.
struct Output {
    name: String,
    class: Option<String>,
    pictures: Vec<(String, Pixels)>,
    broken: Option<String>,
    video: Option<(usize, usize)>,
}

/// Packs a source into the file `out`, which appears when it is whole.
///
/// `report` hears of progress, in the order of the source; setting `stop` ends packing without a file.
///
/// # Errors
/// If the source cannot be used, too much of it is broken, nothing usable is in it, or the file cannot be written. There
/// is then no new file, and one of that name from before stays.
pub fn pack(
    source: &Source,
    out: &Path,
    options: &PackOptions,
    stop: &Arc<AtomicBool>,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Packed, DataError> {
    let threads = options.threads.max(1);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        // One more than decode, for whoever reads.
        .max_blocking_threads(threads + 2)
        .thread_name("factorseg-pack")
        .enable_all()
        .build()
        .map_err(|source| DataError::Io {
            action: "start the threads that pack",
            path: out.to_owned(),
            source,
        })?;
    let (sender, mut inputs) = mpsc::channel::<Result<Input, DataError>>(threads);
    produce(source, options, &runtime, sender)?;
    let mut writer = PackWriter::create(out)?;
    let mut broken = 0;
    let mut finish = |output: Output, writer: &mut PackWriter| -> Result<(), DataError> {
        if let Some((seen, shots)) = output.video {
            report(Event::Video {
                name: &output.name,
                frames: output.pictures.len(),
                seen,
                shots,
            });
        }
        for (name, pixels) in &output.pictures {
            writer.add(name, output.class.as_deref().filter(|_| !options.unconditional), pixels)?;
        }
        report(Event::Packed(writer.images()));
        if let Some(reason) = &output.broken {
            broken += 1;
            report(Event::Broken {
                name: &output.name,
                reason,
            });
            if broken > options.max_broken {
                return Err(DataError::Broken(TooManyBroken {
                    count: broken,
                    limit: options.max_broken,
                    path: output.name,
                    reason: reason.clone(),
                }));
            }
        }
        Ok(())
    };
    let worked: Result<(), DataError> = runtime.block_on(async {
        let mut running: VecDeque<JoinHandle<Output>> = VecDeque::new();
        let mut open = true;
        while open || !running.is_empty() {
            if stop.load(Ordering::Relaxed) {
                return Err(DataError::Interrupted);
            }
            if open && running.len() < 2 * threads {
                match inputs.recv().await {
                    Some(input) => {
                        let (input, options, stop) = (input?, options.clone(), stop.clone());
                        running.push_back(tokio::task::spawn_blocking(move || work(input, &options, &stop)));
                    }
                    None => open = false,
                }
                continue;
            }
            if let Some(first) = running.pop_front() {
                let output = first.await.map_err(|error| DataError::Source {
                    text: source.to_string(),
                    reason: format!("a decoder ended: {error}"),
                })?;
                finish(output, &mut writer)?;
            }
        }
        Ok(())
    });
    runtime.shutdown_background();
    worked?;
    if stop.load(Ordering::Relaxed) {
        return Err(DataError::Interrupted);
    }
    if writer.images() == 0 {
        return Err(DataError::Empty(source.to_string()));
    }
    let images = writer.images();
    writer.finish(Description {
        side: options.side,
        square: options.square,
        classes: Vec::new(),
        source: source.to_string(),
        broken,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    Ok(Packed { images, broken })
}

/// Starts to send what is in the source.
fn produce(
    source: &Source,
    options: &PackOptions,
    runtime: &tokio::runtime::Runtime,
    sender: mpsc::Sender<Result<Input, DataError>>,
) -> Result<(), DataError> {
    match source {
        Source::Folder(_) | Source::Shards(..) | Source::Pack(_) => {
            let images = DataSet::of(source)?;
            if let Some(side) = images.side().filter(|side| *side < options.side) {
                return Err(DataError::Source {
                    text: source.to_string(),
                    reason: format!(
                        "is packed at {side} pixels; pack what it was made from to get {}",
                        options.side
                    ),
                });
            }
            runtime.spawn(async move {
                for index in 0..images.len() {
                    if sender.send(Ok(Input::Indexed(images.clone(), index))).await.is_err() {
                        return;
                    }
                }
            });
        }
        Source::Videos(path) => {
            let mut files = Vec::new();
            if path.is_file() {
                let name = path
                    .file_name()
                    .unwrap_or(path.as_os_str())
                    .to_string_lossy()
                    .into_owned();
                files.push((path.clone(), name, None));
            } else {
                let listing = Listing::of(path)?;
                for sample in listing.samples {
                    let class = sample.class.map(|class| listing.classes[class].clone());
                    files.push((path.join(&sample.path), sample.path.display().to_string(), class));
                }
            }
            runtime.spawn(async move {
                for (path, name, class) in files {
                    if sender.send(Ok(Input::File { path, name, class })).await.is_err() {
                        return;
                    }
                }
            });
        }
        #[cfg(feature = "object-store")]
        Source::Remote(urls) => crate::remote::produce(urls, options, runtime, sender)?,
        #[cfg(not(feature = "object-store"))]
        Source::Remote(_) => {
            return Err(DataError::Source {
                text: source.to_string(),
                reason:
                    "this program was built without object stores; build it with `--features object-store`, or copy \
                         the data to a disk"
                        .into(),
            });
        }
    }
    Ok(())
}

fn work(input: Input, options: &PackOptions, stop: &AtomicBool) -> Output {
    let shape = |pixels: Pixels| if options.square { centre_square(pixels) } else { pixels };
    let picture = |name: String, class: Option<String>, pixels: Result<Pixels, crate::decode::DecodeError>| {
        let (pictures, broken) = match pixels {
            Ok(pixels) => (vec![(name.clone(), shape(pixels))], None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Output {
            name,
            class,
            pictures,
            broken,
            video: None,
        }
    };
    match input {
        Input::Indexed(images, index) => {
            let class = images.class(index).map(|class| images.classes()[class].clone());
            picture(images.name(index), class, images.read(index, options.side))
        }
        Input::File { path, name, class } => match Kind::of(&name) {
            Some(Kind::Video) => video(&path, name, class, options, stop),
            _ => picture(name, class, read_image(&path, options.side)),
        },
        Input::Bytes { bytes, name, class } => picture(name, class, decode_image(&bytes, options.side)),
        Input::Temporary { file, name, class } => video(file.path(), name, class, options, stop),
        Input::Failed { name, reason } => Output {
            name,
            class: None,
            pictures: Vec::new(),
            broken: Some(reason),
            video: None,
        },
    }
}

#[cfg(feature = "video")]
fn video(path: &Path, name: String, class: Option<String>, options: &PackOptions, stop: &AtomicBool) -> Output {
    let mut output = Output {
        name,
        class,
        pictures: Vec::new(),
        broken: None,
        video: None,
    };
    match crate::video::frames(path, options.side, &options.frames, stop) {
        Ok(frames) => {
            output.video = Some((frames.seen, frames.shots));
            output.broken = frames.error;
            for frame in frames.frames {
                let name = format!("{}#t={:.3}", output.name, frame.time.as_secs_f64());
                let pixels = match options.square {
                    true => centre_square(frame.pixels),
                    false => frame.pixels,
                };
                output.pictures.push((name, pixels));
            }
        }
        Err(reason) => output.broken = Some(reason),
    }
    output
}

#[cfg(not(feature = "video"))]
fn video(_: &Path, name: String, class: Option<String>, _: &PackOptions, _: &AtomicBool) -> Output {
    Output {
        name,
        class,
        pictures: Vec::new(),
        broken: Some("this program was built without videos; build it with `--features video`".into()),
        video: None,
    }
}
