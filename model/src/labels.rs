//! Class labels, and how a user's words name them.

use serde::{Deserialize, Serialize};

/// WordNet ids and names of the 1,000 classes of ImageNet's challenge, in the order of their indices (that of the ids).
const IMAGENET: &str = include_str!("imagenet.tsv");

/// ImageNet's class in a line of the list.
fn listed(line: &str) -> Option<ClassLabel> {
    let (id, name) = line.split_once('\t')?;
    Some(ClassLabel {
        wordnet_id: Some(id.to_owned()),
        name: name.to_owned(),
    })
}

/// A class of a conditional network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassLabel {
    /// WordNet id, such as `n02123045`, where the training data named its classes so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wordnet_id: Option<String>,
    /// Name.
    pub name: String,
}

impl ClassLabel {
    /// The label that a folder of training images stands for: a WordNet id goes by its name in ImageNet, where it has one.
    pub fn from_folder(folder: &str) -> Self {
        let wordnet_id = is_wordnet_id(folder).then(|| folder.to_owned());
        let known = wordnet_id
            .as_ref()
            .and_then(|id| IMAGENET.lines().find(|line| line.starts_with(id)));
        known.and_then(listed).unwrap_or_else(|| Self {
            wordnet_id,
            name: folder.to_owned(),
        })
    }

    /// The labels of all folders of training images. Folders 0 to 999 are ImageNet's classes.
    pub fn from_folders(folders: &[String]) -> Vec<Self> {
        let ordered = folders.iter().enumerate();
        let numbered = ordered.fold(true, |all, (index, folder)| all && folder.parse() == Ok(index));
        match numbered && IMAGENET.lines().count() == folders.len() {
            true => IMAGENET.lines().filter_map(listed).collect(),
            false => folders.iter().map(|folder| Self::from_folder(folder)).collect(),
        }
    }

    /// The labels of so many classes of which nothing is said: ImageNet's where they are as many, else numbers.
    pub fn of_count(classes: usize) -> Vec<Self> {
        let numbers: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
        Self::from_folders(&numbers)
    }
}

fn is_wordnet_id(word: &str) -> bool {
    word.len() == 9 && word.starts_with('n') && word[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// A word that names no class of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// The checkpoint has no classes at all.
    #[error("class `{0}` was asked for, but the checkpoint is unconditional; use `none`")]
    Unconditional(String),
    /// Several classes go by the name.
    #[error("the checkpoint has more than one class `{word}`; use a WordNet id: {ids}")]
    Ambiguous {
        /// The word.
        word: String,
        /// Ids of the classes.
        ids: String,
    },
    /// It has classes, but not this one.
    #[error("the checkpoint has no class `{word}`; use `none`, {other}a name such as {examples}")]
    Unknown {
        /// The word.
        word: String,
        /// What may stand instead, where indices may.
        other: String,
        /// Some that exist.
        examples: String,
    },
}

/// Finds the class that a word names: a WordNet id, a name (in any case, `-` and `_` like spaces), or an index, unless all
/// names are numbers. `none` and the empty word are "no class".
///
/// # Errors
/// If the word names no class, or several.
pub fn find_class(labels: &[ClassLabel], word: &str) -> Result<Option<usize>, ClassError> {
    let word = word.trim();
    if word.is_empty() || word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    if labels.is_empty() {
        return Err(ClassError::Unconditional(word.to_owned()));
    }
    let wanted = normalised(word);
    let named = |label: &ClassLabel| {
        label.wordnet_id.as_deref() == Some(word) || label.name.split(',').any(|name| normalised(name) == wanted)
    };
    let all: Vec<&ClassLabel> = labels.iter().filter(|label| named(label)).collect();
    if all.len() > 1 {
        let ids: Vec<&str> = all.iter().filter_map(|label| label.wordnet_id.as_deref()).collect();
        return Err(ClassError::Ambiguous {
            word: word.to_owned(),
            ids: ids.join(", "),
        });
    }
    let named = labels.iter().position(named);
    // Where numbers are names, a number is no index: folder 10 may be the second of the classes.
    let number = |name: &str| name.trim().parse::<u64>().ok();
    let numbered = labels.iter().all(|label| number(&label.name).is_some());
    let found = named.or_else(|| match number(word)? {
        value if numbered => labels.iter().position(|label| number(&label.name) == Some(value)),
        value => usize::try_from(value).ok().filter(|index| *index < labels.len()),
    });
    let other = if numbered {
        String::new()
    } else {
        format!("an index from 0 to {}, or ", labels.len() - 1)
    };
    found.map(Some).ok_or_else(|| ClassError::Unknown {
        word: word.to_owned(),
        other,
        examples: labels
            .iter()
            .take(3)
            .map(|label| format!("`{}`", label.name))
            .collect::<Vec<_>>()
            .join(", "),
    })
}

fn normalised(name: &str) -> String {
    name.trim()
        .chars()
        .map(|c| match c {
            '-' | '_' => ' ',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
