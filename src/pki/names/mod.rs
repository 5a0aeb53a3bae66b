//! Names of clients, their URI identities, and X.500 subjects.

mod attribute;
mod client;
mod subject;
mod text;
mod uri;

pub use attribute::Attribute;
pub use attribute::is_bad_character;
pub use client::ClientName;
pub use subject::Subject;
pub use text::{comparable, differing_attributes, name_text};
pub(super) use text::{rfc4514, same_name};
pub(super) use uri::check_syntax as check_uri_syntax;
pub use uri::{check_uri_san, default_uri, percent_encode};

use super::sha256;
use thiserror::Error;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The name is empty.
    #[error("client name is empty; give a name such as `alice`")]
    Empty,
    /// The name is longer than X.520 allows for a common name.
    #[error(
        "client name has {characters} characters; at most 64 fit into a certificate's common name (X.520)"
    )]
    TooLong {
        /// The number of Unicode characters.
        characters: usize,
    },
    /// The name has `.`, `..`, `/` or `\`, which are not possible in a file name.
    #[error("client name `{0}` cannot be a file name; leave out `/`, `\\` and `..`")]
    Path(String),
    /// The name has line ends, tabs, NUL, or characters that reorder text.
    #[error("client name `{}` contains control characters; leave them out", .0.escape_debug())]
    Control(String),
    /// The name has blanks at the start or the end.
    #[error("client name `{0}` starts or ends with a space; leave the space out")]
    Blanks(String),
    /// A text that is not a URI, or a URI that is ambiguous in a proxy's header.
    #[error("URI SAN `{uri}`: {reason}")]
    Uri {
        /// The URI as given.
        uri: String,
        /// The reason, and what to do.
        reason: String,
    },
    /// An identity that belongs to somebody else.
    #[error("URI SAN `{uri}` is refused: {reason}")]
    ForeignIdentity {
        /// The URI as given.
        uri: String,
        /// The owner of the identity, and what to do.
        reason: String,
    },
    /// A part of a subject that X.520 or its string type does not allow.
    #[error("subject attribute `{attribute}={}`: {reason}", .value.escape_debug())]
    Attribute {
        /// Short name, such as `OU`.
        attribute: String,
        /// The value as given.
        value: String,
        /// The reason, and what to do.
        reason: String,
    },
    /// A name in a request or certificate that cannot be copied.
    #[error("subject `{text}` cannot be used again: {reason}; give another one with `--subject`")]
    Taken {
        /// The name as RFC 4514 text, escaped.
        text: String,
        /// The reason.
        reason: String,
    },
    /// A text that is not a distinguished name.
    #[error("subject `{text}`: {reason}; write it like `CN=alice,OU=devices,O=Example` (RFC 4514)")]
    Subject {
        /// The text as given.
        text: String,
        /// The reason.
        reason: String,
    },
}

/// Eight hexadecimal digits that tell two (authority, client name) pairs apart in object names.
///
/// SHA-256 over authority, NUL, name: neither part can contain NUL, so no two pairs share their input.
pub fn hash8(authority: &str, name: &ClientName) -> String {
    sha256::hex(&sha256::digest(format!("{authority}\0{name}").as_bytes())[..4])
}

/// Six hexadecimal digits of SHA-256 over the text.
pub fn hash6(text: &str) -> String {
    sha256::hex(&sha256::digest(text.as_bytes())[..3])
}

/// The first twelve bytes of SHA-256 over the text, used in place of the text in comparisons.
pub fn hash12(text: &str) -> [u8; 12] {
    let mut short = [0; 12];
    short.copy_from_slice(&sha256::digest(text.as_bytes())[..12]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_sha256sum_prints() {
        // printf 'kyma-mtls\0alice' | sha256sum; printf 'default/httpbin' | sha256sum
        assert_eq!(hash8("kyma-mtls", &"alice".parse().unwrap()), "a5665a90");
        assert_eq!(hash6("default/httpbin"), "596551");
    }
}
