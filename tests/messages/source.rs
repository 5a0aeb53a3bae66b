//! Finds messages and doc comments in Rust source.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A literal with fewer words is a name, a key or a format.
const FEWEST_WORDS: usize = 3;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Message,
    Comment,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "message",
            Self::Comment => "comment",
        })
    }
}

/// A message or a doc comment.
pub struct Text {
    pub kind: Kind,
    pub path: String,
    pub line: usize,
    pub content: String,
}

impl Text {
    /// The first twelve hexadecimal digits of the SHA-256 of its file and text: it moves with neither lines nor commits.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(format!("{}\n{}", self.path, self.content));
        digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// All texts of `src/`, without its tests.
pub fn all() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(root).unwrap_or(file);
            let source = std::fs::read_to_string(file).expect("a source file");
            of_file(&path.display().to_string(), &source)
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let is_test = ["tests", "tests.rs", "testing"]
            .iter()
            .any(|test| name == *test);
        if is_test {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn of_file(path: &str, source: &str) -> Vec<Text> {
    // Unit tests stand at the end of a file.
    let source = source
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(source);
    let mut texts = Vec::new();
    let mut comment: Option<(usize, String)> = None;
    let mut characters = Characters {
        rest: source,
        line: 1,
    };
    for (number, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let said = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        match (said, &mut comment) {
            (Some(said), Some((_, text))) => {
                text.push('\n');
                text.push_str(said.trim());
            }
            (Some(said), None) => comment = Some((number + 1, said.trim().to_owned())),
            (None, _) => texts.extend(comment.take().map(|(line, text)| Text {
                kind: Kind::Comment,
                path: path.to_owned(),
                line,
                content: text,
            })),
        }
    }
    while let Some((line, text)) = characters.next_literal() {
        if text.split_whitespace().count() >= FEWEST_WORDS {
            texts.push(Text {
                kind: Kind::Message,
                path: path.to_owned(),
                line,
                content: text,
            });
        }
    }
    texts
}

/// What is left of a source file.
struct Characters<'a> {
    rest: &'a str,
    line: usize,
}

impl Characters<'_> {
    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// The next string literal with its line, its escapes of line ends undone.
    fn next_literal(&mut self) -> Option<(usize, String)> {
        loop {
            let at = self.rest.find(['"', '/', '\''])?;
            self.take(at);
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("'\"'") || self.rest.starts_with("'\\\"'") {
                let end = self.rest.find("\"'").unwrap_or(0) + 2;
                self.take(end);
            } else if self.rest.starts_with('"') {
                return Some(self.literal());
            } else {
                self.take(1);
            }
        }
    }

    fn literal(&mut self) -> (usize, String) {
        let line = self.line;
        self.take(1);
        let mut text = String::new();
        loop {
            let Some(at) = self.rest.find(['"', '\\']) else {
                return (line, text);
            };
            text.push_str(self.take(at));
            if self.rest.starts_with('"') {
                self.take(1);
                return (line, text);
            }
            let is_line_end = self.rest.starts_with("\\\n");
            self.take(1);
            if is_line_end {
                let blanks = self.rest.len() - self.rest.trim_start().len();
                self.take(blanks);
            } else if let Some(escaped) = self.rest.chars().next() {
                text.push(if escaped == 'n' { '\n' } else { escaped });
                self.take(escaped.len_utf8());
            }
        }
    }
}
