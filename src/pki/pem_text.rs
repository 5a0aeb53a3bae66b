//! PEM (RFC 7468): strict when reading, always LF and 64 columns when writing.

use base64::{Engine, engine::general_purpose::STANDARD};
use pem::Pem;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why bytes are not PEM.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// No `-----BEGIN …-----` line at all.
    #[error(
        "no PEM block found; a line `-----BEGIN …-----` must start it (DER files: `openssl x509 -inform der`)"
    )]
    NoBlock,
    /// A block without its end line, with an end line of another label, or with text that is not
    /// base64.
    #[error("PEM block {number} is damaged or cut off")]
    Damaged {
        /// The number of the block, counted from 1.
        number: usize,
    },
}

/// All blocks of a PEM text, in order; text between them is ignored, a damaged block never is.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Pem>, Error> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    // The pem crate ends silently at the first block without an end line: count them ourselves.
    let starts: Vec<usize> = text
        .windows(BEGIN.len())
        .enumerate()
        .filter(|(_, window)| *window == BEGIN)
        .map(|(at, _)| at)
        .collect();
    if starts.is_empty() {
        return Err(Error::NoBlock);
    }
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(index, (&start, end))| {
            pem::parse(&text[start..end]).map_err(|_| Error::Damaged { number: index + 1 })
        })
        .collect()
}

/// A PEM text as OpenSSL and `BoringSSL`, and so Envoy, read it: they skip a block with anything before `-----BEGIN` on its first line, such as
/// a byte order mark (`crypto/pem/pem_lib.cc`, `PEM_read_bio`). That line is left out, so what follows is no block. They read long lines in
/// pieces, each of which is a line to them.
pub fn of_whole_lines(text: &[u8]) -> Vec<u8> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    /// The buffer of `PEM_read_bio`, less its final NUL.
    const PIECE: usize = 253;
    let is_read = |line: &&[u8]| {
        let parts = line.windows(BEGIN.len()).enumerate();
        let mut begins = parts.filter(|(_, part)| *part == BEGIN).peekable();
        begins.peek().is_none() || begins.any(|(at, _)| at % PIECE == 0)
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.filter(is_read).flatten().copied().collect()
}

/// One PEM block: LF, 64 columns, final line end. The buffer is allocated once, so that wiping it leaves no copy.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    const BYTES_PER_LINE: usize = 48;
    let lines = der.len().div_ceil(BYTES_PER_LINE);
    let mut text = Zeroizing::new(String::with_capacity(lines * 65 + 2 * label.len() + 34));
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    for line in der.chunks(BYTES_PER_LINE) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_has_64_columns_and_line_feeds_and_reads_back() {
        let der = [7u8; 100];
        let text = encode("CERTIFICATE", &der);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert!(!text.contains('\r'));
        assert_eq!(blocks(text.as_bytes()).unwrap()[0].contents(), der);
    }

    #[test]
    fn a_cut_off_second_block_is_reported_not_skipped() {
        let whole = encode("CERTIFICATE", &[1; 60]);
        let cut = format!("{}{}", *whole, &whole[..40]);
        assert_eq!(blocks(cut.as_bytes()), Err(Error::Damaged { number: 2 }));
    }

    #[test]
    fn windows_line_ends_and_text_around_blocks_are_fine() {
        let text = format!(
            "subject=x\r\n{}\r\nbye",
            encode("X", &[1; 60]).replace('\n', "\r\n")
        );
        assert_eq!(blocks(text.as_bytes()).unwrap().len(), 1);
    }
}
