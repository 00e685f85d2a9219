//! Class labels, and how a user's words name them.

use serde::{Deserialize, Serialize};

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
    /// The label that a folder of training images stands for: a WordNet id names itself.
    pub fn from_folder(folder: &str) -> Self {
        Self {
            wordnet_id: is_wordnet_id(folder).then(|| folder.to_owned()),
            name: folder.to_owned(),
        }
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
/// If the word names no class.
pub fn find_class(labels: &[ClassLabel], word: &str) -> Result<Option<usize>, ClassError> {
    let word = word.trim();
    if word.is_empty() || word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    if labels.is_empty() {
        return Err(ClassError::Unconditional(word.to_owned()));
    }
    let wanted = normalised(word);
    let named = labels.iter().position(|label| {
        label.wordnet_id.as_deref() == Some(word) || label.name.split(',').any(|name| normalised(name) == wanted)
    });
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
mod tests {
    use super::*;

    fn labels() -> Vec<ClassLabel> {
        vec![
            ClassLabel {
                wordnet_id: Some("n02123045".into()),
                name: "tabby, tabby cat".into(),
            },
            ClassLabel::from_folder("n02085936"),
            ClassLabel::from_folder("Water_Buffalo"),
        ]
    }

    #[test]
    fn classes_are_found_by_index_id_and_name() {
        for (word, expected) in [
            ("none", None),
            ("", None),
            ("2", Some(2)),
            ("n02123045", Some(0)),
            ("Tabby-Cat", Some(0)),
            ("n02085936", Some(1)),
            ("water buffalo", Some(2)),
        ] {
            assert_eq!(find_class(&labels(), word), Ok(expected), "{word}");
        }
    }

    #[test]
    fn a_number_names_the_class_of_that_name_where_names_are_numbers() {
        let folders = |names: &[&str]| {
            names
                .iter()
                .map(|name| ClassLabel::from_folder(name))
                .collect::<Vec<_>>()
        };
        let numbered = folders(&["1", "2", "010"]);
        for (word, expected) in [
            ("1", Some(0)),
            ("010", Some(2)),
            ("10", Some(2)),
            ("02", Some(1)),
            ("none", None),
        ] {
            assert_eq!(find_class(&numbered, word), Ok(expected), "{word}");
        }
        let message = find_class(&numbered, "0").unwrap_err().to_string();
        assert!(message.contains("`1`") && !message.contains("index"), "{message}");
        // A name goes before an index.
        assert_eq!(find_class(&folders(&["cat", "0", "dog"]), "0"), Ok(Some(1)));
        assert_eq!(find_class(&folders(&["cat", "0", "dog"]), "2"), Ok(Some(2)));
    }

    #[test]
    fn an_unknown_class_is_an_error_that_names_the_choices() {
        let message = find_class(&labels(), "unicorn").unwrap_err().to_string();
        assert!(message.contains("unicorn") && message.contains("0 to 2"), "{message}");
        assert!(find_class(&labels(), "3").is_err());
        assert!(matches!(find_class(&[], "tabby"), Err(ClassError::Unconditional(_))));
    }
}
