//! The callers that reach an exposed Service past the certificate check or the allow-list of its host.

use super::{Exposed, FORGED};
use crate::plan::check::{self, Check};
use crate::resources::gateway::Server;
use crate::resources::guard::admits;

/// The callers on an external route, the widest group first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Callers {
    /// Anybody, without a client certificate.
    Anybody,
    /// The clients of another server: `clients of the CAs in ...`.
    Others(String),
    /// The clients of the host's own CA, also those that are not on its allow-list.
    Unlisted,
    /// The clients that may call the host, on a route that does not set their identity headers.
    Unnamed,
}

impl Callers {
    /// The callers that a server accepts for these hosts, beside the clients that may call the exposed host; `None` if there are none.
    pub fn of(
        (server, passes_redirects): (&Server, bool),
        hosts: &[String],
        exposed: &Exposed<'_>,
    ) -> Option<Self> {
        let requires_certificate = ["MUTUAL", "ISTIO_MUTUAL"].contains(&server.mode.as_str());
        // A host guard is about one host, whichever route serves it.
        let is_another = || hosts.iter().any(|host| host != exposed.host);
        match admits(server, exposed.server, passes_redirects) {
            Some(clients) if requires_certificate => Some(Self::Others(clients)),
            Some(_) => Some(Self::Anybody),
            None if server.redirects && server.protocol != "HTTPS" => None,
            None => (exposed.is_listed && is_another()).then_some(Self::Unlisted),
        }
    }

    /// The callers in a sentence.
    pub fn describe(&self) -> &str {
        match self {
            Self::Anybody => "callers without a client certificate",
            Self::Others(clients) => clients,
            Self::Unlisted => "clients that are not on the allow-list of the host",
            Self::Unnamed => "clients of the host's own CA",
        }
    }

    /// The check for a route on which they reach the Service, and its effect.
    pub fn reach(&self) -> (&'static Check, String) {
        match self {
            Self::Anybody => (
                &check::EXTERNAL_ROUTE_OPEN,
                format!("callers on this route need no client certificate, and each {FORGED}"),
            ),
            Self::Others(clients) => (
                &check::EXTERNAL_ROUTE_OPEN,
                format!("this route admits {clients}, and each {FORGED}"),
            ),
            Self::Unlisted => (
                &check::EXTERNAL_ROUTE_UNLISTED,
                "clients that are not on the allow-list of the host reach the same Service on this route".to_owned(),
            ),
            Self::Unnamed => (
                &check::EXTERNAL_ROUTE_OPEN,
                format!("this route does not set the identity headers: each client of the host's own CA {FORGED}"),
            ),
        }
    }
}
