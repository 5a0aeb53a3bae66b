//! The two DER operations that no library offers in the needed shape: splitting a SEQUENCE, joining one.

/// Splits a DER SEQUENCE into its elements, each still with tag and length. `None` if it is not exactly one SEQUENCE.
pub(super) fn elements(sequence: &[u8]) -> Option<Vec<Vec<u8>>> {
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method's lifetimes are not general enough"
    )]
    yasna::parse_der(sequence, |reader| {
        reader.collect_sequence_of(|element| element.read_der())
    })
    .ok()
}

/// Joins DER elements into one SEQUENCE.
pub(super) fn sequence(elements: &[impl AsRef<[u8]>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|sequence| {
            for element in elements {
                sequence.next().write_der(element.as_ref());
            }
        });
    })
}

/// Encodes whole octets as a DER BIT STRING.
pub(super) fn bit_string(octets: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| writer.write_bitvec_bytes(octets, octets.len() * 8))
}

/// Whether these bytes are `SIGNED { … }` (RFC 5280, 4.1 and 5.1) in DER, and both of its algorithm identifiers agree.
///
/// x509-parser accepts some encodings that are not DER, in the bytes that the signature does not cover. `algorithm_at` is the position of
/// the inner identifier after the optional version.
pub(super) fn is_signed(der: &[u8], version_tag: u8, algorithm_at: usize) -> bool {
    let Some(Ok([signed, algorithm, signature])) = elements(der).map(<[Vec<u8>; 3]>::try_from)
    else {
        return false;
    };
    let whole_octets = yasna::parse_der(&signature, |reader| {
        let (octets, bits) = reader.read_bitvec_bytes()?;
        Ok(octets.len() * 8 == bits)
    });
    let Some(inner) = elements(&signed) else {
        return false;
    };
    let versioned = inner.first().and_then(|first| first.first()) == Some(&version_tag);
    let position = if versioned {
        algorithm_at + 1
    } else {
        algorithm_at
    };
    whole_octets == Ok(true) && inner.get(position) == Some(&algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_sequence_joins_to_the_same_bytes() {
        let original = [0x30, 0x06, 0x02, 0x01, 0x0a, 0x01, 0x01, 0xff];
        let parts = elements(&original).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(sequence(&parts), original);
    }

    #[test]
    fn trailing_and_truncated_bytes_are_no_sequence() {
        assert!(elements(&[0x30, 0x00, 0x00]).is_none());
        assert!(elements(&[0x30, 0x05, 0x02]).is_none());
    }
}
