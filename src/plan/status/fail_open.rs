//! Whether a client CA can fail open: what istiod trusts if the client CA that a server names is missing.

use super::facts::{Facts, remedy};
use super::hosts::Host;
use super::probes::Handshakes;
use super::{CLIENT_CA, Finding, Link, check};
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen, weakness};
use crate::resources::client_ca::ClientCa;
use crate::resources::fail_closed::{self, Standing};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::derived_client_ca;
use crate::resources::{Kind, ObjectRef};

/// istiod reads a Secret as a client CA only with this ending (`pilot/pkg/model/credentials`).
const ENDING: &str = "-cacert";

/// The reads of objects that istiod would use instead of a server's client CA.
pub(super) fn queries(server: &Server) -> Vec<Query> {
    let fallback = fallback(server).map(Query::GetMetadata);
    let closing = closing(server).map(Query::Get);
    fallback.into_iter().chain(closing).collect()
}

/// The Secret whose `ca.crt` istiod would use if `caCertCredentialName` names a missing one.
fn fallback(server: &Server) -> Option<ObjectRef> {
    let stem = server.client_ca.strip_suffix(ENDING)?;
    let is_secret = server.client_ca_source().kind == Kind::Secret;
    is_secret.then(|| server.secret(stem))
}

/// The fail-closed Secret, used if a server that names a `ConfigMap` loses that name.
fn closing(server: &Server) -> Option<ObjectRef> {
    let is_config_map = server.client_ca_source().kind == Kind::ConfigMap;
    let derived = derived_client_ca(&server.credential);
    is_config_map.then(|| server.secret(&derived))
}

/// The Secret that lets nobody in, where it is known not to be there.
pub(super) fn lacking(host: &Host, observed: &Observed) -> Reconciled<Option<ObjectRef>> {
    let Some(secret) = closing(&host.server).filter(|_| host.gateway.is_ours) else {
        return Ok(None);
    };
    let is_missing = matches!(observed.try_get(&secret)?, Seen::Missing);
    Ok(is_missing.then_some(secret))
}

/// The finding on a missing client-CA Secret: istiod uses `ca.crt` of the Secret with that name without `-cacert`
/// (`pilot/pkg/credentials/kube/secrets.go`, `GetCaCert`).
pub(super) fn missing(host: &Host, reference: &ObjectRef, observed: &Observed) -> Reconciled<Link> {
    let server = &host.server;
    let link = Link::new(CLIENT_CA, "missing");
    let absent = format!("{reference} with the client CA does not exist");
    if reference.kind == Kind::ConfigMap {
        let remedy = format!("restore {reference} from a backup");
        return Ok(link.with(&check::CLIENT_CA_MISSING, absent, remedy));
    }
    let fallback = fallback(server);
    let standing = match &fallback {
        Some(name) => Some(observed.try_get_metadata(name)?),
        None => None,
    };
    let taken = if server.may_fail_open() {
        Some(server.secret(&server.credential))
    } else {
        fallback.filter(|_| matches!(standing, Some(Seen::Found(_))))
    };
    let remedy = format!("{} --fail-closed", host.expose_command());
    if let Some(taken) = taken {
        let seen = format!("{absent}, and istiod uses the `ca.crt` of {taken} instead");
        return Ok(link.with(&check::CLIENT_CA_FAILS_OPEN, seen, remedy));
    }
    let mut finding = Finding::new(&check::CLIENT_CA_MISSING, absent, remedy);
    if standing.and_then(|seen| seen.unknown()).is_some() {
        finding = finding.because(
            "a restarted proxy rejects every client, or trusts the CA that istiod uses instead",
        );
    }
    let mut link = link;
    link.add(finding);
    Ok(link)
}

/// The findings on another Secret that would be trusted instead of the one that the server names.
pub(super) fn name_faults(
    host: &Host,
    is_missing: bool,
    observed: &Observed,
    link: &mut Link,
) -> Reconciled<()> {
    let server = &host.server;
    if let Some(weakness) = weakness::of_server(server, &host.expose_command()) {
        if !is_missing {
            link.add(weakness);
        }
        return Ok(());
    }
    let Some(fallback) = fallback(server) else {
        link.find(
            &check::CLIENT_CA_NAME_IGNORED,
            format!(
                "`caCertCredentialName: {}` of the Gateway {} does not end in `{ENDING}`: istiod never delivers that Secret",
                server.client_ca, host.gateway.name
            ),
            format!("{} --fail-closed", host.expose_command()),
        );
        return Ok(());
    };
    let seen = observed.try_get_metadata(&fallback)?;
    match &seen {
        Seen::Found(_) if !is_missing => link.find(
            &check::CLIENT_CA_SHADOWED,
            format!(
                "{fallback} exists: istiod uses its `ca.crt` when the Secret `{}` is missing",
                server.client_ca
            ),
            command_line::kubectl("delete", &fallback),
        ),
        Seen::Found(_) | Seen::Missing => {}
        other => link.find(
            &check::CLIENT_CA_NOT_CHECKED,
            format!(
                "whether {fallback} exists, whose `ca.crt` istiod uses when `{}` is missing, could not be read: {}",
                server.client_ca,
                other.unknown().unwrap_or_default()
            ),
            remedy(other),
        ),
    }
    Ok(())
}

/// The finding on the Secret that istiod would use as the client CA if the Gateway lost `caCertCredentialName`, or if istiod is too old to
/// support it.
pub(super) fn check(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let closing = closing(&host.server).filter(|_| host.gateway.is_ours);
    let Some(secret) = closing else {
        return Ok(None);
    };
    let (check, seen) = match facts.observed.try_get(&secret)? {
        Seen::Found(object) => match fail_closed::standing(object) {
            Standing::Closed => return Ok(None),
            Standing::Changed => (
                &check::CLIENT_CA_FALLBACK_CHANGED,
                format!("somebody changed the fail-closed {secret}"),
            ),
            Standing::Another => return Ok(Some(occupied(host, &secret, facts))),
        },
        Seen::Missing => (
            &check::CLIENT_CA_FALLBACK_MISSING,
            format!("the fail-closed {secret} does not exist"),
        ),
        other => {
            let reason = other.unknown().unwrap_or_default();
            return Ok(Some(Finding::new(
                &check::CLIENT_CA_NOT_CHECKED,
                format!("{secret} could not be read: {reason}"),
                remedy(&other),
            )));
        }
    };
    Ok(Some(Finding::new(check, seen, host.expose_command())))
}

/// The finding on proxies that request the CA of the fail-closed Secret: their istiod does not know `configmap://` (before Istio 1.28), or
/// has an outdated Gateway.
pub(super) fn taken(
    host: &Host,
    handshakes: &Handshakes<'_>,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let Some(secret) = closing(&host.server) else {
        return Ok(None);
    };
    let seen = observed.try_get(&secret)?;
    let seen = seen.read_as(|object| ClientCa::read(object));
    let Some(closed) = seen.found() else {
        return Ok(None);
    };
    let subjects = closed.bundle.subjects_der();
    let is_closed = handshakes.group(|observation| {
        let offered = observation.offered.as_ref()?;
        let is_its = |subject: &Vec<u8>| subjects.contains(&subject.as_slice());
        (!offered.is_empty() && offered.iter().all(is_its)).then_some(())
    });
    let finding = |((), vias): &((), String)| {
        Finding::new(
            &check::PROXY_FAILS_CLOSED,
            format!(
                "`{}` through {vias}: the proxy requests the CA of the fail-closed {secret}, whose key nobody has",
                host.probe
            ),
            "kubectl get deployments -A -l app=istiod -o wide",
        )
    };
    Ok(is_closed.first().map(finding))
}

/// The finding on another Secret with the name of the fail-closed one. It is deleted only if no
/// Gateway reads it.
fn occupied(host: &Host, secret: &ObjectRef, facts: &Facts<'_>) -> Finding {
    let seen = format!(
        "{secret} has the name of the fail-closed Secret, and kubectl-mtls did not make it"
    );
    let expose = host.expose_command();
    let reads = |gateway: &&Gateway| {
        let mut servers = gateway.tls_servers();
        servers.any(|server| server.is_mutual() && server.client_ca_source() == *secret)
    };
    let mut gateways = facts.gateways.readable.iter().map(|(_, gateway)| gateway);
    let (seen, remedy) = match gateways.find(reads) {
        Some(reader) => (
            format!("{seen}; the Gateway {} reads the Secret", reader.name),
            format!(
                "give the Gateway {} a server Secret of its own: `{expose} --server-certificate secret/NAME`",
                host.gateway.name
            ),
        ),
        None => (
            seen,
            format!("{} && {expose}", command_line::kubectl("delete", secret)),
        ),
    };
    Finding::new(&check::CLIENT_CA_FALLBACK_TAKEN, seen, remedy)
}
