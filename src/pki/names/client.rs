//! The name of a client, in its certificate, its files and its inventory entry.

use super::{Error, hash6, is_bad_character};
use std::{fmt, str::FromStr};

/// A name that is valid in a certificate, a file name and a URI.
///
/// 1 to 64 characters (X.520, `ub-common-name`), no control characters, no `/`, `\` or `..`, no leading or trailing blanks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(String);

impl ClientName {
    const MAX_CHARACTERS: usize = 64;
    /// Largest length of a file name's stem, in bytes: file systems allow 255, which must also hold the longest suffix, `.p12.password`,
    /// and that of a temporary file.
    const MAX_STEM_BYTES: usize = 200;
    const MAX_SLUG: usize = 40;

    /// The exact name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stem of the client's file names; equal to the name wherever every file system allows it.
    ///
    /// Characters that Windows forbids become `_`, as does a leading `-`, and a leading `.`, which hides files and begins the names of
    /// unfinished ones; a name that is too long is cut and gets a hash.
    pub fn file_stem(&self) -> String {
        let mut stem: String = self
            .0
            .chars()
            .map(|character| match character {
                ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
                other => other,
            })
            .collect();
        if stem.starts_with(['-', '.']) {
            stem.replace_range(..1, "_");
        }
        if stem.len() > Self::MAX_STEM_BYTES {
            while stem.len() > Self::MAX_STEM_BYTES - 7 {
                stem.pop();
            }
            stem = format!("{stem}-{}", hash6(&self.0));
        }
        stem
    }

    /// A part for names of Kubernetes objects: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 40 characters (RFC 1123).
    ///
    /// Not unique: [`hash8`](super::hash8) is added to make it so.
    pub fn slug(&self) -> String {
        let mut slug = String::with_capacity(Self::MAX_SLUG);
        for character in self.0.chars().flat_map(char::to_lowercase) {
            if slug.len() == Self::MAX_SLUG {
                break;
            }
            if character.is_ascii_alphanumeric() {
                slug.push(character);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(slug.trim_end_matches('-').len());
        if slug.is_empty() {
            slug.push_str("client");
        }
        slug
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let characters = name.chars().count();
        if name.trim().is_empty() {
            return Err(Error::Empty);
        }
        if characters > Self::MAX_CHARACTERS {
            return Err(Error::TooLong { characters });
        }
        if name.chars().any(is_bad_character) {
            return Err(Error::Control(name.to_owned()));
        }
        if name == "." || name.contains("..") || name.contains(['/', '\\']) {
            return Err(Error::Path(name.to_owned()));
        }
        if name.trim() != name {
            return Err(Error::Blanks(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ClientName {
        text.parse().unwrap()
    }

    #[test]
    fn everyday_names_are_accepted_and_are_their_own_file_names() {
        for text in [
            "alice",
            "Alice Müller",
            "device-0001",
            "a.b@example.com",
            "日本",
            "x.y",
        ] {
            assert_eq!(name(text).file_stem(), text);
        }
    }

    #[test]
    fn names_that_would_leave_the_output_directory_or_the_certificate_are_refused() {
        let refused = |text: &str| text.parse::<ClientName>().unwrap_err();
        assert_eq!(refused(""), Error::Empty);
        assert_eq!(refused("  "), Error::Empty);
        assert_eq!(refused(&"x".repeat(65)), Error::TooLong { characters: 65 });
        for path in [".", "..", "../alice", "a/b", "a..b", "a\\b"] {
            assert_eq!(refused(path), Error::Path(path.to_owned()));
        }
        for control in ["a\nb", "a\0", "\u{7f}", "a\u{85}b", "abc\u{202e}def"] {
            assert_eq!(refused(control), Error::Control(control.to_owned()));
        }
        for blank in [" alice", "alice ", "alice\u{a0}"] {
            assert_eq!(refused(blank), Error::Blanks(blank.to_owned()));
        }
    }

    #[test]
    fn sixty_four_characters_are_enough_whatever_their_bytes() {
        let long = name(&"😀".repeat(64));
        assert!(long.file_stem().len() <= ClientName::MAX_STEM_BYTES);
        let other = name(&format!("{}x", "😀".repeat(63)));
        assert_ne!(long.file_stem(), other.file_stem());
    }

    #[test]
    fn slugs_are_valid_pieces_of_object_names() {
        assert_eq!(name("Alice Müller").slug(), "alice-m-ller");
        assert_eq!(name("--a--").slug(), "a");
        assert_eq!(name("日本").slug(), "client");
        assert_eq!(name(&"ab".repeat(32)).slug().len(), 40);
        assert!(!name(&format!("{}-b", "a".repeat(39))).slug().ends_with('-'));
    }

    #[test]
    fn file_names_hold_nothing_that_windows_or_an_option_parser_misreads() {
        assert_eq!(name("-rf a:b").file_stem(), "_rf a_b");
        let unfinished = name(".kubectl-mtls-client-ada").file_stem();
        assert_eq!(unfinished, "_kubectl-mtls-client-ada");
    }
}
