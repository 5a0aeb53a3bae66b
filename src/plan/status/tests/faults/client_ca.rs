//! Faults of the trust bundle and its revocation lists: in the authority that the Gateway reads, and in a Secret made by hand.

mod authority;
mod ca;
mod healthy;
mod lists;
mod secrets;

use ca::{Ca, name};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use time::Duration;

use super::{add, count, findings, kyma, only, only_until_repaired, remedies, report, request};
use crate::pki::tests::NOW;
use crate::plan::check::{Finding, Severity};
use crate::plan::status::Request;
use crate::plan::testing::{Cluster, foreign_ca, server_issuer};
use crate::resources::authority::Keys;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::names::{
    AUTHORITY_LABEL, CLIENTS_NAMESPACE, CredentialNames, GatewayName, MANAGED_BY,
};
use crate::resources::rotation::Entrance;
use crate::resources::{Kind, Object};

type Edit = Box<dyn Fn(&str) -> String>;
/// Makes a list of the authority's own CA, or of another one.
type Make = fn(&Ca, &Ca) -> String;

const EVER: Duration = Duration::days(3650);

/// A host whose Gateway reads a Secret that somebody made by hand.
fn by_hand(bundle: &str, lists: Option<&str>) -> Cluster {
    let mut cluster = kyma();
    let secret = client_ca::secret("istio-system", "corporate-cacert");
    let mut data = json!({"cacert": BASE64.encode(bundle)});
    if let Some(lists) = lists {
        data["crl"] = BASE64.encode(lists).into();
    }
    cluster.put(&Object::new(secret).with("data", data));
    read(&mut cluster, "corporate-cacert");
    // Nobody has made an authority here yet.
    let names = CredentialNames::first();
    let of_authority = [names.state(), names.keys(1)];
    cluster.objects.retain(|name, _| {
        let is_entry = name.kind == Kind::ConfigMap && name.namespace == CLIENTS_NAMESPACE;
        !is_entry && !of_authority.contains(name)
    });
    cluster
}

/// The Gateway, which somebody made by hand, reads its client CA there.
fn read(cluster: &mut Cluster, field: &str) {
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let live = cluster.objects[&gateway].clone();
    let mut body = live.without_label(MANAGED_BY).body().clone();
    body["metadata"]["managedFields"] = json!([]);
    body["spec"]["servers"][0]["tls"]["caCertCredentialName"] = field.into();
    cluster.put(&Object::from_server(gateway.kind, body).unwrap());
    cluster.load();
}

#[test]
fn the_cas_of_a_host_are_fields_of_the_report_whoever_manages_them() {
    let ca = foreign_ca();
    let mut cluster = by_hand(&ca.certificate().pem(), None);
    let request = Request {
        timeline: true,
        ..request()
    };
    let report = cluster.run(&request).unwrap();
    let report = serde_json::to_value(&report).unwrap();
    let host = &report["hosts"][0];
    assert_eq!(host["authority"], Value::Null);
    let fingerprint = ca.certificate().fingerprint();
    assert_eq!(host["clientCas"][0]["fingerprint"], *fingerprint);
    assert_eq!(host["clientCas"][0]["crl"], Value::Null);
    let pods = json!(["istio-ingressgateway-1", "istio-ingressgateway-2"]);
    assert_eq!(host["serverCertificates"][0]["shownBy"], pods);
    let ends = report["timeline"]["ends"].as_array().unwrap();
    let is_its = |end: &&Value| end["kind"] == "client CA" && end["name"] == ca.certificate().id();
    assert_eq!(ends.iter().filter(is_its).count(), 1, "{ends:?}");
}

#[track_caller]
fn only_by_hand(bundle: &str, lists: Option<&str>, id: &str, severity: Severity) -> Finding {
    worst(&mut by_hand(bundle, lists), id, severity)
}

/// Asserts that there is one finding, beside the note that the CA is external, and that its command ends it as in [`only`].
#[track_caller]
fn worst(cluster: &mut Cluster, id: &str, severity: Severity) -> Finding {
    count("made", id);
    let report = super::report(cluster);
    let is_note = |finding: &&Finding| finding.check.id != "client-ca/external";
    let found: Vec<&Finding> = report.findings.iter().filter(is_note).collect();
    let [finding] = found.as_slice() else {
        panic!("only `{id}` was expected: {found:#?}");
    };
    assert_eq!(
        (finding.check.id, finding.severity),
        (id, severity),
        "{finding:#?}"
    );
    count("named", id);
    remedies::ends(cluster, finding);
    (*finding).clone()
}

/// Changes a value of the authority's ConfigMap.
fn edit(cluster: &mut Cluster, key: &str, change: impl FnOnce(&str) -> String) {
    let state = &cluster.objects[&CredentialNames::first().state()];
    let value = change(state.text(&["data", key]));
    cluster.edit_state(key, &value);
    cluster.load();
}

/// The authority's own CA.
fn own(cluster: &Cluster) -> Ca {
    let keys = Keys::read(&cluster.objects[&CredentialNames::first().keys(1)]).unwrap();
    let state = cluster.state();
    let ca = state.issuing_ca().unwrap();
    let key = std::str::from_utf8(keys.of(ca).unwrap()).unwrap();
    Ca::of(ca.clone(), key)
}

/// The restore that findings on an authority advise ends them.
fn is_restored(cluster: &mut Cluster, finding: &Finding) {
    assert_eq!(
        finding.remedy,
        "kubectl mtls ca-rotate --restore --accept-loss --authority kyma-mtls"
    );
    cluster.run(&super::restore()).unwrap();
    assert_eq!(findings(cluster), []);
}

#[test]
fn an_authority_that_is_gone_is_one_finding_that_its_restoration_ends() {
    let mut cluster = kyma();
    cluster.objects.remove(&CredentialNames::first().state());
    cluster.load();
    let finding = only(&mut cluster, "authority/lost", Severity::Error);
    is_restored(&mut cluster, &finding);
}

#[test]
fn a_bundle_that_cannot_be_used_is_named_by_what_is_in_it() {
    let key = crate::pki::key::PrivateKey::generate(crate::pki::key::KeyType::P256).unwrap();
    let with = |more: &str| {
        let more = more.to_owned();
        move |pem: &str| pem.to_owned() + &more
    };
    let leaf = {
        let cluster = kyma();
        cluster.certificate(0).pem()
    };
    let key = key.to_pem().to_string();
    let cases: [(Edit, &str); 4] = [
        (Box::new(|_| "hello".to_owned()), "client-ca/unreadable"),
        (
            Box::new(|pem| pem[..200].to_owned()),
            "client-ca/unreadable",
        ),
        (Box::new(with(&leaf)), "client-ca/leaf-in-bundle"),
        (Box::new(with(&key)), "client-ca/private-key-in-bundle"),
    ];
    for (change, id) in cases {
        let mut cluster = kyma();
        edit(&mut cluster, "ca.crt", change);
        let finding = only(&mut cluster, id, Severity::Error);
        is_restored(&mut cluster, &finding);
    }
}

#[test]
fn a_bundle_under_another_key_is_one_finding() {
    let mut cluster = kyma();
    let reference = CredentialNames::first().state();
    let live = cluster.objects[&reference].clone();
    let mut data = live.at(&["data"]).unwrap().clone();
    let bundle = data.as_object_mut().unwrap().remove("ca.crt").unwrap();
    data["ca.pem"] = bundle;
    cluster.put(&live.with("data", data));
    cluster.load();
    let finding = only(&mut cluster, "client-ca/wrong-keys", Severity::Error);
    is_restored(&mut cluster, &finding);
}

#[test]
fn a_ca_that_was_replaced_by_another_is_one_finding() {
    let mut cluster = kyma();
    edit(&mut cluster, "ca.crt", |_| foreign_ca().certificate().pem());
    let finding = only(&mut cluster, "authority/damaged", Severity::Error);
    assert!(finding.seen.contains("lacks the CA"), "{finding:#?}");
    is_restored(&mut cluster, &finding);
}

#[test]
fn a_ca_that_somebody_added_or_put_back_is_one_finding_also_beside_lists() {
    let foreign = foreign_ca().certificate();
    for was_dropped in [false, true] {
        let mut cluster = kyma();
        cluster.issue("bob");
        cluster.revoke(1);
        let mut state = cluster.state();
        if was_dropped {
            state.dropped.insert(foreign.fingerprint());
        }
        cluster.put(&state.object());
        edit(&mut cluster, "ca.crt", |pem| {
            pem.to_owned() + &foreign.pem()
        });
        let id = if was_dropped {
            "client-ca/dropped-is-back"
        } else {
            "client-ca/external-added"
        };
        let finding = only(&mut cluster, id, Severity::Error);
        let drop = format!(" --finish --drop-external {}", foreign.fingerprint());
        assert!(finding.remedy.contains(&drop), "{finding:#?}");
    }
}

#[test]
fn a_ca_from_which_strangers_get_certificates_is_one_finding() {
    let issuer = server_issuer().certificate().pem();
    only_by_hand(&issuer, None, "client-ca/server-issuer", Severity::Error);
    let mut cluster = kyma();
    edit(&mut cluster, "ca.crt", |pem| pem.to_owned() + &issuer);
    only(&mut cluster, "client-ca/server-issuer", Severity::Error);
    let public = Ca::made(|params| {
        name(params, rcgen::DnType::OrganizationName, "Let's Encrypt");
    });
    only_by_hand(
        &public.pem(),
        None,
        "client-ca/public-root",
        Severity::Error,
    );
}

#[test]
fn an_external_ca_where_it_is_meant_to_be_is_a_note() {
    let ca = Ca::made(|_| {});
    let mut cluster = by_hand(&ca.pem(), None);
    let finding = only(&mut cluster, "client-ca/external", Severity::Note);
    assert!(super::report(&mut cluster).is_healthy(false));
    assert!(finding.seen.contains(&ca.certificate.fingerprint()[..8]));
}

#[test]
fn a_ca_as_in_kymas_tutorial_is_weaker() {
    let ca = Ca::made(|params| params.key_usages.clear());
    only_by_hand(&ca.pem(), None, "client-ca/no-key-usage", Severity::Warning);
}

#[test]
fn a_ca_out_of_its_time_is_one_finding() {
    let cases = [
        (-400, -1, "client-ca/expired", Severity::Error),
        (1, 400, "client-ca/not-yet-valid", Severity::Error),
        (-400, 20, "client-ca/ending", Severity::Warning),
    ];
    for (from, until, id, severity) in cases {
        let ca = Ca::made(|params| {
            params.not_before = NOW + Duration::days(from);
            params.not_after = NOW + Duration::days(until);
        });
        only_by_hand(&ca.pem(), None, id, severity);
    }
}

#[test]
fn an_expired_ca_harms_its_renewed_twin_only_where_it_stands_before_it() {
    let key = rcgen::KeyPair::generate().unwrap();
    let old = Ca::with_key(&key, |params| params.not_after = NOW - Duration::days(1));
    let new = Ca::with_key(&key, |params| params.not_before = NOW - Duration::days(2));
    let front = old.pem() + &new.pem();
    only_by_hand(&front, None, "client-ca/expired-in-front", Severity::Error);
    let mut behind = by_hand(&(new.pem() + &old.pem()), None);
    only(&mut behind, "client-ca/external", Severity::Note);
}

#[test]
fn cas_of_one_subject_need_key_identifiers() {
    let plain = |params: &mut rcgen::CertificateParams| {
        params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![1]);
    };
    let (one, other) = (Ca::made(plain), Ca::made(plain));
    let alike = one.pem() + &other.pem();
    only_by_hand(&alike, None, "client-ca/same-subject", Severity::Error);
    let told_apart = Ca::made(|_| {}).pem() + &Ca::made(|_| {}).pem();
    let mut cluster = by_hand(&told_apart, None);
    only(&mut cluster, "client-ca/external", Severity::Note);
}

#[test]
fn a_ca_whose_key_was_given_is_weaker_until_it_has_left() {
    let tutorial = Ca::made(|params| params.key_usages.clear());
    let given = Ca::made(|_| {});
    let cases = [
        (&tutorial, "client-ca/no-key-usage"),
        (&given, "client-ca/given-remains"),
    ];
    for (ca, id) in cases {
        let mut cluster = kyma();
        let entrance = Entrance {
            is_given: true,
            ..Entrance::default()
        };
        let state = cluster
            .state()
            .descending_from(ca.certificate.clone(), entrance);
        cluster.put(&state.object());
        cluster.load();
        let finding = only(&mut cluster, id, Severity::Warning);
        let fingerprint = ca.certificate.fingerprint();
        assert_eq!(
            finding.remedy,
            format!(
                "kubectl mtls ca-rotate --finish --drop-external {fingerprint} --authority kyma-mtls"
            )
        );
        let state = state.without(&[ca.certificate.fingerprint()].into());
        cluster.put(&state.object());
        cluster.load();
        assert_eq!(findings(&mut cluster), []);
    }
}
