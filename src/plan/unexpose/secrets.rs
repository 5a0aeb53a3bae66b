//! The Secrets in the namespace of the proxies that a purge may delete: those of this plugin, and a server Secret that a Certificate of
//! this plugin names, and no other one, and that the issuer labelled.

use std::collections::BTreeSet;

use super::extent::belongs_to;
use super::{live, observe};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::certificate::Certificate;
use crate::resources::names::{GATEWAY_ANNOTATION, GatewayName};
use crate::resources::unexposure::Kept;
use crate::resources::{Kind, Object, ObjectRef};

#[derive(Debug, Default)]
pub(super) struct Judged {
    pub doomed: Vec<ObjectRef>,
    pub kept: Vec<Kept>,
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
        match keeper(gateway, object, observed)? {
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

/// Why a Secret must be kept.
fn keeper(
    gateway: &GatewayName,
    object: &Object,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let ours = gateway.to_string();
    let other = object
        .annotation(GATEWAY_ANNOTATION)
        .filter(|other| *other != ours);
    if let Some(other) = other {
        return Ok(Some(format!("the Secret belongs to the Gateway `{other}`")));
    }
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
    if object.is_ours() || (object.is_issued() && !filling.is_empty()) {
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
