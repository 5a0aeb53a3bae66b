//! What is weaker about a gateway, or about clients, that somebody else set up: for `status`, and for the notes of `expose`.

use super::check::{self, Finding};
use crate::pki::inspect::Certificate;
use crate::plan::command_line;
use crate::resources::gateway::Server;
use crate::resources::listing::shortened;

/// How many CAs a sentence names.
const NAMED: usize = 5;

/// A CA as every output names it: by the first eight digits of its fingerprint, and its subject.
pub fn name(ca: &Certificate) -> String {
    format!("CA {} (`{}`)", ca.id(), ca.subject())
}

/// The same for several, of which the text names some.
pub fn names<'a>(cas: impl IntoIterator<Item = &'a Certificate>) -> Option<String> {
    let names: Vec<String> = cas.into_iter().map(name).collect();
    (!names.is_empty()).then(|| shortened(&names, NAMED))
}

/// A client-CA Secret whose loss makes istiod trust somebody else (`pilot/pkg/credentials/kube/secrets.go`, `GetCaCert`); the
/// command `expose` is what closes it.
pub fn of_server(server: &Server, expose: &str) -> Option<Finding> {
    server.may_fail_open().then(|| {
        Finding::new(
            &check::CLIENT_CA_MAY_FAIL_OPEN,
            format!(
                "without {} the gateway would trust the issuer of its server certificate",
                server.client_ca_source()
            ),
            format!("{expose} --fail-closed"),
        )
    })
}

/// CAs made elsewhere that say nothing of what their key is for: the mark of `openssl req -x509`, whose clients are signed as
/// Kyma's tutorial does (`docs/user/istio-gateways/configure-mtls-Gardener-certs.md`), all of them with the serial number 0.
pub fn of_cas<'a>(
    made_elsewhere: impl IntoIterator<Item = &'a Certificate>,
    remedy: &str,
) -> Option<Finding> {
    let cas = made_elsewhere.into_iter().filter(|ca| !ca.has_key_usage());
    Some(Finding::new(
        &check::CLIENT_CA_NO_KEY_USAGE,
        format!(
            "the external {} has no keyUsage, like the CA of Kyma's tutorial",
            names(cas)?
        ),
        remedy,
    ))
}

/// CAs on their way out whose key came from files: what they signed before is in no inventory.
///
/// Those of [`of_cas`] are left out.
pub fn of_leaving<'a>(
    given: impl IntoIterator<Item = &'a Certificate>,
    authority: &str,
) -> Option<Finding> {
    let given: Vec<&Certificate> = given.into_iter().filter(|ca| ca.has_key_usage()).collect();
    let names = names(given.iter().copied())?;
    let flags: String = given
        .iter()
        .map(|ca| format!(" --drop-external {}", ca.fingerprint()))
        .collect();
    Some(Finding::new(
        &check::CLIENT_CA_GIVEN_REMAINS,
        format!("clients that {names} signed before its key was taken in are not in the inventory"),
        command_line::ca_rotate(&format!(" --finish{flags}"), authority),
    ))
}

/// Identity headers that a client of a CA made elsewhere can forge: where its certificate lacks the value, Envoy sets nothing,
/// and what the client itself sent arrives.
pub fn of_headers<'a>(
    made_elsewhere: impl IntoIterator<Item = &'a Certificate>,
    expose: &str,
) -> Option<Finding> {
    Some(Finding::new(
        &check::ROUTE_HEADERS_FORGEABLE,
        format!(
            "clients of the external {} may have no URI SAN: what such a client sends as `X-CLIENT-SSL-SAN` reaches the Service",
            names(made_elsewhere)?
        ),
        format!("{expose} --identity-headers guarded"),
    ))
}
