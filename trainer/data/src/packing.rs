//! Packs any source into one file: read by a tokio task, decoded on blocking threads, written in order.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::dataset::DataSet;
use crate::decode::{DecodeError, Pixels, centre_square, decode_image, read_image};
use crate::error::{DataError, TooManyBroken, io_error};
use crate::folder::{Kind, Listing};
use crate::input::{Content, Input};
pub use crate::input::{FrameOptions, PackOptions, Witness};
use crate::pack::Description;
use crate::skipped::Skipped;
use crate::source::Source;
use crate::writer::PackWriter;

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
    /// Entries of the source that are no pictures or videos.
    pub skipped: Skipped,
}

/// What came of an input.
#[derive(Default)]
struct Output {
    name: String,
    class: Option<String>,
    pictures: Vec<(String, Pixels)>,
    broken: Option<String>,
    skipped: Skipped,
    /// Of a video: frames that were looked at, and shots among them.
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
        .map_err(io_error("start the threads that pack", out))?;
    let (sender, mut inputs) = mpsc::channel::<Result<Input, DataError>>(threads);
    let mut skipped = produce(source, options, &runtime, sender)?;
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
        skipped.extend(output.skipped);
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
                let output = first.await;
                let ended = |error| DataError::source(source, format!("a decoder ended: {error}"));
                finish(output.map_err(ended)?, &mut writer)?;
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
    Ok(Packed {
        images,
        broken,
        skipped,
    })
}

/// Writes a pack of `pictures`, whose shorter sides are `side`.
///
/// # Errors
/// If the file cannot be written.
pub fn write_pack(path: &Path, side: usize, pictures: &[Pixels]) -> Result<(), DataError> {
    let mut writer = PackWriter::create(path)?;
    for (index, pixels) in pictures.iter().enumerate() {
        writer.add(&format!("{index}.png"), None, pixels)?;
    }
    writer.finish(Description {
        side,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Description::default()
    })
}

/// Starts to send what is in the source.
fn produce(
    source: &Source,
    options: &PackOptions,
    runtime: &tokio::runtime::Runtime,
    sender: mpsc::Sender<Result<Input, DataError>>,
) -> Result<Skipped, DataError> {
    let skipped;
    let inputs: Box<dyn Iterator<Item = Input> + Send> = match source {
        Source::Folder(_) | Source::Shards(..) | Source::Pack(_) => {
            let images = DataSet::of(source)?;
            if let Some(side) = images.side().filter(|side| *side < options.side) {
                let wanted = options.side;
                let reason = format!("is packed at {side} pixels; pack what it was made from to get {wanted}");
                return Err(DataError::source(source, reason));
            }
            skipped = images.skipped().clone();
            Box::new((0..images.len()).map(move |index| Input {
                name: images.name(index),
                class: images.class(index).map(|class| images.classes()[class].clone()),
                content: Content::Indexed(images.clone(), index),
            }))
        }
        Source::Videos(path) if path.is_file() => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            skipped = Skipped::default();
            Box::new(std::iter::once(Input {
                name: name.to_string_lossy().into_owned(),
                class: None,
                content: Content::File(path.clone()),
            }))
        }
        Source::Videos(path) => {
            let (listing, root) = (Listing::of(path)?, path.clone());
            let (classes, samples) = (listing.classes, listing.samples);
            skipped = listing.skipped;
            Box::new(samples.into_iter().map(move |sample| Input {
                name: sample.path.display().to_string(),
                class: sample.class.map(|class| classes[class].clone()),
                content: Content::File(root.join(&sample.path)),
            }))
        }
        #[cfg(feature = "object-store")]
        Source::Remote(urls) => {
            crate::remote::produce(urls, options, runtime, sender);
            return Ok(Skipped::default());
        }
        #[cfg(not(feature = "object-store"))]
        Source::Remote(_) => {
            return Err(DataError::source(
                source,
                "this program was built without object stores; build it with `--features object-store`, or copy the data to \
                 a disk",
            ));
        }
    };
    runtime.spawn(async move {
        for input in inputs {
            if sender.send(Ok(input)).await.is_err() {
                return;
            }
        }
    });
    Ok(skipped)
}

fn work(input: Input, options: &PackOptions, stop: &AtomicBool) -> Output {
    let mut output = Output {
        name: input.name,
        class: input.class,
        ..Output::default()
    };
    let made = match input.content {
        Content::Indexed(images, index) => output.picture(images.read(index, options.side), options),
        Content::File(path) if Kind::of(&output.name) == Some(Kind::Video) => output.video(&path, options, stop),
        Content::File(path) => output.picture(read_image(&path, options.side), options),
        Content::Bytes(bytes) => output.picture(decode_image(&bytes, options.side), options),
        Content::Temporary(file) => output.video(file.path(), options, stop),
        Content::Skipped(skipped) => {
            output.skipped = skipped;
            Ok(())
        }
        Content::Failed(reason) => Err(reason),
    };
    output.broken = made.err();
    output
}

fn shaped(pixels: Pixels, options: &PackOptions) -> Pixels {
    if options.square { centre_square(pixels) } else { pixels }
}

impl Output {
    fn picture(&mut self, pixels: Result<Pixels, DecodeError>, options: &PackOptions) -> Result<(), String> {
        let pixels = pixels.map_err(|error| error.to_string())?;
        self.pictures.push((self.name.clone(), shaped(pixels, options)));
        Ok(())
    }

    /// Takes what can be decoded of a video; an error says why it is not whole.
    #[cfg(feature = "video")]
    fn video(&mut self, path: &Path, options: &PackOptions, stop: &AtomicBool) -> Result<(), String> {
        let found = crate::video::frames(path, options, stop)?;
        self.video = Some((found.seen, found.shots));
        for frame in found.frames {
            let name = format!("{}#t={:.3}", self.name, frame.time.as_secs_f64());
            self.pictures.push((name, shaped(frame.pixels, options)));
        }
        found.error.map_or(Ok(()), Err)
    }

    #[cfg(not(feature = "video"))]
    fn video(&mut self, _: &Path, _: &PackOptions, _: &AtomicBool) -> Result<(), String> {
        Err("this program was built without videos; build it with `--features video`".into())
    }
}
