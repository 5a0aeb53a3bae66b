//! Bytes that somebody damaged: every reader answers, with a value or an error, and never by a panic.

use super::*;
use crate::pki::{
    bundle::Bundle,
    crl::{Crl, Reason, Revoked},
    csr::{self, Csr},
    names::{ClientName, Subject},
    pem_text,
};

/// Damages in this run; `HOSTILE_ROUNDS`, when these tests are built, makes it more.
fn rounds(few: u64) -> u64 {
    option_env!("HOSTILE_ROUNDS")
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(few)
}

/// Numerical Recipes' generator: the same damage for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & 0xffff_ffff;
        usize::try_from(self.0 >> 8).unwrap() % limit.max(1)
    }

    /// Some bytes changed, removed, repeated or cut off.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..(at + self.below(9)).min(bytes.len()))),
                2 => {
                    let piece = bytes[at..(at + self.below(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                // Lengths of DER that promise more than there is.
                3 if at < bytes.len() => bytes[at] = [0x80, 0x84, 0xff, 0x7f][self.below(4)],
                _ if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                _ => {}
            }
        }
        bytes
    }
}

fn read_all(der: &[u8], label: &str) {
    drop(Certificate::from_der(der));
    drop(Subject::from_der(der));
    let pem = pem_text::encode(label, der);
    read_text(pem.as_bytes());
}

fn read_text(pem: &[u8]) {
    drop(Certificate::many_from_pem(pem));
    drop(Bundle::parse(pem));
    drop(PrivateKey::from_pem(pem));
    if let Ok(text) = std::str::from_utf8(pem) {
        drop(Crl::many_from_pem(text));
        drop(text.parse::<Subject>());
        drop(text.parse::<ClientName>());
    }
    if let Ok(csr) = Csr::from_pem(pem) {
        drop(csr.subject());
        drop(csr.sans());
    }
}

#[test]
fn every_reader_of_certificates_keys_requests_and_lists_answers_whatever_it_is_given() {
    let authority = authority();
    let (key, leaf) = client(&authority);
    let revoked = Revoked {
        serial: leaf.serial().clone(),
        at: NOW,
        reason: Reason::KeyCompromise,
    };
    let crl = Crl::sign(&authority, 1, &[revoked], None, NOW).unwrap();
    let request = csr::make(&request(), &key).unwrap();
    let texts = [
        (leaf.pem(), "CERTIFICATE"),
        (authority.certificate().pem(), "CERTIFICATE"),
        (crl.pem(), "X509 CRL"),
        (request, "CERTIFICATE REQUEST"),
        ((*key.to_pem()).clone(), "PRIVATE KEY"),
    ];
    let subject = leaf.subject_der().to_vec();
    for seed in 0..rounds(600) {
        let mut random = Random(seed * 7_919 + 1);
        let (text, label) = &texts[random.below(texts.len())];
        read_text(&random.damage(text.as_bytes()));
        let blocks = pem_text::blocks(text.as_bytes()).unwrap();
        read_all(&random.damage(blocks[0].contents()), label);
        drop(Subject::from_der(&random.damage(&subject)));
    }
}
