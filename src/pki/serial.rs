//! Serial numbers of certificates (RFC 5280, 4.1.2.2).

use super::sha256;
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A certificate's serial number: an unsigned integer, big-endian, without leading zeros (zero is one zero byte).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// The text is not hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a serial number; give its hexadecimal digits as `list-clients` or `openssl x509 -serial` print them"
)]
pub struct Error(String);

impl Serial {
    /// A fresh serial number: positive, exactly 20 octets, 158 of its bits from `random`.
    pub fn from_random(mut random: [u8; 20]) -> Self {
        // The top bit is the sign; the next one keeps the length, hence the capacity of CRLs, predictable.
        random[0] = (random[0] & 0x7f) | 0x40;
        Self(random.to_vec())
    }

    /// A serial number from the content octets of a DER INTEGER, or any big-endian number.
    pub fn from_be_bytes(bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0);
        Self(start.map_or_else(|| vec![0], |start| bytes[start..].to_vec()))
    }

    /// The bytes, big-endian, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    /// Writes lower-case hexadecimal, an even number of digits, no colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sha256::hex(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = Error;

    /// Reads hexadecimal of either case, colons allowed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|character| *character != ':')
            .map(|digit| {
                digit
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect();
        let mut digits = digits
            .filter(|digits| !digits.is_empty())
            .ok_or_else(|| Error(text.to_owned()))?;
        if digits.len() % 2 == 1 {
            digits.insert(0, 0);
        }
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        Ok(Self::from_be_bytes(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_serial_is_positive_and_twenty_octets_whatever_the_random_bytes() {
        for random in [[0; 20], [0xff; 20]] {
            let serial = Serial::from_random(random);
            assert_eq!(serial.as_bytes().len(), 20);
            assert!(serial.as_bytes()[0] < 0x80);
            assert_ne!(serial.as_bytes()[0], 0);
        }
    }

    #[test]
    fn serials_read_back_in_every_usual_spelling() {
        for text in ["0a1b", "A1B", "0A:1B", "000a1b"] {
            assert_eq!(text.parse::<Serial>().unwrap().to_string(), "0a1b");
        }
        assert_eq!("0".parse::<Serial>().unwrap().to_string(), "00");
        for text in ["", "0x1g"] {
            assert_eq!(text.parse::<Serial>(), Err(Error(text.to_owned())));
        }
    }
}
