//! The columns of a table of clients, and their cells.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::pki::names::Attribute;

/// The meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The client's name; every row has one.
    Name,
    /// The whole subject (RFC 4514).
    Subject,
    /// One attribute of the subject.
    Part(Attribute),
    /// URI SANs.
    Uri,
    /// DNS SANs.
    Dns,
    /// E-mail SANs.
    Email,
    /// IP address SANs.
    Ip,
    /// How long the certificate is valid.
    Ttl,
    /// The kind of a new key.
    KeyType,
    /// The file of a signing request; relative paths start at the table's folder.
    Csr,
    /// The password of the keystore.
    Password,
}

impl Column {
    /// Every column that is not an attribute of the subject, with its name.
    const OWN: [(&'static str, Self); 10] = [
        ("name", Self::Name),
        ("subject", Self::Subject),
        ("uri", Self::Uri),
        ("dns", Self::Dns),
        ("email", Self::Email),
        ("ip", Self::Ip),
        ("ttl", Self::Ttl),
        ("key-type", Self::KeyType),
        ("csr", Self::Csr),
        ("password", Self::Password),
    ];

    /// The column of this name; capitals and `-`, `_` or blanks between words do not matter.
    pub fn of_name(name: &str) -> Option<Self> {
        let wanted = plain(name.trim());
        let own = Self::OWN
            .into_iter()
            .find(|(known, _)| plain(known) == wanted);
        own.map(|(_, column)| column).or_else(|| {
            let part = Attribute::ALL
                .into_iter()
                .find(|part| plain(part.name()) == wanted);
            part.map(Self::Part)
        })
    }

    /// The column whose name is one typing error away. Any other text may be anything, such as a password in a table without a
    /// header.
    pub fn misspelt(name: &str) -> Option<Self> {
        let wanted = plain(name.trim());
        let own = Self::OWN.into_iter();
        let parts = Attribute::ALL.map(|part| (part.name(), Self::Part(part)));
        own.chain(parts)
            .filter(|(known, _)| known.len() > 2)
            .find(|(known, _)| is_one_error_away(&wanted, &plain(known)))
            .map(|(_, column)| column)
    }

    /// All column names, for an error about an unknown one.
    pub fn names() -> String {
        let own = Self::OWN.iter().map(|(name, _)| *name);
        let parts = Attribute::ALL.iter().map(|part| part.name());
        own.chain(parts).collect::<Vec<_>>().join(", ")
    }
}

/// A name in lower case, without the characters that join its words.
fn plain(name: &str) -> String {
    let kept = name
        .chars()
        .filter(|&letter| !matches!(letter, '-' | '_' | ' '));
    kept.flat_map(char::to_lowercase).collect()
}

/// Whether one letter is wrong, missing or extra, or two neighbours are swapped.
fn is_one_error_away(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let alike = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[alike..], &other[alike..]);
    let rest = |letters: &[char], skipped: usize| letters.get(skipped..).map(<[char]>::to_vec);
    let swapped = matches!((one, other), ([a, b, ..], [c, d, ..]) if a == d && b == c);
    [(1, 1), (1, 0), (0, 1)]
        .into_iter()
        .any(|(a, b)| rest(one, a).is_some_and(|left| rest(other, b) == Some(left)))
        || (swapped && rest(one, 2) == rest(other, 2))
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => f.write_str(part.name()),
            own => {
                let named = Self::OWN.iter().find(|(_, column)| column == own);
                f.write_str(named.map_or("", |(name, _)| name))
            }
        }
    }
}

/// The value of one cell: nothing, one text, or a list of texts. It may be a password, so it is wiped when dropped, and `Debug` does not
/// show it.
#[derive(Clone, PartialEq, Eq, Default, Zeroize, ZeroizeOnDrop)]
pub struct Cell(pub Vec<String>);

impl Cell {
    /// A cell of a text table; an empty text is no value.
    pub fn of_text(text: &str) -> Self {
        Self(match text.trim() {
            "" => Vec::new(),
            text => vec![text.to_owned()],
        })
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({} values)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_however_their_words_are_joined() {
        for name in ["key-type", "keyType", "KEY_TYPE", " key type "] {
            assert_eq!(Column::of_name(name), Some(Column::KeyType), "{name}");
        }
        let part = Column::Part(Attribute::OrganizationalUnit);
        assert_eq!(Column::of_name("ou"), Some(part));
        assert_eq!(
            Column::of_name("emailAddress"),
            Some(Column::Part(Attribute::EmailAddress))
        );
        assert_eq!(Column::of_name("email"), Some(Column::Email));
        assert_eq!(Column::of_name("pasword"), None);
    }

    #[test]
    fn only_a_name_that_is_nearly_right_is_taken_for_a_misspelt_one() {
        for misspelt in ["pasword", "passwrd", "tttl", "emial", "keytpye"] {
            assert!(Column::misspelt(misspelt).is_some(), "{misspelt}");
        }
        for other in ["hunter2", "alice", "swordfish", "", "tt ll ll"] {
            assert_eq!(Column::misspelt(other), None, "{other}");
        }
    }

    #[test]
    fn a_cell_is_not_shown() {
        assert!(!format!("{:?}", Cell::of_text("secret")).contains("secret"));
    }
}
