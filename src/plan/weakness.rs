//! What is weaker about a gateway, or about clients, that somebody else set up, and the way out of it.

use std::fmt;

use super::check::{self, Check, Finding};
use crate::pki::inspect::Certificate;
use crate::resources::gateway::Server;

/// One weakness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    /// The check of `status` that finds it.
    pub check: &'static Check,
    /// What it is, and what follows from it.
    pub says: String,
    /// The way out.
    pub way_out: String,
}

impl From<Weakness> for Finding {
    fn from(weakness: Weakness) -> Self {
        Self::new(weakness.check, weakness.says, weakness.way_out)
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.says, self.way_out)
    }
}

/// A client-CA Secret whose loss makes istiod trust somebody else (`pilot/pkg/credentials/kube/secrets.go`, `GetCaCert`).
pub fn of_server(server: &Server) -> Option<Weakness> {
    server.may_fail_open().then(|| Weakness {
        check: &check::CLIENT_CA_MAY_FAIL_OPEN,
        says: format!(
            "without {} the gateway would trust the issuer of its server certificate",
            server.client_ca_source()
        ),
        way_out: "`kubectl mtls expose SERVICE --fail-closed` lets the Gateway read an authority, without that fallback"
            .to_owned(),
    })
}

/// CAs made elsewhere that say nothing of what their key is for: the mark of `openssl req -x509`, whose clients are signed as
/// Kyma's tutorial does (`docs/user/istio-gateways/configure-mtls-Gardener-certs.md`), all of them with the serial number 0.
pub fn of_cas<'a>(made_elsewhere: impl IntoIterator<Item = &'a Certificate>) -> Option<Weakness> {
    let names = subjects(made_elsewhere.into_iter().filter(|ca| !ca.has_key_usage()))?;
    Some(Weakness {
        check: &check::CLIENT_CA_NO_KEY_USAGE,
        says: format!(
            "{names}, not made by kubectl-mtls, has no keyUsage, as the one of Kyma's tutorial: clients signed as there have no \
             extended key usage and all the serial number 0, so that none of them can be revoked alone"
        ),
        way_out: "`kubectl mtls ca-rotate` adds a CA made by kubectl-mtls beside it, and `issue-client` certifies its clients"
            .to_owned(),
    })
}

/// CAs on their way out whose key came from files: what they signed before is in no inventory.
///
/// Those of [`of_cas`] are left out.
pub fn of_leaving<'a>(given: impl IntoIterator<Item = &'a Certificate>) -> Option<Weakness> {
    let given: Vec<&Certificate> = given.into_iter().filter(|ca| ca.has_key_usage()).collect();
    let names = subjects(given.iter().copied())?;
    let flags: String = given
        .iter()
        .map(|ca| format!(" --drop-external {}", ca.fingerprint()))
        .collect();
    Some(Weakness {
        check: &check::CLIENT_CA_GIVEN_REMAINS,
        says: format!(
            "{names} was not made by kubectl-mtls: clients that it signed before are not in the inventory, may lack a URI SAN, \
             and stay accepted until that CA leaves the trust bundle"
        ),
        way_out: format!(
            "when all its clients have certificates of the issuing CA: `kubectl mtls ca-rotate --finish{flags}`"
        ),
    })
}

/// Identity headers that a client of a CA made elsewhere can forge: where its certificate lacks the value, Envoy sets nothing,
/// and what the client itself sent arrives.
pub fn of_headers<'a>(
    made_elsewhere: impl IntoIterator<Item = &'a Certificate>,
) -> Option<Weakness> {
    let names = subjects(made_elsewhere)?;
    Some(Weakness {
        check: &check::ROUTE_HEADERS_FORGEABLE,
        says: format!(
            "clients of {names}, not made by kubectl-mtls, may have no URI SAN: what such a client sends as `X-CLIENT-SSL-SAN` \
             reaches the Service"
        ),
        way_out: "`kubectl mtls expose SERVICE --identity-headers guarded` puts a word before each value, which no client can leave out"
            .to_owned(),
    })
}

fn subjects<'a>(cas: impl IntoIterator<Item = &'a Certificate>) -> Option<String> {
    let names: Vec<String> = cas
        .into_iter()
        .map(|ca| format!("`{}`", ca.subject()))
        .collect();
    (!names.is_empty()).then(|| format!("the client CA {}", names.join(", ")))
}
