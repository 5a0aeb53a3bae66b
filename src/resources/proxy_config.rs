//! An Envoy's own view of its configuration in Istio (`/config_dump`, `envoy.admin.v3.ListenersConfigDump`).

mod policies;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use policies::{policy_name, rule_name};

use super::names::GatewayName;
use crate::pki::sha256;

/// The prefix of a Secret's name in a gateway's configuration from istiod (`pilot/pkg/model/credentials`).
const OF_KUBERNETES: &str = "kubernetes://";

/// A part of a proxy's configuration that can be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The Secrets with which its active listeners check client certificates.
    TrustedSecrets,
    /// The server Secrets of its active listeners, each with a host string of its server: see [`serves`].
    ServerSecrets,
    /// The hosts with routes, among those of a Gateway's HTTPS servers.
    Hosts(GatewayName),
    /// The `AuthorizationPolicies` that its active listeners enforce: see [`crate::resources::guard::traces`]. One that a listener will
    /// enforce otherwise once it has warmed has the line `NAMESPACE/NAME LISTENER is warming` as well, and one that it would enforce
    /// otherwise if the proxy did not reject its newest configuration the line `NAMESPACE/NAME LISTENER is rejected`.
    Policies,
    /// The client CAs that the proxy has loaded: for each a line of [`loaded`] for its trust bundle, and one for its revocation lists.
    ClientCas,
    /// The counters of configuration updates that it rejected since it started, without those that are 0.
    RejectedUpdates,
    /// The version of each Secret that the proxy took last, as `NAME VERSION`.
    AcceptedSecrets,
    /// Whether istiod has a stream to it on which configuration arrives: [`STREAM_CLOSED`] if not.
    Stream,
    /// The listeners whose newest configuration it rejects, each as `NAME: REASON` in Envoy's words; none once it has taken a newer one
    /// (`envoy.admin.v3.UpdateFailureState`).
    RejectedListeners,
}

/// The line of [`Part::Stream`] where there is none.
pub const STREAM_CLOSED: &str = "closed";

/// The requests on their way to istiod, of which the stream of configuration is one that does not end. Istio's proxies keep the statistics of
/// this cluster, and not `control_plane.connected_state`, unless `proxyStatsMatcher` names that (`pkg/bootstrap/config.go`).
const STREAMS: &str = "cluster.xds-grpc.upstream_rq_active";

/// The parts of a client CA in a proxy (`envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    /// The field `trusted_ca`.
    Bundle,
    /// The field `crl`.
    Crl,
}

/// The line of [`Part::ClientCas`] about the loaded material of a client CA: `NAME FIELD SHA-256`.
pub fn loaded(name: &str, material: Material, bytes: &[u8]) -> String {
    let digest = sha256::hex_digest(bytes);
    format!("{} {digest}", subject(name, material))
}

/// Whether a proxy has loaded any material of this client CA.
pub fn has_loaded(lines: &BTreeSet<String>, name: &str, material: Material) -> bool {
    let subject = format!("{} ", subject(name, material));
    lines.iter().any(|line| line.starts_with(&subject))
}

fn subject(name: &str, material: Material) -> String {
    let name = name.strip_prefix(OF_KUBERNETES).unwrap_or(name);
    format!("{name} {}", material.field())
}

/// The line of [`Part::ServerSecrets`] about a server with this host string and this `credentialName`.
pub fn serves(host: &str, credential: &str) -> String {
    let name = credential.strip_prefix(OF_KUBERNETES).unwrap_or(credential);
    format!("{host} {name}")
}

impl Material {
    fn field(self) -> &'static str {
        match self {
            Self::Bundle => "trusted_ca",
            Self::Crl => "crl",
        }
    }
}

impl Part {
    /// Path and query of this part on the administration page.
    ///
    /// The routes of an HTTPS server have the name `https.PORT.NAME.GATEWAY.NAMESPACE`, with an address if the server is bound to one
    /// (istiod's `gatewayRDSRouteName`, in `pilot/pkg/model/gateway.go`); Envoy matches the whole name. Listeners that are drained for 45 s
    /// are left out: after some changes of policies they are most of a proxy's configuration.
    pub fn path(&self) -> String {
        match self {
            Self::TrustedSecrets | Self::ServerSecrets => {
                "/config_dump?resource=dynamic_listeners&mask=active_state".to_owned()
            }
            Self::Policies => {
                "/config_dump?resource=dynamic_listeners&mask=name,active_state,warming_state,\
                 error_state.failed_configuration"
                    .to_owned()
            }
            Self::Hosts(gateway) => format!(
                "/config_dump?resource=dynamic_route_configs&name_regex=https.*.{}.{}.*",
                gateway.name, gateway.namespace
            ),
            // Only names of client CAs: server certificates would be most of the answer.
            Self::ClientCas => {
                "/config_dump?resource=dynamic_active_secrets&name_regex=.*-cacert%7Cconfigmap:.*"
                    .to_owned()
            }
            Self::RejectedUpdates => "/stats?filter=update_rejected&format=json".to_owned(),
            Self::AcceptedSecrets => "/stats?filter=%5Esds.*version_text%24&format=json".to_owned(),
            Self::Stream => format!("/stats?filter=%5E{STREAMS}%24&format=json"),
            Self::RejectedListeners => {
                "/config_dump?resource=dynamic_listeners&mask=name,error_state.details".to_owned()
            }
        }
    }

    /// Parses the proxy's answer; `None` if it is not JSON.
    pub fn read(&self, answer: &[u8]) -> Option<BTreeSet<String>> {
        if matches!(self, Self::Policies) {
            return policies::read(answer);
        }
        // Unlike `from_slice`, this way of parsing is compiled in `serde_json`, which debug builds optimize.
        let dump = std::str::from_utf8(answer).ok()?.parse().ok()?;
        Some(self.lines(&dump))
    }

    fn lines(&self, dump: &Value) -> BTreeSet<String> {
        let items = dump.get("configs").and_then(Value::as_array);
        let items = items.into_iter().flatten();
        let mut told = BTreeSet::new();
        match self {
            Self::TrustedSecrets => active(items).for_each(|state| collect(state, &mut told)),
            Self::ServerSecrets => told.extend(active(items).flat_map(server_secrets)),
            // Read from the text: there may be too much of it to keep.
            Self::Policies => {}
            Self::Hosts(_) => told.extend(items.flat_map(hosts)),
            Self::ClientCas => told.extend(items.flat_map(client_ca)),
            Self::RejectedUpdates => told.extend(rejected(dump)),
            Self::AcceptedSecrets => told.extend(accepted_secrets(dump)),
            Self::Stream => told.extend(closed_stream(dump)),
            Self::RejectedListeners => told.extend(items.filter_map(rejected_listener)),
        }
        told
    }
}

/// The configuration of active listeners, without those that are being drained.
fn active<'a>(listeners: impl Iterator<Item = &'a Value>) -> impl Iterator<Item = &'a Value> {
    listeners.filter_map(|listener| listener.get("active_state"))
}

/// The server Secrets of a listener. A filter chain of a server with the host string `*` matches no name.
fn server_secrets(state: &Value) -> Vec<String> {
    let list = |value: &'_ Value, path: &str| -> Vec<Value> {
        let items = value.pointer(path).and_then(Value::as_array);
        items.cloned().unwrap_or_default()
    };
    let chains = list(state, "/listener/filter_chains").into_iter();
    let lines = chains.flat_map(|chain| {
        let mut hosts = list(&chain, "/filter_chain_match/server_names");
        if hosts.is_empty() {
            hosts.push("*".into());
        }
        let secrets =
            "/transport_socket/typed_config/common_tls_context/tls_certificate_sds_secret_configs";
        let secrets = list(&chain, secrets);
        let names: Vec<&str> = secrets
            .iter()
            .filter_map(|one| one.get("name")?.as_str())
            .collect();
        let hosts = hosts.iter().filter_map(Value::as_str);
        hosts
            .flat_map(|host| names.iter().map(move |name| serves(host, name)))
            .collect::<Vec<_>>()
    });
    lines.collect()
}

/// The hosts of a route configuration, without ports.
fn hosts(routes: &Value) -> impl Iterator<Item = String> {
    let virtual_hosts = routes.pointer("/route_config/virtual_hosts");
    let virtual_hosts = virtual_hosts.and_then(Value::as_array);
    let domains = virtual_hosts
        .into_iter()
        .flatten()
        .filter_map(|host| host.get("domains")?.as_array());
    domains.flatten().filter_map(|domain| {
        let domain = domain.as_str()?;
        Some(domain.split(':').next().unwrap_or(domain).to_owned())
    })
}

/// The client CA in a Secret of the proxy; empty if it holds a key pair.
fn client_ca(secret: &Value) -> Vec<String> {
    let name = secret.get("name").and_then(Value::as_str);
    let bytes = |material: Material| {
        let path = format!(
            "/secret/validation_context/{}/inline_bytes",
            material.field()
        );
        BASE64.decode(secret.pointer(&path)?.as_str()?).ok()
    };
    let lines = [Material::Bundle, Material::Crl].map(|material| {
        let bytes = bytes(material).filter(|bytes| !bytes.is_empty());
        Some(loaded(name?, material, &bytes?))
    });
    lines.into_iter().flatten().collect()
}

/// Envoy quotes what it rejects, and the reason can be long.
const LONGEST_REASON: usize = 300;

fn rejected_listener(listener: &Value) -> Option<String> {
    let reason = listener.pointer("/error_state/details")?.as_str()?;
    let name = listener.get("name")?.as_str()?;
    let reason = reason.replace(char::is_control, " ");
    let shown: String = reason.chars().take(LONGEST_REASON).collect();
    Some(format!("{name}: {shown}"))
}

/// How much later than istiod's push a Secret must have been written to be newer: their clocks may differ.
const NEWER: time::Duration = time::Duration::seconds(5);

/// Whether a proxy rejected the newest content of a Secret or client CA, by the name that a Gateway gives it, which was `written` then: by
/// the lines of [`Part::RejectedUpdates`] and [`Part::AcceptedSecrets`].
///
/// Envoy shows what it was sent, and goes on with what it had. It counts a rejected update for all Secrets, so the version that it took
/// last must be older than the content: istiod's versions begin with the time of the push (`pilot/pkg/xds/discovery.go`, `NextVersion`).
pub fn has_rejected(
    name: &str,
    written: OffsetDateTime,
    rejected: &BTreeSet<String>,
    accepted: &BTreeSet<String>,
) -> bool {
    let pushed = taken_last(name, accepted);
    rejected.contains(&rejections_of(name)) && pushed.is_some_and(|pushed| pushed + NEWER < written)
}

/// Whether a proxy has certainly taken every content of a client CA that it was sent: it counts updates of it, and has never rejected one.
/// After a rejection nothing is certain: Envoy calls the same content accepted when it is sent again, and does not use it.
pub fn has_taken_all(name: &str, rejected: &BTreeSet<String>, accepted: &BTreeSet<String>) -> bool {
    taken_last(name, accepted).is_some() && !rejected.contains(&rejections_of(name))
}

/// The counter of the rejected updates of a Secret or client CA.
fn rejections_of(name: &str) -> String {
    let name = name.strip_prefix(OF_KUBERNETES).unwrap_or(name);
    match name.split_once("://") {
        Some((kind, name)) => format!("sds.{kind}_{name}.update_rejected"),
        None => format!("sds.kubernetes_{name}.update_rejected"),
    }
}

/// When istiod pushed the content of a Secret or client CA that a proxy took last.
fn taken_last(name: &str, accepted: &BTreeSet<String>) -> Option<OffsetDateTime> {
    let name = name.strip_prefix(OF_KUBERNETES).unwrap_or(name);
    let mut lines = accepted.iter();
    let version = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    let pushed = version.split('/').next()?;
    OffsetDateTime::parse(pushed, &Rfc3339).ok()
}

/// The lines of [`Part::AcceptedSecrets`]. Envoy's statistics have `_` for the `://` of a Secret's name; Kubernetes names contain no `_`.
fn accepted_secrets(stats: &Value) -> Vec<String> {
    let texts = stats.get("stats").and_then(Value::as_array);
    let line = |text: &Value| {
        let name = text.get("name")?.as_str()?.strip_prefix("sds.")?;
        let name = name.strip_suffix(".version_text")?.replacen('_', "://", 1);
        let name = name.strip_prefix(OF_KUBERNETES).unwrap_or(&name);
        Some(format!("{name} {}", text.get("value")?.as_str()?))
    };
    texts.into_iter().flatten().filter_map(line).collect()
}

fn closed_stream(stats: &Value) -> Option<String> {
    let mut gauges = stats.get("stats")?.as_array()?.iter();
    let streams =
        gauges.find(|gauge| gauge.get("name").and_then(Value::as_str) == Some(STREAMS))?;
    (streams.get("value")?.as_u64()? == 0).then(|| STREAM_CLOSED.to_owned())
}

fn rejected(stats: &Value) -> Vec<String> {
    let counters = stats.get("stats").and_then(Value::as_array);
    let counters = counters.into_iter().flatten();
    let counted = counters.filter(|counter| counter.get("value").and_then(Value::as_u64) > Some(0));
    counted
        .filter_map(|counter| Some(counter.get("name")?.as_str()?.to_owned()))
        .collect()
}

fn collect(value: &Value, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let named = fields
                .get("validation_context_sds_secret_config")
                .and_then(|config| config.get("name")?.as_str());
            secrets.extend(
                named.map(|name| name.strip_prefix(OF_KUBERNETES).unwrap_or(name).to_owned()),
            );
            fields.values().for_each(|field| collect(field, secrets));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        _ => {}
    }
}
