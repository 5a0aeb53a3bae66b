//! The client CA: who is trusted, whether that can fail open, and whether the gateway shows it.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::hosts::Host;
use super::way::Looked;
use super::{Link, Mark, states};
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;
use crate::plan::gateway_look::Expected;
use crate::plan::look::Outcome;
use crate::plan::{Query, Seen, World};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::Server;

const NAME: &str = "client CA";
/// istiod takes the field for a CA only with this ending (`pilot/pkg/model/credentials`).
const ENDING: &str = "-cacert";
/// The default life of a client certificate: a CA with less left cuts new ones short.
const CLIENT_TTL: Duration = Duration::days(90);

pub(super) fn queries(server: &Server) -> Vec<Query> {
    let mut queries = vec![Query::Get(client_ca::reference(&server.client_ca_secret()))];
    queries.extend(fallback(server).map(|name| Query::GetMetadata(client_ca::reference(&name))));
    queries
}

/// The Secret whose `ca.crt` istiod would take where `caCertCredentialName` names a missing one.
fn fallback(server: &Server) -> Option<String> {
    server.client_ca.strip_suffix(ENDING).map(str::to_owned)
}

pub(super) fn examine(
    host: &Host,
    looked: &Looked<'_>,
    world: &World,
    now: OffsetDateTime,
) -> Link {
    let server = &host.server;
    let secret = client_ca::reference(&server.client_ca_secret());
    let client_ca = match world.seen(&secret).read_as(|object| ClientCa::read(object)) {
        Seen::Found(client_ca) => client_ca,
        Seen::Missing => return missing(server, &secret.to_string()),
        Seen::Unreadable(reason) => {
            return Link::new(NAME, "unreadable").with(
                Mark::Error,
                reason,
                "restore it; until then a restarted proxy refuses every client",
            );
        }
        other => {
            let reason = other.unknown().unwrap_or_default();
            return Link::new(NAME, "not read").with(
                Mark::Unknown,
                format!("{secret} could not be read: {reason}"),
                "`kubectl mtls rbac status` prints the Role that allows it",
            );
        }
    };
    let state = state_of(&secret.name, world);
    let mut link = Link::new(NAME, says(&client_ca, state.as_ref()));
    name_faults(server, world, &mut link);
    for ca in client_ca.bundle.certificates() {
        expiry_faults(ca, now, &mut link);
    }
    crl_faults(&client_ca, now, &mut link);
    if let Some(state) = &state
        && client_ca
            .revision
            .is_some_and(|shown| shown < state.revision)
    {
        link.find(
            Mark::Error,
            format!(
                "{secret} lags behind the authority `{}`: a run was interrupted",
                state.authority
            ),
            "run the interrupted command again, or `kubectl mtls issue-client`, which completes it",
        );
    }
    shown_faults(host, looked, &client_ca, &mut link);
    link
}

fn missing(server: &Server, secret: &str) -> Link {
    let link = Link::new(NAME, "missing");
    if server.may_fail_open() {
        return link.with(
            Mark::Error,
            format!("{secret} is missing: the gateway admits whomever the issuer of its server certificate certifies"),
            "restore it at once, or delete the Gateway; then use `caCertCredentialName`, which fails closed",
        );
    }
    link.with(
        Mark::Error,
        format!("{secret} is missing: proxies keep the CA they have, and a restarted one refuses every client"),
        "`kubectl mtls expose SERVICE` writes it again from the authority",
    )
}

fn state_of(secret: &str, world: &World) -> Option<AuthorityState> {
    let listed = world.list(&states());
    let mut states = listed
        .found()
        .copied()?
        .iter()
        .filter_map(|object| AuthorityState::read(object).ok());
    states.find(|state| state.client_ca_secret.as_deref() == Some(secret))
}

fn says(client_ca: &ClientCa, state: Option<&AuthorityState>) -> String {
    let foreign = client_ca.foreign(state).count();
    let cas = client_ca.bundle.certificates();
    let names: Vec<String> = cas
        .iter()
        .map(|ca| format!("{} until {}", ca.subject(), ca.not_after().date()))
        .collect();
    let suffix = if foreign > 0 {
        format!(" ({foreign} not of this plugin)")
    } else {
        String::new()
    };
    names.join("; ") + &suffix
}

fn name_faults(server: &Server, world: &World, link: &mut Link) {
    if server.may_fail_open() {
        link.find(
            Mark::Warning,
            format!(
                "without the Secret `{}` the gateway would trust the issuer of its server certificate",
                server.client_ca_secret()
            ),
            "name a Secret in `caCertCredentialName`, which has no such fallback",
        );
        return;
    }
    let Some(fallback) = fallback(server) else {
        link.find(
            Mark::Error,
            format!(
                "`caCertCredentialName: {}` does not end in `{ENDING}`: istiod never delivers it",
                server.client_ca
            ),
            format!("rename the Secret to `{}{ENDING}`", server.client_ca),
        );
        return;
    };
    let fallback = client_ca::reference(&fallback);
    if let Seen::Found(_) = world.seen_metadata(&fallback) {
        link.find(
            Mark::Error,
            format!(
                "{fallback} exists: where `{}` is missing, its `ca.crt` would be trusted",
                server.client_ca
            ),
            "rename or remove it",
        );
    }
}

fn expiry_faults(ca: &Certificate, now: OffsetDateTime, link: &mut Link) {
    if ca.is_expired(now) {
        link.find(
            Mark::Error,
            format!(
                "the client CA `{}` has expired: its clients are refused",
                ca.subject()
            ),
            "replace it with `kubectl mtls ca-rotate`",
        );
    } else if ca.not_after() - now < CLIENT_TTL {
        link.find(
            Mark::Warning,
            format!(
                "the client CA `{}` ends on {}",
                ca.subject(),
                ca.not_after().date()
            ),
            "replace it with `kubectl mtls ca-rotate` before then",
        );
    }
}

/// Envoy refuses the clients of every CA that has no CRL, or an expired or future one, once there is any CRL at all.
fn crl_faults(client_ca: &ClientCa, now: OffsetDateTime, link: &mut Link) {
    if client_ca.has_ignored_crl {
        link.find(
            Mark::Error,
            "the CRL stands under a key that istiod ignores beside this one: nobody is revoked",
            "use `cacert` with `crl`, or `ca.crt` with `ca.crl`",
        );
    }
    let Some(pem) = &client_ca.crl else {
        return;
    };
    let crls = match Crl::many_from_pem(pem) {
        Ok(crls) => crls,
        Err(error) => {
            link.find(
                Mark::Error,
                format!("the CRL cannot be read: {error}"),
                "publish it again",
            );
            return;
        }
    };
    for ca in client_ca.bundle.certificates() {
        let current = crls
            .iter()
            .any(|crl| crl.is_signed_by(ca) && crl.is_current_at(now));
        if !current {
            link.find(
                Mark::Error,
                format!(
                    "the CA `{}` has no CRL that is valid now: all its clients are refused",
                    ca.subject()
                ),
                "publish a CRL of every CA in the bundle",
            );
        }
    }
}

/// What the gateway shows must be what stands in the Secret.
fn shown_faults(host: &Host, looked: &Looked<'_>, client_ca: &ClientCa, link: &mut Link) {
    let offered: BTreeSet<Vec<u8>> = client_ca
        .bundle
        .subjects_der()
        .into_iter()
        .map(<[u8]>::to_vec)
        .collect();
    for (via, sighting) in looked.each() {
        let Some(shown) = &sighting.offered else {
            continue;
        };
        if shown.iter().cloned().collect::<BTreeSet<_>>() != offered {
            link.find(
                Mark::Error,
                format!("the proxy {via} asks for certificates of other CAs than the Secret holds"),
                "wait a moment; if it stays, look at the proxy's and istiod's logs",
            );
        }
    }
    let expected = Expected {
        host: &host.probe,
        offered: &offered,
    };
    let admitted = looked
        .each()
        .find(|(_, sighting)| matches!(sighting.outcome, Outcome::Answered(_)));
    if let Some((via, sighting)) = admitted {
        link.find(
            Mark::Error,
            format!("through {via}, {}", expected.misses(sighting).unwrap_or_default()),
            "another Gateway serves this host without mutual TLS, or clients' certificates are optional",
        );
    }
}
