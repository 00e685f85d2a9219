//! Where pictures come from, as a user says it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::folder::{Kind, Listing};
use crate::pack::Pack;

/// Most names that `{000..999}` stands for.
const MAXIMUM_NAMES: usize = 100_000;

/// A place that holds pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of pictures.
    Folder(PathBuf),
    /// A video, or a folder that holds videos (and perhaps pictures too).
    Videos(PathBuf),
    /// Tar archives: the name they were given by, and each of them.
    Shards(PathBuf, Vec<PathBuf>),
    /// A packed file.
    Pack(PathBuf),
    /// URLs of objects, or of what they begin with.
    Remote(Vec<String>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Folder(path) | Source::Videos(path) | Source::Shards(path, _) | Source::Pack(path) => {
                path.display().fmt(f)
            }
            Source::Remote(urls) => match urls.as_slice() {
                [one] => f.write_str(one),
                [first, .., last] => write!(f, "{first} to {last}"),
                [] => Ok(()),
            },
        }
    }
}

impl Source {
    /// Looks at what a path or URL names. `{000..127}` in the name of archives stands for all numbers between.
    ///
    /// # Errors
    /// If there is nothing there, or nothing that holds pictures.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let names = expand(text)?;
        if text.contains("://") {
            return Ok(Source::Remote(names));
        }
        let path = PathBuf::from(text);
        if names.len() > 1 {
            return Ok(Source::Shards(path, names.into_iter().map(PathBuf::from).collect()));
        }
        if path.is_file() {
            return match Kind::of(text) {
                _ if Pack::is_one(&path) => Ok(Source::Pack(path)),
                Some(Kind::Shard) => Ok(Source::Shards(path.clone(), vec![path])),
                Some(Kind::Video) => Ok(Source::Videos(path)),
                _ => Err(DataError::source(
                    text,
                    "is a file, but no packed file, tar archive or video; extract other archives first and give the folder \
                     that holds the images",
                )),
            };
        }
        let listing = Listing::of(&path)?;
        let has = |kind| listing.samples.iter().any(|sample| sample.kind() == Some(kind));
        if !listing.shards.is_empty() {
            if !listing.samples.is_empty() {
                let reason = "holds tar archives beside pictures or videos; put them into folders of their own";
                return Err(DataError::source(text, reason));
            }
            let shards = listing.shards.iter().map(|shard| path.join(shard)).collect();
            return Ok(Source::Shards(path, shards));
        }
        if has(Kind::Video) {
            return Ok(Source::Videos(path));
        }
        Ok(Source::Folder(path))
    }

    /// Whether its pictures come only in one order, so that training needs a packed file of them.
    pub fn needs_packing(&self) -> bool {
        matches!(self, Source::Videos(_) | Source::Remote(_))
    }

    /// The path, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::Folder(path) | Source::Videos(path) | Source::Shards(path, _) | Source::Pack(path) => Some(path),
            Source::Remote(_) => None,
        }
    }
}

/// The names that one with a range in braces stands for; any other stands for itself.
fn expand(text: &str) -> Result<Vec<String>, DataError> {
    let wrong = |reason: &str| DataError::source(text, reason);
    let Some((before, rest)) = text.split_once('{') else {
        return Ok(vec![text.to_owned()]);
    };
    // A brace that is part of a name that exists.
    if Path::new(text).exists() {
        return Ok(vec![text.to_owned()]);
    }
    let range = rest.split_once('}').and_then(|(range, after)| {
        let (first, last) = range.split_once("..")?;
        Some((first, first.parse::<usize>().ok()?, last.parse::<usize>().ok()?, after))
    });
    let Some((digits, first, last, after)) = range else {
        return Err(wrong("expected a range such as {000..127} in the braces"));
    };
    if last < first || last - first >= MAXIMUM_NAMES || after.contains('{') {
        return Err(wrong(
            "expected one range in braces, from the smaller number to the larger",
        ));
    }
    let width = digits.len();
    Ok((first..=last)
        .map(|number| format!("{before}{number:0width$}{after}"))
        .collect())
}

#[cfg(test)]
mod tests;
