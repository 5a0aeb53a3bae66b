//! The Secrets in the namespace of the proxies that a purge may delete: those of this plugin, and a server Secret that a Certificate of
//! this plugin names, and no other one, and that the issuer labelled.

use std::collections::BTreeSet;

use super::{belongs_to, live, observe};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::certificate::Certificate;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::{CredentialNames, GATEWAY_ANNOTATION, GatewayName};
use crate::resources::unexposure::Kept;
use crate::resources::{Kind, Object, ObjectRef};

#[derive(Debug, Default)]
pub(super) struct Judged {
    pub doomed: Vec<ObjectRef>,
    pub kept: Vec<Kept>,
}

/// The names of the objects that belong to a Gateway, by the credential of its mutual-TLS server; for a deleted Gateway, the possible
/// names.
pub(super) fn names(name: &GatewayName, own: Option<&Gateway>) -> Vec<CredentialNames> {
    let server = own.and_then(|own| {
        let mut servers = own.tls_servers();
        servers.find(|server| server.is_mutual())
    });
    match (own, server) {
        (Some(own), Some(server)) => vec![own.names(server)],
        _ => vec![CredentialNames::further(name), CredentialNames::first()],
    }
}

/// The Secrets to delete: those that the Gateway's servers name, and those with its own names. Server Secrets come first, because a server
/// without its client-CA Secret may trust the issuer of its certificate.
pub(super) fn named(name: &GatewayName, own: Option<&Gateway>) -> Vec<String> {
    let candidates = names(name, own);
    let servers = || own.iter().flat_map(|own| &own.servers);
    let credentials = servers()
        .flat_map(|server| std::iter::once(&server.credential).chain(&server.further_credentials))
        .cloned()
        .chain(candidates.iter().map(|names| names.credential().to_owned()));
    let client_cas = servers()
        .filter(|server| !server.credential.is_empty())
        .map(Server::client_ca_source)
        .filter(|source| source.kind == Kind::Secret)
        .map(|secret| secret.name)
        .chain(candidates.iter().flat_map(|names| {
            let earlier = (!names.is_shared()).then(|| names.earlier_client_ca());
            earlier.into_iter().chain([names.derived_client_ca()])
        }));
    let mut known = BTreeSet::new();
    credentials
        .chain(client_cas)
        .filter(|name| !name.is_empty() && known.insert(name.clone()))
        .collect()
}

/// Decides on every one of these Secrets that exists.
pub(super) fn judge(
    gateway: &GatewayName,
    references: Vec<ObjectRef>,
    observed: &Observed,
) -> Reconciled<Judged> {
    let certificates: BTreeSet<Query> = references.iter().flat_map(certificates).collect();
    observed.prefetch(references.iter().map(observe).chain(certificates))?;
    let mut judged = Judged::default();
    for reference in references {
        let Some(object) = live(observed, &reference)? else {
            continue;
        };
        match keeper(gateway, object, Proof::Certificate, observed)? {
            None => judged.doomed.push(reference),
            Some(reason) => judged.kept.push(Kept::new(&reference, reason)),
        }
    }
    Ok(judged)
}

/// The queries for the Certificates that can fill a Secret: Gardener's may be in any namespace, cert-manager's are in that of the Secret.
fn certificates(secret: &ObjectRef) -> [Query; 2] {
    [
        Query::everywhere(Kind::Certificate),
        Query::within(Kind::CertManagerCertificate, &secret.namespace),
    ]
}

/// What proves that the issuer wrote a Secret for the Gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// A Certificate of this plugin names the Secret.
    Certificate,
    /// The record of an interrupted run, which deleted the Certificate, and whose name for the Secret was checked.
    Recorded,
}

/// Why a Secret must be kept.
pub(super) fn keeper(
    gateway: &GatewayName,
    object: &Object,
    proof: Proof,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let ours = gateway.to_string();
    let other = object
        .annotation(GATEWAY_ANNOTATION)
        .filter(|other| *other != ours);
    if let Some(other) = other {
        return Ok(Some(format!("the Secret belongs to the Gateway `{other}`")));
    }
    observed.prefetch(certificates(object.reference()))?;
    let filling = filling(object.reference(), observed)?;
    let theirs = filling
        .iter()
        .find(|certificate| !belongs_to(gateway, certificate));
    if let Some(theirs) = theirs {
        return Ok(Some(format!(
            "{}, which was not made for this Gateway, fills the Secret",
            theirs.reference()
        )));
    }
    let is_proven = proof == Proof::Recorded || !filling.is_empty();
    if object.is_ours() || (object.is_issued() && is_proven) {
        return Ok(None);
    }
    Ok(Some(if object.is_issued() {
        "no Certificate of kubectl-mtls names the Secret".to_owned()
    } else {
        "kubectl-mtls did not create it".to_owned()
    }))
}

/// The Certificates whose issuer writes a Secret. A Certificate that cannot be read may be one of
/// them.
fn filling<'a>(secret: &ObjectRef, observed: &'a Observed) -> Reconciled<Vec<&'a Object>> {
    let mut filling = Vec::new();
    let mut listed: Vec<&Object> = Vec::new();
    for query in certificates(secret) {
        if !matches!(observed.try_list(&query)?, Seen::NotServed) {
            listed.extend(observed.list(&query)?);
        }
    }
    for object in listed {
        let certificate = Certificate::read(object).map_err(|error| {
            Failure::refused(format!(
                "{error}, so it may be the Certificate that fills {secret}"
            ))
            .hint("repair or remove the unreadable Certificate, or leave out `--purge`")
        })?;
        if certificate.fills(secret) {
            filling.push(object);
        }
    }
    Ok(filling)
}
