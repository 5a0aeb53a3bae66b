//! Whether the server certificate will be renewed: the issuer of its Certificate, of which a Certificate itself says nothing while it is
//! Ready, and the Certificate's own deletion.

use super::facts::{Facts, readable, remedy};
use super::hosts::Host;
use super::{Finding, Severity, check};
use crate::plan::{Observed, Query, Reconciled, Seen, command_line};
use crate::resources::certificate::Certificate;
use crate::resources::issuer::{IssuerName, fault};
use crate::resources::{Kind, Object, ObjectRef};

/// The read of the issuer of the Certificate that fills the host's server Secret, where it is in the cluster.
pub(super) fn query(host: &Host, facts: &Facts<'_>) -> Option<Query> {
    let secret = host.server.secret(&host.server.credential);
    let certificates = facts.certificates(&secret.namespace);
    let mut found = certificates.iter().flat_map(readable);
    let (object, certificate) = found.find(|(_, certificate)| certificate.secret == secret.name)?;
    Some(list(&of(object, certificate)?))
}

/// The issuer of a Certificate; `None` where that is outside of the cluster, as Gardener's default one, or of another API group.
fn of(object: &Object, certificate: &Certificate) -> Option<ObjectRef> {
    if certificate.kind == Kind::Certificate {
        let (namespace, name) = certificate.issuer.split_once('/')?;
        return Some(ObjectRef::new(Kind::Issuer, namespace, name));
    }
    let IssuerName { kind, name } = IssuerName::from(certificate.issuer.as_str());
    let namespace = match kind {
        Kind::ClusterIssuer => "",
        _ => object.namespace(),
    };
    (!name.is_empty() && !name.contains('/')).then(|| ObjectRef::new(kind, namespace, name))
}

fn list(issuer: &ObjectRef) -> Query {
    match issuer.kind {
        Kind::ClusterIssuer => Query::everywhere(Kind::ClusterIssuer),
        kind => Query::within(kind, &issuer.namespace),
    }
}

/// The finding on a Certificate that nothing renews; an error unless a valid certificate `is_served`.
pub(super) fn check(
    object: &Object,
    certificate: &Certificate,
    is_served: bool,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let reference = object.reference();
    let finding = |seen: String, remedy: String| {
        let finding = Finding::new(&check::SERVER_CERTIFICATE_ISSUER_NOT_READY, seen, remedy);
        Ok(Some(if is_served {
            finding
        } else {
            finding.graded(Severity::Error)
        }))
    };
    if object.at(&["metadata", "deletionTimestamp"]).is_some() {
        return finding(
            format!("{reference} is being deleted"),
            command_line::kubectl("describe", reference),
        );
    }
    let Some(issuer) = of(object, certificate) else {
        return Ok(None);
    };
    let seen = match observed.try_list(&list(&issuer))? {
        Seen::Found(all) => {
            let found = all.iter().find(|object| *object.reference() == issuer);
            found.map_or(Seen::Missing, Seen::Found)
        }
        other => other.map(|_| object),
    };
    let words = match seen.read_as(|object| fault(object)) {
        Seen::Found(None) => return Ok(None),
        Seen::Found(Some(words)) => format!(" is not Ready: {words}"),
        Seen::Missing => {
            return finding(
                format!("{issuer}, which signs {reference}, does not exist"),
                command_line::edit(reference),
            );
        }
        other => {
            let reason = other.unknown().unwrap_or_default();
            let seen = format!("{issuer}, which signs {reference}, could not be read: {reason}");
            let unseen = Finding::new(&check::SERVER_CERTIFICATE_NOT_CHECKED, seen, remedy(&other));
            let why = "whether the server certificate will be renewed is not known";
            return Ok(Some(unseen.because(why)));
        }
    };
    finding(
        format!("{issuer}, which signs {reference},{words}"),
        command_line::kubectl("describe", &issuer),
    )
}
