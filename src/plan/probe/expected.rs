//! The expected answer of a gateway to a client without a certificate.

use std::collections::BTreeSet;

use crate::pki::names::name_text;
use crate::plan::probe::{Observation, Outcome};

/// The expected rejection of a client without a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRefusal<'a> {
    /// The host.
    pub host: &'a str,
    /// The DER names of all trusted CAs.
    pub offered: &'a BTreeSet<Vec<u8>>,
}

impl ExpectedRefusal<'_> {
    /// Why a handshake without a certificate differs from the expected answer; `None` if it does
    /// not.
    pub fn misses(&self, observation: &Observation) -> Option<String> {
        match &observation.outcome {
            Outcome::Answered(status) => {
                return Some(format!(
                    "a client without a certificate was accepted (HTTP {status})"
                ));
            }
            Outcome::Denied(_)
            | Outcome::NotForwarded(_)
            | Outcome::Broken(_)
            | Outcome::Unreachable(_) => {
                return Some(format!("the handshake {}", observation.outcome));
            }
            Outcome::Refused(_) => {}
        }
        if !observation
            .server
            .as_ref()
            .is_some_and(|server| server.covers_host(self.host))
        {
            return Some(format!(
                "the server certificate does not cover `{}`",
                self.host
            ));
        }
        match &observation.offered {
            None => Some(format!(
                "the proxy requests no client certificate, the handshake {}",
                observation.outcome
            )),
            Some(offered) if &offered.iter().cloned().collect::<BTreeSet<_>>() != self.offered => {
                Some(format!(
                    "the proxy requests certificates of {}, expected {}",
                    names(offered),
                    names(self.offered)
                ))
            }
            Some(_) => None,
        }
    }
}

/// CA names as text.
fn names<'a>(der: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    let names: Vec<String> = der
        .into_iter()
        .map(|name| format!("`{}`", name_text(name)))
        .collect();
    if names.is_empty() {
        return "no CA".to_owned();
    }
    names.join(", ")
}
