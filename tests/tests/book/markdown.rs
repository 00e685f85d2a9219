//! What the tests need of Markdown: fenced blocks, and the text around them.

use std::fs;
use std::path::{Path, PathBuf};

/// One document, or the documentation at the head of a Rust file, apart from its fenced blocks.
pub struct Page {
    /// From the top of the checkout: `docs/start.md`.
    pub name: String,
    /// The text outside of fenced blocks, which leave empty lines.
    pub prose: String,
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// Where its text begins, from 1.
    pub line: usize,
    /// Behind the fence: `sh long`.
    pub info: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page of the book, and the documents outside of it.
pub fn pages() -> Vec<Page> {
    let mut names: Vec<String> = [
        "README.md",
        "CONTRIBUTING.md",
        "pipelines/media/README.md",
        "tests/cuda/README.md",
    ]
    .map(str::to_owned)
    .into();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let mut docs: Vec<String> = docs
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    docs.sort();
    names.extend(
        docs.iter()
            .filter(|name| name.ends_with(".md"))
            .map(|name| format!("docs/{name}")),
    );
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    pub fn read(name: &str) -> Self {
        let mut text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        if name.ends_with(".rs") {
            let lines = text
                .lines()
                .map(|line| line.strip_prefix("//!").unwrap_or_default().trim_start());
            text = lines.collect::<Vec<_>>().join("\n");
        }
        let mut page = Self {
            name: name.to_owned(),
            prose: String::new(),
            blocks: Vec::new(),
        };
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (open.take(), fence) {
                (None, None) => page.prose.push_str(line),
                (None, Some(info)) => {
                    open = Some(Block {
                        line: number + 2,
                        info: info.trim().to_owned(),
                        text: String::new(),
                    });
                }
                (Some(block), Some(_)) => page.blocks.push(block),
                (Some(mut block), None) => {
                    block.text += line;
                    block.text.push('\n');
                    open = Some(block);
                }
            }
            page.prose.push('\n');
        }
        assert!(open.is_none(), "{name}: a block has no end");
        page
    }

    /// `code` in the text, with line ends as spaces.
    pub fn inline_code(&self) -> impl Iterator<Item = String> {
        // A paragraph or a row of a table has all of its ticks.
        let paragraphs = self
            .prose
            .split("\n\n")
            .flat_map(|paragraph| match paragraph.trim_start().starts_with('|') {
                true => paragraph.lines().collect(),
                false => vec![paragraph],
            });
        paragraphs.flat_map(|text| text.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")))
    }

    /// Anchors of the headings, as mdBook and GitHub name them.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose.lines().filter_map(|line| line.strip_prefix('#'));
        let slug = |heading: &str| {
            let kept = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = kept
                .chars()
                .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            kept.collect::<String>().replace(' ', "-")
        };
        headings.map(slug).collect()
    }

    /// Targets of links and pictures.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.prose
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0))
    }
}
