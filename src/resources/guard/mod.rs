//! The guards of a mutual-TLS host: Istio `AuthorizationPolicies` on the ingress gateway's proxies.
//!
//! A route is bound to a Gateway object, not to one of its servers, so any server that somebody adds to that Gateway leads to the same
//! Service. The *host guard* denies requests for a host that did not come in through its mutual-TLS server, or whose client is not on the
//! allow-list. The *header guard* denies requests that already contain an identity header.
//!
//! On a TCP filter chain istiod keeps only the L4 conditions of a DENY rule and drops hosts, paths and headers
//! (<https://github.com/istio/istio>, `pilot/pkg/security/authz/builder`), so a rule without such a condition would close TCP and
//! passthrough servers of others on the same proxies. Every rule here has one.

mod clients;
mod headers;
mod host;
mod listener;
mod live;
mod other_servers;

pub use clients::{Clients, effective, has_note_on, noted_on, noting};
pub use headers::{HeaderGuard, IDENTITY_HEADERS, MOST_SEPARATORS, has_few_spellings, spellings};
pub use host::HostGuard;
pub use listener::{Listener, ProxyPorts};
pub use live::{Fault, arranged, faults, host_of, is_enforced, repaired, traces, turned};
pub use other_servers::{OtherServer, admits, other_servers};

use serde_json::{Value, json};

use super::ingress::IngressGateway;
use super::names::{FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName, MANAGED_BY};
use super::{Kind, Object, ObjectRef};
use crate::pki::names::hash6;

/// The longest name of an object of this kind (RFC 1123 subdomain), less the hash.
const LONGEST_STEM: usize = 246;

fn named(proxy_namespace: &str, stem: String, hashed: &str) -> ObjectRef {
    let mut stem = stem;
    stem.truncate(LONGEST_STEM);
    let name = format!("{stem}-{}", hash6(hashed));
    ObjectRef::new(Kind::AuthorizationPolicy, proxy_namespace, name)
}

/// The reference to the host guard of a Service: `<namespace>-<service>-mtls-<6 hex>`.
pub fn host_reference(proxy_namespace: &str, namespace: &str, service: &str) -> ObjectRef {
    named(
        proxy_namespace,
        format!("{namespace}-{service}-mtls"),
        &format!("{namespace}/{service}"),
    )
}

/// The reference to the header guard of a Gateway: `<namespace>-<gateway>-mtls-headers-<6 hex>`.
pub fn headers_reference(proxy_namespace: &str, gateway: &GatewayName) -> ObjectRef {
    named(
        proxy_namespace,
        format!("{}-{}-mtls-headers", gateway.namespace, gateway.name),
        &gateway.to_string(),
    )
}

/// A policy of action DENY for the proxies of an ingress gateway.
fn denying(
    reference: ObjectRef,
    gateway: &GatewayName,
    ingress: &IngressGateway,
    rules: &[Value],
) -> Object {
    let spec = json!({
        "selector": {"matchLabels": ingress.selector},
        "action": "DENY",
        "rules": rules,
    });
    Object::new(reference)
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_annotation(GATEWAY_ANNOTATION, &gateway.to_string())
        .with("spec", spec)
}
