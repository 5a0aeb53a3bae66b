//! The source of the server Secret: its Certificate, the issuer's status, and whether the Secret
//! exists.

use serde_json::json;
use time::OffsetDateTime;

use super::facts::{Certificates, Facts, blind, damaged, readable, remedy};
use super::hosts::Host;
use super::route::because;
use super::{Finding, Link, Severity, check, issuer};
use crate::pki::inspect;
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::certificate::{Certificate, KINDS, names};
use crate::resources::field_managers::writers;
use crate::resources::gateway::Server;
use crate::resources::names::{
    CredentialNames, FIELD_MANAGER, GATEWAY_ANNOTATION, RETRY_CERTIFICATE,
};
use crate::resources::server_secret::ServerSecret;
use crate::resources::{Kind, Object, ObjectRef};

/// The query for the server Secret's metadata; its data holds a key.
pub(super) fn query(server: &Server) -> Option<Query> {
    let credential = server.credential.as_str();
    (!credential.is_empty()).then(|| Query::GetMetadataIfAllowed(server.secret(credential)))
}

/// The server Secret, where it is known not to be there.
pub(super) fn lacking(server: &Server, observed: &Observed) -> Reconciled<Option<ObjectRef>> {
    if query(server).is_none() {
        return Ok(None);
    }
    let reference = server.secret(&server.credential);
    let seen = observed.try_get_metadata_if_allowed(&reference)?;
    Ok(matches!(seen, Seen::Missing).then_some(reference))
}

/// The source of a server certificate.
pub(super) struct Source<'a> {
    host: &'a Host,
    reference: ObjectRef,
    /// The Certificates in the namespace of the Secret.
    certificates: &'a Certificates<'a>,
    /// The Certificate that fills the Secret.
    certificate: Option<&'a (&'a Object, Certificate)>,
    /// The server Secret's metadata; `None` if the Gateway names no Secret.
    secret: Option<Seen<&'a Object>>,
}

impl<'a> Source<'a> {
    pub fn of(host: &'a Host, facts: &'a Facts<'a>) -> Reconciled<Self> {
        let reference = host.server.secret(&host.server.credential);
        let secret = match query(&host.server) {
            Some(_) => Some(facts.observed.try_get_metadata_if_allowed(&reference)?),
            None => None,
        };
        let certificates = facts.certificates(&reference.namespace);
        let mut found = certificates.iter().flat_map(readable);
        let fills = |(_, certificate): &&(&Object, Certificate)| {
            !reference.name.is_empty() && certificate.secret == reference.name
        };
        Ok(Self {
            host,
            certificate: found.find(fills),
            certificates,
            reference,
            secret,
        })
    }

    /// The hosts of the Certificate that fills the Secret.
    pub fn hosts(&self) -> Option<&[String]> {
        Some(&self.certificate?.1.hosts)
    }

    /// Whether a Certificate of Gardener's default issuer, an ACME server, fills the Secret.
    pub fn is_of_acme(&self) -> bool {
        self.certificate
            .is_some_and(|(_, certificate)| certificate.is_of_default_issuer())
    }

    /// The end of the certificate in the Secret, from its Certificate or the Secret's annotations, if `shown` has the same names. For a
    /// Secret with given files it is not known.
    pub fn end(&self, shown: &inspect::Certificate) -> Option<OffsetDateTime> {
        let has = |host: &String| shown.dns_sans().contains(host);
        let secret = self.secret.as_ref()?.found()?;
        let written = writers(&["data"], secret);
        if let Some((object, certificate)) = self.certificate {
            let is_its = written.is_subset(&writers(&["status"], object));
            let is_known = is_its && certificate.progress.is_ready();
            return certificate
                .expires
                .filter(|_| is_known && certificate.hosts.iter().all(has));
        }
        let own = ServerSecret::read(secret);
        let is_own = secret.is_ours() && written.iter().all(|writer| writer == FIELD_MANAGER);
        own.expires.filter(|_| is_own && has(&own.host))
    }

    /// The command that renews the certificate in the Secret; for cert-manager it includes the current time.
    pub fn renewal(&self, is_self_made: bool, now: OffsetDateTime) -> String {
        let expose = self.host.expose_command();
        match self.certificate {
            Some((object, certificate)) if certificate.kind == Kind::CertManagerCertificate => {
                command_line::retry(object.reference(), now)
            }
            Some((object, _)) => command_line::patch(
                object.reference(),
                "merge",
                &json!({"spec": {"renew": true}}),
            ),
            None if is_self_made => expose,
            None if self.is_of_others() => format!(
                "put a new certificate and its key into the Secret: `kubectl create secret tls {} -n {} --cert CERT --key KEY --dry-run=client -o yaml | kubectl apply -f -`",
                self.reference.name, self.reference.namespace
            ),
            None => format!("give a new certificate with `{expose} --server-certificate CERT,KEY`"),
        }
    }

    /// Whether the Secret is one that `expose` does not change.
    fn is_of_others(&self) -> bool {
        let secret = self.secret.as_ref().and_then(Seen::found);
        secret.is_some_and(|secret| !secret.is_ours())
    }

    /// The command that adds the host to the Certificate, if it is missing there.
    pub fn covering(&self) -> Option<String> {
        let (object, certificate) = self.certificate?;
        let pattern = self.host.server.pattern_for(&self.host.probe);
        let name = pattern.filter(|pattern| *pattern != "*");
        let name = name.unwrap_or(&self.host.probe);
        if certificate.hosts.iter().any(|host| host == name) {
            return None;
        }
        let spec = if object.is_ours() {
            let names = names(certificate.kind, name);
            let names = names.map(|(field, value)| (field.to_owned(), value));
            names.into_iter().collect()
        } else {
            let common = object.text(&["spec", "commonName"]);
            let hosts = certificate.hosts.iter().map(String::as_str);
            let names = hosts.filter(|host| *host != common).chain([name]);
            json!({"dnsNames": names.collect::<Vec<_>>()})
        };
        let patch = json!({"spec": spec});
        Some(command_line::patch(object.reference(), "merge", &patch))
    }

    /// Adds the findings on the source of the certificate. `is_served`: whether all proxies use a valid one, which has not `expired` on any
    /// of them.
    pub fn faults(&self, facts: &Facts<'_>, is_served: bool, link: &mut Link) -> Reconciled<()> {
        self.unseen(link);
        if self.secret.is_none() {
            return Ok(());
        }
        let is_gone = matches!(self.secret, Some(Seen::Missing));
        if let Some((object, certificate)) = self.certificate {
            not_ready(object, certificate, is_served, link);
            link.extend(issuer::check(
                object,
                certificate,
                is_served,
                facts.observed,
            )?);
        } else if self
            .certificates
            .iter()
            .all(|seen| blind(seen).is_none() && damaged(seen).is_empty())
        {
            let acute = is_gone || !is_served;
            if let Some(mut finding) = self.without_certificate(facts, is_gone) {
                if acute {
                    finding.severity = Severity::Error;
                }
                link.add(finding);
                return Ok(());
            }
        }
        if is_gone {
            let restored = self.certificate.map(|(object, certificate)| {
                let reference = object.reference();
                match certificate.kind {
                    // It makes a lost Secret again by itself.
                    Kind::CertManagerCertificate => command_line::kubectl("describe", reference),
                    _ => command_line::annotate(reference, RETRY_CERTIFICATE),
                }
            });
            link.find(
                &check::SERVER_CERTIFICATE_SECRET_MISSING,
                format!("{} does not exist", self.reference),
                restored.unwrap_or_else(|| self.host.expose_command()),
            );
        }
        Ok(())
    }

    /// The finding on a Secret that no Certificate fills although one should.
    fn without_certificate(&self, facts: &Facts<'_>, is_gone: bool) -> Option<Finding> {
        let secret = self.secret.as_ref()?;
        // Issuers mark what they fill: other Secrets were given, or are of this plugin.
        let is_issued = secret.found().is_some_and(|secret| secret.is_issued());
        if secret.found().is_some() && !is_issued {
            return None;
        }
        let gateway = &self.host.gateway;
        let names = [
            CredentialNames::first(),
            CredentialNames::further(&gateway.name),
        ];
        let mut names = names.iter().map(CredentialNames::credential);
        let is_own = names.any(|name| name == self.reference.name);
        // A Secret by another name was chosen, and a Certificate in any namespace may fill it.
        if gateway.is_ours && !is_own {
            return None;
        }
        let mut certificates = self.certificates.iter().flat_map(readable);
        let meant =
            certificates.find(|(object, certificate)| self.is_meant(object, certificate, facts));
        let Some((object, certificate)) = meant else {
            return (is_issued && gateway.is_ours).then(|| {
                let seen = format!(
                    "the Certificate that filled {} does not exist any more",
                    self.reference
                );
                let remedy = self.host.expose_command();
                Finding::new(&check::SERVER_CERTIFICATE_NO_ISSUER, seen, remedy)
            });
        };
        let gone = if is_gone {
            ", which does not exist"
        } else {
            ""
        };
        let name = &self.reference.name;
        let mut spec = json!({"spec": {"secretName": name}});
        if certificate.kind == Kind::Certificate {
            spec["spec"]["secretRef"] = serde_json::Value::Null;
        }
        let seen = format!(
            "{} fills the Secret `{}`, and the Gateway {} names `{name}`{gone}",
            object.reference(),
            certificate.secret,
            gateway.name
        );
        let remedy = command_line::patch(object.reference(), "merge", &spec);
        Some(Finding::new(
            &check::SERVER_CERTIFICATE_WRONG_SECRET,
            seen,
            remedy,
        ))
    }

    /// Whether a Certificate that fills another Secret is meant for the host's Gateway.
    fn is_meant(&self, object: &Object, certificate: &Certificate, facts: &Facts<'_>) -> bool {
        if let Some(gateway) = object.annotation(GATEWAY_ANNOTATION) {
            return gateway == self.host.gateway.name.to_string();
        }
        let mut gateways = facts.gateways.readable.iter();
        let is_used = gateways.any(|(_, gateway)| gateway.names_secret(&certificate.secret));
        !is_used
            && certificate
                .hosts
                .iter()
                .any(|host| self.host.server.hosts.contains(host))
    }

    /// Adds the findings on parts of the source that could not be read.
    fn unseen(&self, link: &mut Link) {
        for (seen, kind) in self.certificates.iter().zip(KINDS) {
            // Once the one that fills the Secret is known, what a Role leaves out does not matter.
            let is_needless = self.certificate.is_some() && matches!(seen, Seen::Denied(_));
            if let Some(reason) = blind(seen).filter(|_| !is_needless) {
                link.find(
                    &check::SERVER_CERTIFICATE_NOT_CHECKED,
                    format!(
                        "the `{}` in `{}` could not be listed: {reason}",
                        kind.resource(),
                        self.reference.namespace
                    ),
                    remedy(seen),
                );
            }
        }
        match &self.secret {
            // Whoever may read its metadata may read its key, so no Role of `status` allows it.
            Some(Seen::Denied(_)) => link.details.push(format!(
                "whether {} exists was not checked: reading it takes a right to its key",
                self.reference
            )),
            Some(secret) => {
                if let Some(reason) = secret.unknown() {
                    let seen = format!(
                        "whether {} exists could not be read: {reason}",
                        self.reference
                    );
                    let check = &check::SERVER_CERTIFICATE_NOT_CHECKED;
                    let why = "a proxy that starts without this Secret shows no certificate";
                    link.add(Finding::new(check, seen, remedy(secret)).because(why));
                }
            }
            None => {}
        }
        let might = self
            .certificates
            .iter()
            .flat_map(damaged)
            .filter(|(object, _)| {
                [&self.reference.name, ""].contains(&object.text(&["spec", "secretName"]))
            });
        for (object, error) in might.filter(|_| self.certificate.is_none()) {
            link.find(
                &check::SERVER_CERTIFICATE_UNREADABLE,
                error.to_string(),
                command_line::edit(object.reference()),
            );
        }
    }
}

/// The finding on the issuer's status. While a valid certificate `is_served`, work on the next one is not a fault.
fn not_ready(object: &Object, certificate: &Certificate, is_served: bool, link: &mut Link) {
    let progress = &certificate.progress;
    let reference = object.reference();
    if progress.is_ready() {
        if let Some(reason) = &certificate.failed_renewal {
            let seen = format!("{reference} was not renewed: {reason}");
            let describe = command_line::kubectl("describe", reference);
            link.find(&check::SERVER_CERTIFICATE_ISSUER_FAILED, seen, describe);
        }
        return;
    }
    let is_working = !progress.is_current || ["", "Pending"].contains(&progress.state.as_str());
    if is_working && is_served {
        let words = because(&progress.message);
        link.details
            .push(format!("{reference} is being renewed{words}"));
        return;
    }
    let describe = command_line::kubectl("describe", reference);
    let seen = format!("{reference}: {}", progress.said());
    match certificate.long_common_name() {
        Some(name) => {
            let names = json!({"spec": {"commonName": null, "dnsNames": [name]}});
            link.find(
                &check::SERVER_CERTIFICATE_NAME_TOO_LONG,
                format!(
                    "{seen}; the Certificate's common name `{name}` has {} characters",
                    name.len()
                ),
                command_line::patch(reference, "merge", &names),
            );
        }
        None if is_working => link.find(&check::SERVER_CERTIFICATE_PENDING, seen, describe),
        None => link.find(&check::SERVER_CERTIFICATE_ISSUER_FAILED, seen, describe),
    }
}
