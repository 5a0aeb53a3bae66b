//! `issue-client --from-certificate`: the certificate that an external CA has signed, and whether a gateway accepts it.

mod admission;

use std::path::Path;

use time::OffsetDateTime;

use crate::error::Failure;
use crate::pki::chain;
use crate::pki::foreign;
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
use crate::pki::names::{ClientName, check_uri_san};
use crate::plan::authority::{earlier_secrets, follower};
use crate::plan::{Observed, Query, Reconciled, Seen, control_plane};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::names::CredentialNames;
use crate::resources::{Object, ObjectRef, environment};

/// A certificate that an external CA signed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority whose gateway must accept the certificate.
    pub authority: String,
    /// The client.
    pub name: ClientName,
    /// The certificate.
    pub certificate: Certificate,
    /// The CAs that came with the certificate, in any order.
    pub cas: Vec<Certificate>,
}

/// The result of checking the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The CAs above the certificate, the nearest one first, as far as they are known.
    pub chain: Vec<Certificate>,
    /// The CAs that the gateway trusts, as PEM; without a gateway, the last one of the chain.
    pub trusted_pem: String,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Finds the certificate of the key among those of a file; the others may be its CAs.
pub fn take_certificate(
    certificates: &mut Vec<Certificate>,
    key: &PrivateKey,
    (file, key_file): (&Path, &Path),
) -> Result<Certificate, Failure> {
    let own = certificates.iter().position(|one| key.matches(one));
    let Some(own) = own else {
        let subjects: Vec<String> = certificates
            .iter()
            .map(|one| format!("`{}`", one.subject()))
            .collect();
        return Err(Failure::refused(format!(
            "no certificate in `{}` belongs to the key in `{}`: there is {}",
            file.display(),
            key_file.display(),
            subjects.join(", ")
        ))
        .hint("`--key FILE` names the key that the request was made with"));
    };
    Ok(certificates.remove(own))
}

/// Refuses a certificate that no gateway accepts, or that would pass for another client; needs no cluster.
pub fn check(
    request: &Request,
    trust_domains: &[String],
    now: OffsetDateTime,
) -> Result<(), Failure> {
    foreign::check(&request.certificate, now).map_err(|error| {
        Failure::refused("every gateway would refuse the certificate").caused_by(error)
    })?;
    for uri in request.certificate.uri_sans() {
        check_uri_san(uri, &request.authority, &request.name, trust_domains).map_err(|error| {
            Failure::refused("the certificate would pass for somebody else").caused_by(error)
        })?;
    }
    Ok(())
}

/// The result without a cluster, with the reason why there was none.
pub fn without_cluster(
    request: &Request,
    reason: &str,
    now: OffsetDateTime,
) -> Result<Report, Failure> {
    let mut report = report(request, &[]);
    admission::check_chain(&report.chain, now)?;
    report.notes.push(format!(
        "whether the gateway trusts the certificate's CA was not checked: {reason}"
    ));
    Ok(report)
}

/// Finds out whether the gateway accepts the certificate.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let names = CredentialNames::of_authority(&request.authority);
    observed.prefetch([names.state(), environment::mesh_config()].map(Query::Get))?;
    let state = observed
        .try_get(&names.state())?
        .read_as(|object| AuthorityState::read(object));
    let (trust_domains, _) = control_plane::trust_domains(state.found(), observed)?;
    check(request, &trust_domains, now)?;
    let sources = match state.found() {
        Some(state) => vec![follower(state).unwrap_or_else(|| names.state())],
        None => earlier_secrets(&names, observed)?,
    };
    observed.prefetch(sources.iter().cloned().map(Query::Get))?;
    let answers: Vec<(&ObjectRef, Seen<&Object>)> = sources
        .iter()
        .map(|source| Ok((source, observed.try_get(source)?)))
        .collect::<Reconciled<_>>()?;
    let mut found = answers
        .iter()
        .filter_map(|(source, answer)| Some((*source, *answer.found()?)));
    let Some((source, object)) = found.next() else {
        return Ok(without_cluster(request, &unseen(&answers), now)?);
    };
    let shown = match state.found() {
        Some(state) if *source == names.state() => {
            ClientCa::of(state).map_err(|error| Failure::refused(error.to_string()))?
        }
        _ => ClientCa::read(object).map_err(|error| Failure::refused(error.to_string()))?,
    };
    let report = report(request, shown.bundle.certificates());
    admission::check(request, &report.chain, (source, &shown), now)?;
    let path = chain::verified(&report.chain, shown.bundle.certificates());
    admission::check_chain(path, now)?;
    Ok(Report {
        trusted_pem: shown.bundle.to_pem(),
        ..report
    })
}

/// Why no trust bundle was read.
fn unseen(answers: &[(&ObjectRef, Seen<&Object>)]) -> String {
    let unknown = answers.iter().find_map(|(source, answer)| match answer {
        Seen::Missing => None,
        other => Some(format!("{source}: {}", other.unknown().unwrap_or_default())),
    });
    unknown.unwrap_or_else(|| {
        let names: Vec<String> = answers
            .iter()
            .map(|(source, _)| source.to_string())
            .collect();
        format!(
            "there is no {} (`kubectl mtls expose SERVICE --client-ca FILE` creates it)",
            names.join(" and no ")
        )
    })
}

/// The chain above the certificate, where CAs that a gateway trusts are preferred to those that came with it.
fn report(request: &Request, trusted: &[Certificate]) -> Report {
    let pool: Vec<Certificate> = trusted.iter().chain(&request.cas).cloned().collect();
    let chain = chain::above(&request.certificate, &pool);
    let mut notes = Vec::new();
    let stray = |ca: &&Certificate| !chain.contains(*ca);
    for ca in request.cas.iter().filter(stray) {
        notes.push(format!(
            "`{}` is not an issuer of the certificate and was left out",
            ca.subject()
        ));
    }
    if chain.is_empty() {
        notes.push(format!(
            "the CA `{}` that signed the certificate was not given, so the files hold no chain: `--ca-cert FILE` adds the CA",
            request.certificate.issuer()
        ));
    }
    if request.certificate.uri_sans().is_empty() {
        // Envoy leaves a header as it came where its variable is empty.
        notes.push(
            "the certificate has no URI SAN: where a route passes the URI on in a header, this client can put any value there; let the CA keep the URI of the request"
                .to_owned(),
        );
    }
    if request.certificate.subject().is_empty() {
        notes.push(
            "the certificate has no subject: this client can put any value into the subject's header; let the CA keep the subject of the request"
                .to_owned(),
        );
    }
    Report {
        trusted_pem: chain.last().map(Certificate::pem).unwrap_or_default(),
        chain,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::authority::Authority;
    use crate::pki::crl::{Crl, Reason, Revoked};
    use crate::pki::tests::{NOW, authority, client};
    use crate::plan::testing::Cluster;
    use crate::plan::testing::kyma::{HELM_NAMESPACE, helm_labels};
    use crate::resources::{Kind, client_ca};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde_json::json;

    fn request(ca: &Authority) -> Request {
        Request {
            authority: "kyma-mtls".to_owned(),
            name: "alice".parse().unwrap(),
            certificate: client(ca).1,
            cas: vec![ca.certificate().clone()],
        }
    }

    /// What comes of it where the gateway's Secret answers so.
    fn outcome(request: &Request, answer: &Seen<Vec<Object>>) -> Result<Report, Failure> {
        let mut cluster = Cluster::default();
        let secret = client_ca::secret("istio-system", "kyma-mtls-clients-cacert");
        match answer {
            Seen::Found(objects) => drop(cluster.put(&objects[0])),
            Seen::Denied(_) => cluster.denied.push(secret),
            _ => {}
        }
        let plan = |observed: &Observed, now| reconcile(request, observed, now);
        cluster.run(&plan)
    }

    fn trusting(ca: &Authority, crls: Option<&Crl>) -> Seen<Vec<Object>> {
        let mut data = json!({"cacert": BASE64.encode(ca.certificate().pem())});
        if let Some(crl) = crls {
            data["crl"] = BASE64.encode(crl.pem()).into();
        }
        let secret = client_ca::secret("istio-system", "kyma-mtls-clients-cacert");
        Seen::Found(vec![Object::new(secret).with("data", data)])
    }

    fn crl(ca: &Authority, revoked: Option<&Certificate>) -> Crl {
        let revoked: Vec<Revoked> = revoked
            .into_iter()
            .map(|certificate| Revoked {
                serial: certificate.serial().clone(),
                at: NOW,
                reason: Reason::default(),
            })
            .collect();
        Crl::sign(ca, 1, &revoked, None, NOW).unwrap()
    }

    #[test]
    fn a_certificate_below_what_the_gateway_trusts_is_taken_without_a_word() {
        let ca = authority();
        let alone = Request {
            cas: Vec::new(),
            ..request(&ca)
        };
        for request in [request(&ca), alone] {
            let report = outcome(&request, &trusting(&ca, None)).unwrap();
            assert_eq!(report.chain, [ca.certificate().clone()]);
            assert_eq!(report.trusted_pem, ca.certificate().pem());
            assert_eq!(report.notes, Vec::<String>::new());
        }
        let listed = trusting(&ca, Some(&crl(&ca, None)));
        assert!(outcome(&request(&ca), &listed).is_ok());
    }

    #[test]
    fn a_certificate_that_the_gateway_would_refuse_is_refused_with_the_reason() {
        let (ca, other) = (authority(), authority());
        let request = request(&ca);
        for (answer, reason) in [
            (trusting(&other, None), "has no CA above the issuer"),
            (
                trusting(&ca, Some(&crl(&ca, Some(&request.certificate)))),
                "revoked",
            ),
            (
                trusting(&ca, Some(&crl(&other, None))),
                "but none of the issuing CA `CN=Test client CA",
            ),
        ] {
            let failure = outcome(&request, &answer).unwrap_err();
            assert!(failure.to_string().contains(reason), "{failure}");
        }
    }

    #[test]
    fn the_secret_is_looked_for_beside_the_proxies_of_the_gateway_that_reads_it() {
        let (ca, other) = (authority(), authority());
        for (trusted, is_accepted) in [(&ca, true), (&other, false)] {
            let mut cluster = Cluster::helm();
            let name = ObjectRef::new(Kind::Gateway, "shop", "by-hand");
            let labels = std::collections::BTreeMap::from(helm_labels());
            let server = json!({
                "hosts": ["a.example.com"],
                "port": {"number": 443, "protocol": "HTTPS", "name": "https"},
                "tls": {"mode": "MUTUAL", "credentialName": "kyma-mtls"},
            });
            let spec = json!({"selector": labels, "servers": [server]});
            cluster.put(&Object::new(name).with("spec", spec));
            let secret = client_ca::secret(HELM_NAMESPACE, "kyma-mtls-cacert");
            let data = json!({"cacert": BASE64.encode(trusted.certificate().pem())});
            cluster.put(&Object::new(secret).with("data", data));
            let request = request(&ca);
            let plan = |observed: &Observed, now| reconcile(&request, observed, now);
            match cluster.run(&plan) {
                Ok(report) => assert!(is_accepted && report.notes.is_empty(), "{report:?}"),
                Err(failure) => assert!(!is_accepted, "{failure}"),
            }
        }
    }

    #[test]
    fn what_could_not_be_compared_is_said() {
        let ca = authority();
        for (answer, words) in [
            (Seen::Missing, "expose SERVICE --client-ca"),
            (Seen::Denied(String::new()), "`get` Secret"),
        ] {
            let report = outcome(&request(&ca), &answer).unwrap();
            let note = report.notes.last().unwrap();
            assert!(
                note.contains("was not checked") && note.contains(words),
                "{note}"
            );
            assert_eq!(report.trusted_pem, ca.certificate().pem());
        }
    }
}
