//! Weaknesses of a gateway, or of clients, that somebody else set up: for `status`, and for the notes of `expose`.

use super::check::{self, Finding};
use crate::pki::inspect::Certificate;
use crate::plan::command_line;
use crate::resources::gateway::Server;
use crate::resources::listing::shortened;

/// How many CAs a sentence names.
const NAMED: usize = 5;

/// A CA in every output: the first eight digits of its fingerprint, and its subject.
pub fn name(ca: &Certificate) -> String {
    format!("CA {} (`{}`)", ca.id(), ca.subject())
}

/// Several CAs as text, which names some of them.
pub fn names<'a>(cas: impl IntoIterator<Item = &'a Certificate>) -> Option<String> {
    let names: Vec<String> = cas.into_iter().map(name).collect();
    (!names.is_empty()).then(|| shortened(&names, NAMED))
}

/// The finding on a client-CA Secret whose loss makes istiod trust another CA (`pilot/pkg/credentials/kube/secrets.go`, `GetCaCert`);
/// `expose` is the command that corrects it.
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

/// The finding on external or imported CAs without keyUsage, as `openssl req -x509` makes them: their clients are usually signed as in
/// Kyma's tutorial (`docs/user/istio-gateways/configure-mtls-Gardener-certs.md`), all with the serial number 0.
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

/// The finding on imported CAs that are being removed: certificates that they signed before are in
/// no inventory.
///
/// Without the CAs of [`of_cas`].
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
        format!("clients that {names} signed before its key was imported are not in the inventory"),
        command_line::ca_rotate(&format!(" --finish{flags}"), authority),
    ))
}

/// The finding on identity headers that a client of an external or imported CA can forge: if its certificate lacks the value, Envoy sets
/// nothing, and the client's own header arrives.
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
