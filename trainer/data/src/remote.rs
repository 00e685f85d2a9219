//! Object stores: `s3://`, `http(s)://` and `file://` URLs of tar archives, videos, or pictures.
//!
//! A URL names an object (an archive, a video, a picture, or a list of others: `.txt`, a name or URL on each line) or,
//! where the store can list, what the names of objects begin with. Archives are streamed in ranges, pictures are fetched
//! a few at a time, videos pass through a temporary file.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use crate::error::DataError;
use crate::folder::Kind;
use crate::input::{Content, Input, PackOptions};
use crate::picture::LARGEST_FILE;
use crate::shards::walk;
use crate::skipped::Skipped;

/// Bytes of an archive that are asked for at once.
const RANGE: u64 = 8 << 20;
/// Pictures that are fetched at the same time.
const CONCURRENT: usize = 16;
const TOO_LARGE: &str = "larger than 512 MiB";
/// Longest list of names.
const MAXIMUM_LIST: u64 = 256 << 20;

type Sender = mpsc::Sender<Result<Input, DataError>>;

/// An object and the store that has it.
#[derive(Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    size: u64,
    /// What it is called in messages and in the pack: without what all have in common.
    name: String,
    place: String,
}

fn refused(place: impl Display, reason: impl Display) -> DataError {
    DataError::Store {
        place: place.to_string(),
        reason: reason.to_string(),
    }
}

fn store_error(place: &str) -> impl Fn(object_store::Error) -> DataError {
    move |error| match &error {
        object_store::Error::NotFound { .. } => refused(place, "there is no such object"),
        _ => refused(place, error),
    }
}

fn open(text: &str, options: &PackOptions) -> Result<(Arc<dyn ObjectStore>, ObjectPath), DataError> {
    let url = Url::parse(text).map_err(|error| DataError::source(text, format!("is no URL: {error}")))?;
    let (scheme, _) = ObjectStoreScheme::parse(&url).map_err(|error| {
        let expected = "expected s3://BUCKET/..., https://..., http://... or file:///...";
        DataError::source(text, format!("{error}; {expected}"))
    })?;
    // The credentials, region and endpoint of the usual variables, unless the caller has others.
    let mut settings: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| name.starts_with("AWS_"))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    if scheme == ObjectStoreScheme::Http {
        settings = vec![("allow_http".into(), "true".into())];
    }
    settings.extend(options.store.iter().cloned());
    let (store, path) = object_store::parse_url_opts(&url, settings).map_err(|error| DataError::source(text, error))?;
    Ok((Arc::from(store), path))
}

/// Starts to send what is in the objects that the URLs name.
pub(crate) fn produce(urls: &[String], options: &PackOptions, runtime: &Runtime, sender: Sender) {
    // Whoever comes first installs it; another one serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (urls, options) = (urls.to_vec(), options.clone());
    runtime.spawn(async move {
        for url in urls {
            if let Err(error) = send_all(&url, &options, &sender).await {
                let _ = sender.send(Err(error)).await;
                return;
            }
            if sender.is_closed() {
                return;
            }
        }
    });
}

async fn send_all(url: &str, options: &PackOptions, sender: &Sender) -> Result<(), DataError> {
    let (objects, skipped) = list(url, options).await?;
    let _ = sender.send(Ok(Input::skipped(skipped))).await;
    let kind = |object: &Object| Kind::of(object.path.as_ref());
    for run in objects.chunk_by(|a, b| kind(a) == kind(b)) {
        match kind(&run[0]) {
            Some(Kind::Shard) => {
                for object in run {
                    send_archive(object.clone(), sender.clone()).await?;
                }
            }
            Some(Kind::Video) => {
                for object in run {
                    let input = object.input(object.video().await);
                    if sender.send(Ok(input)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            _ => {
                let fetch = async |object: Object| object.input(object.picture().await);
                let mut inputs = stream::iter(run.to_vec()).map(fetch).buffered(CONCURRENT);
                while let Some(input) = inputs.next().await {
                    if sender.send(Ok(input)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// The objects behind a URL, by name.
async fn list(url: &str, options: &PackOptions) -> Result<(Vec<Object>, Skipped), DataError> {
    let (store, path) = open(url, options)?;
    let file_name = path.filename().unwrap_or_default().to_owned();
    if file_name.to_lowercase().ends_with(".txt") {
        return Ok((listed_in(url, &store, &path, options).await?, Skipped::default()));
    }
    if Kind::of(&file_name).is_some() {
        let size = store.head(&path).await.map_err(store_error(url))?.size;
        let object = Object {
            store,
            size,
            name: file_name,
            place: url.to_owned(),
            path,
        };
        return Ok((vec![object], Skipped::default()));
    }
    let found: Vec<_> = store.list(Some(&path)).try_collect().await.map_err(|error| {
        let instead = "A web server that does not list (WebDAV) takes the URL of a tar archive, or of a .txt file with a name \
                       on each line";
        refused(url, format!("cannot list: {error}. {instead}"))
    })?;
    let mut skipped = Skipped::default();
    let (known, other): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|meta| Kind::of(meta.location.as_ref()).is_some());
    other.iter().for_each(|meta| {
        skipped.add(
            "no picture, video or tar archive by the ending of its name",
            &meta.location,
        )
    });
    let mut objects: Vec<Object> = known
        .into_iter()
        .map(|meta| Object {
            store: store.clone(),
            size: meta.size,
            name: below(&path, &meta.location),
            place: format!("{}/{}", url.trim_end_matches('/'), below(&path, &meta.location)),
            path: meta.location,
        })
        .collect();
    objects.sort_by(|a, b| a.path.cmp(&b.path));
    if objects.is_empty() {
        return Err(DataError::Empty(url.to_owned()));
    }
    Ok((objects, skipped))
}

fn below(prefix: &ObjectPath, path: &ObjectPath) -> String {
    path.as_ref()
        .strip_prefix(prefix.as_ref())
        .unwrap_or(path.as_ref())
        .trim_start_matches('/')
        .to_owned()
}

/// The objects that a list names, relative to the list or as whole URLs.
async fn listed_in(
    url: &str,
    store: &Arc<dyn ObjectStore>,
    path: &ObjectPath,
    options: &PackOptions,
) -> Result<Vec<Object>, DataError> {
    let meta = store.head(path).await.map_err(store_error(url))?;
    if meta.size > MAXIMUM_LIST {
        let reason = format!("the list has {} bytes, more than {MAXIMUM_LIST}", meta.size);
        return Err(refused(url, reason));
    }
    let answer = store.get(path).await.map_err(store_error(url))?;
    let bytes = answer.bytes().await.map_err(store_error(url))?;
    let text = String::from_utf8_lossy(&bytes);
    let base = Url::parse(url).map_err(|error| refused(url, error))?;
    let mut objects = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let place = base
            .join(line)
            .map_err(|error| refused(url, format!("{line}: {error}")))?;
        let (store, path) = if line.contains("://") {
            open(place.as_str(), options)?
        } else {
            let (_, path) = ObjectStoreScheme::parse(&place).map_err(|error| refused(&place, error))?;
            (store.clone(), path)
        };
        objects.push(Object {
            store,
            path,
            size: 0,
            name: line.to_owned(),
            place: place.to_string(),
        });
    }
    Ok(objects)
}

impl Object {
    /// What was fetched of it, or why it was not.
    fn input(&self, fetched: Result<Content, String>) -> Input {
        // The first folder of its name is its class.
        let folder = self.name.split_once('/').filter(|_| !self.name.contains("://"));
        Input {
            name: self.name.clone(),
            class: folder.map(|(class, _)| class.to_owned()),
            content: fetched.unwrap_or_else(Content::Failed),
        }
    }

    async fn picture(&self) -> Result<Content, String> {
        let answer = self.store.get(&self.path).await.map_err(words)?;
        if answer.meta.size > LARGEST_FILE {
            return Err(TOO_LARGE.to_owned());
        }
        Ok(Content::Bytes(answer.bytes().await.map_err(words)?.to_vec()))
    }

    async fn video(&self) -> Result<Content, String> {
        let ending = self.name.rsplit('.').next().unwrap_or_default();
        let mut file = tempfile::Builder::new()
            .suffix(&format!(".{ending}"))
            .tempfile()
            .map_err(words)?;
        let mut parts = self.store.get(&self.path).await.map_err(words)?.into_stream();
        while let Some(part) = parts.next().await {
            file.write_all(&part.map_err(words)?).map_err(words)?;
        }
        Ok(Content::Temporary(file))
    }
}

fn words(error: impl Display) -> String {
    error.to_string()
}

/// Reads an archive in ranges, one ahead, and sends its pictures.
async fn send_archive(mut object: Object, sender: Sender) -> Result<(), DataError> {
    if object.size == 0 {
        object.size = object
            .store
            .head(&object.path)
            .await
            .map_err(store_error(&object.place))?
            .size;
    }
    let place = object.place.clone();
    let handle = Handle::current();
    let walked = tokio::task::spawn_blocking(move || {
        let name = object.path.filename().unwrap_or_default().to_owned();
        let mut archive = tar::Archive::new(Ranges::new(object, handle));
        archive.set_ignore_zeros(true);
        let mut skipped = Skipped::default();
        let sent = walk(
            archive.entries()?,
            &mut skipped,
            |entry| {
                if entry.size() > LARGEST_FILE {
                    return Ok(Err(TOO_LARGE.to_owned()));
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                if (bytes.len() as u64) < entry.size() {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short"));
                }
                Ok(Ok(Content::Bytes(bytes)))
            },
            |found| {
                let input = Input {
                    name: format!("{name}/{}", found.name),
                    class: found.class,
                    content: found.picture.unwrap_or_else(Content::Failed),
                };
                match sender.blocking_send(Ok(input)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            },
        );
        // Nobody listens to it only where packing has ended.
        let _ = sender.blocking_send(Ok(Input::skipped(skipped)));
        sent
    });
    walked
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| DataError::shard(place, error))
}

type Fetch = JoinHandle<object_store::Result<Vec<u8>>>;

/// An object as a stream of bytes.
struct Ranges {
    object: Object,
    handle: Handle,
    asked: u64,
    next: Option<Fetch>,
    block: Vec<u8>,
    at: usize,
}

impl Ranges {
    fn new(object: Object, handle: Handle) -> Self {
        let mut ranges = Self {
            object,
            handle,
            asked: 0,
            next: None,
            block: Vec::new(),
            at: 0,
        };
        ranges.ask();
        ranges
    }

    fn ask(&mut self) {
        let end = (self.asked + RANGE).min(self.object.size);
        self.next = (self.asked < end).then(|| {
            let (object, range) = (self.object.clone(), self.asked..end);
            self.handle
                .spawn(async move { Ok(object.store.get_range(&object.path, range).await?.to_vec()) })
        });
        self.asked = end;
    }
}

impl Read for Ranges {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            let Some(next) = self.next.take() else { return Ok(0) };
            let fetched = self.handle.block_on(next).map_err(io::Error::other)?;
            self.block = fetched.map_err(io::Error::other)?;
            self.at = 0;
            self.ask();
        }
        let count = into.len().min(self.block.len() - self.at);
        into[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
