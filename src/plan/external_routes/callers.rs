//! The callers that reach an exposed Service past the certificate check or the allow-list of its host.

use super::{Exposed, FORGED};
use crate::plan::check::{self, Check};
use crate::resources::gateway::Server;
use crate::resources::guard::admits;
use crate::resources::host_pattern::covers;

/// The callers on an external route, the widest group first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Callers {
    /// Anybody, without a client certificate.
    Anybody,
    /// The clients of another server: `clients of the CAs in ...`.
    Others(String),
    /// The clients of the host's own CA, also those that are not on its allow-list.
    Unlisted,
    /// The clients that may call the host, past the header guard.
    Unnamed,
}

/// A server that takes requests for a route to the exposed Service.
pub(super) struct RoutedServer<'a> {
    /// The server.
    pub server: &'a Server,
    /// Whether plain requests pass the server's redirect to HTTPS.
    pub passes_redirects: bool,
    /// The hosts of the route.
    pub hosts: &'a [String],
    /// Whether the proxies of the exposed host have the server.
    pub shares_proxies: bool,
}

impl RoutedServer<'_> {
    /// Whether the host guard of the exposed host stops requests: it is about one host, whichever route serves it.
    fn has_host_guard(&self, exposed: &Exposed<'_>) -> bool {
        self.shares_proxies && self.hosts.iter().all(|host| host == exposed.host)
    }

    /// Whether the header guard of the exposed host stops requests: it is for the server names of its own server.
    fn has_header_guard(&self, exposed: &Exposed<'_>) -> bool {
        let is_covered = |host: &String| {
            let mut own = exposed.server.hosts.iter();
            own.any(|own| covers(own, host))
        };
        self.shares_proxies && self.server.hosts.iter().all(is_covered)
    }
}

impl Callers {
    /// The callers that a server accepts, beside the clients that may call the exposed host by their own names; `None` if there are none.
    pub fn of(routed: &RoutedServer<'_>, exposed: &Exposed<'_>) -> Option<Self> {
        let server = routed.server;
        let requires_certificate = ["MUTUAL", "ISTIO_MUTUAL"].contains(&server.mode.as_str());
        match admits(server, exposed.server, routed.passes_redirects) {
            Some(clients) if requires_certificate => Some(Self::Others(clients)),
            Some(_) => Some(Self::Anybody),
            None if server.redirects && server.protocol != "HTTPS" => None,
            None if exposed.is_listed && !routed.has_host_guard(exposed) => Some(Self::Unlisted),
            None => (!routed.has_header_guard(exposed)).then_some(Self::Unnamed),
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
                format!("no guard is on this route: each client of the host's own CA {FORGED}"),
            ),
        }
    }
}
