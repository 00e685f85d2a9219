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

    /// ImageNet's classes by whatever name they were trained under: ids, numbers from 0 to 999, or only their count.
    #[test]
    fn imagenets_classes_answer_to_their_names() {
        let ids: Vec<String> = IMAGENET.lines().filter_map(|line| listed(line)?.wordnet_id).collect();
        assert!(ids.len() == 1000 && ids.is_sorted());
        let shuffled = ["n02123045", "n01443537", "n00000001"].map(str::to_owned);
        assert_eq!(
            find_class(&ClassLabel::from_folders(&shuffled), "goldfish"),
            Ok(Some(1))
        );
        assert_eq!(ClassLabel::from_folder("n00000001").name, "n00000001");
        for labels in [ClassLabel::from_folders(&ids), ClassLabel::of_count(1000)] {
            for word in ["tabby", "281", "n02123045"] {
                assert_eq!(find_class(&labels, word), Ok(Some(281)), "{word}");
            }
            // Table 7 of the paper.
            for (word, index) in [
                ("warplane", 895),
                ("hummingbird", 94),
                ("water-buffalo", 346),
                ("maltese-dog", 153),
            ] {
                assert_eq!(find_class(&labels, word), Ok(Some(index)), "{word}");
            }
            let message = find_class(&labels, "crane").unwrap_err().to_string();
            assert!(message.contains("n02012849, n03126707"), "{message}");
        }
        // Numbers that are not ImageNet's stay numbers.
        let flowers: Vec<String> = (1..=102).map(|class| class.to_string()).collect();
        assert!(find_class(&ClassLabel::from_folders(&flowers), "tench").is_err());
        assert_eq!(find_class(&ClassLabel::of_count(7), "3"), Ok(Some(3)));
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
