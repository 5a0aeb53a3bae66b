//! Signing with the files of a CA, and requests for a CA elsewhere: what is asked, handed over and refused, in order.

use std::sync::Arc;

use super::*;
use crate::error::Failure;
use crate::pki::csr::Csr;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf::LeafRequest;
use crate::pki::tests::{authority, client};
use crate::plan::identity::{Names, certificate};
use crate::plan::testing::{Cluster, Run};
use crate::plan::{ClientKey, Delivery, Effect, Generate, Identity, NewLeaf};
use request::ExistingRequest;

fn wanted() -> LeafRequest {
    let (name, key) = ("alice".parse().unwrap(), ClientKey::New(KeyType::P256));
    let (names, ttl) = (Names::default(), time::Duration::DAY);
    certificate("kyma-mtls", &name, &names, ttl, &key, &[]).unwrap()
}

fn sign_request() -> sign::Request {
    let ca = Arc::new(authority());
    sign::Request {
        chain: vec![ca.certificate().clone()],
        new: NewLeaf {
            authority: ca,
            request: wanted(),
            key: ClientKey::New(KeyType::P256),
        },
        existing: ExistingFiles::default(),
    }
}

fn request_request() -> request::Request {
    request::Request {
        wanted: wanted(),
        key: ClientKey::Given(Arc::new(PrivateKey::generate(KeyType::P256).unwrap())),
        existing: ExistingRequest::default(),
    }
}

/// The effects of a plan, in order, and what it came to.
fn run<T>(plan: impl Fn(&Observed) -> Reconciled<T> + Clone) -> (Vec<String>, Result<T, Failure>) {
    let plan = |observed: &Observed, _| plan(observed);
    let (mut cluster, mut run) = (Cluster::default(), Run::begin(&plan));
    let mut effects = Vec::new();
    while let Some(effect) = run.next(cluster.now) {
        effects.push(match effect {
            Effect::Generate(Generate::Leaf(_)) => "sign".to_owned(),
            Effect::Generate(Generate::SigningRequest(..)) => "request".to_owned(),
            Effect::Ask(question) => format!("{question:?}"),
            Effect::Deliver(delivery) => match delivery {
                Delivery::Credential(_) => "deliver certificate".to_owned(),
                Delivery::SigningRequest(_) => "deliver request".to_owned(),
            },
            other => panic!("{other:?}"),
        });
        cluster.step(&mut run);
    }
    (effects, run.result.unwrap())
}

#[test]
fn a_ca_in_files_signs_then_the_password_is_asked_then_the_files_are_written() {
    let request = sign_request();
    let (effects, report) = run(|observed: &Observed| sign::reconcile(&request, observed));
    assert_eq!(effects, ["sign", "Password", "deliver certificate"]);
    let report = report.unwrap();
    assert!(report.certificate.is_signed_by(&request.chain[0]));
    assert!(report.has_client_ca && !report.completed);
    assert!(report.notes[0].starts_with("no inventory is kept with `--ca-cert`"));
}

#[test]
fn nothing_is_signed_or_requested_where_files_are_in_the_way() {
    let mut request = sign_request();
    request.existing.in_the_way = vec!["alice.key".to_owned()];
    let (effects, report) = run(|observed: &Observed| sign::reconcile(&request, observed));
    assert_eq!(effects, Vec::<String>::new());
    let failure = report.unwrap_err().to_string();
    assert_eq!(failure, "these files exist already: alice.key");

    let mut request = request_request();
    request.existing.in_the_way = vec!["alice.csr".to_owned()];
    let (effects, csr) = run(|observed: &Observed| request::reconcile(&request, observed));
    assert_eq!(effects, Vec::<String>::new());
    let failure = csr.unwrap_err().to_string();
    assert_eq!(failure, "these files exist already: alice.csr");
}

#[test]
fn a_client_ca_file_of_other_cas_is_never_overwritten() {
    let mut request = sign_request();
    request.existing.client_ca = Some(authority().certificate().pem().into_bytes());
    let (effects, report) = run(|observed: &Observed| sign::reconcile(&request, observed));
    assert_eq!(effects, Vec::<String>::new());
    let failure = report.unwrap_err().to_string();
    assert_eq!(
        failure,
        "`client-ca.crt` in the output folder holds other CAs"
    );
    request.existing.client_ca = Some(request.chain[0].pem().into_bytes());
    let (_, report) = run(|observed: &Observed| sign::reconcile(&request, observed));
    report.unwrap();
}

#[test]
fn the_certificate_of_an_interrupted_run_is_reported_and_no_other_one_is_signed() {
    let mut request = sign_request();
    let left = client(&request.new.authority).1;
    request.existing = ExistingFiles {
        in_the_way: vec!["alice.crt".to_owned()],
        certificate: Some(left.clone()),
        were_completed: true,
        ..ExistingFiles::default()
    };
    let (effects, report) = run(|observed: &Observed| sign::reconcile(&request, observed));
    assert_eq!(effects, Vec::<String>::new());
    let report = report.unwrap();
    assert!(report.completed);
    assert_eq!(report.certificate, left);
}

#[test]
fn a_request_is_made_for_the_key_handed_over_and_reported() {
    let request = request_request();
    let (effects, csr) = run(|observed: &Observed| request::reconcile(&request, observed));
    assert_eq!(effects, ["request", "Password", "deliver request"]);
    let csr = csr.unwrap();
    let ClientKey::Given(key) = &request.key else {
        unreachable!()
    };
    assert_eq!(csr.public_key_der(), key.public_key_der());
    assert_eq!(csr.subject().unwrap().to_string(), "CN=alice");
    assert_eq!(
        csr.sans().unwrap().uris,
        ["spiffe://kyma-mtls-clients/alice"]
    );
    let mut again = request.clone();
    again.existing.completed = Some(csr.clone());
    let (effects, left): (_, Result<Csr, _>) =
        run(|observed: &Observed| request::reconcile(&again, observed));
    assert_eq!(effects, Vec::<String>::new());
    assert_eq!(left.unwrap(), csr);
}

#[test]
fn what_an_external_ca_signed_is_handed_over_once() {
    let ca = authority();
    let (key, certificate) = client(&ca);
    let credential = Credential {
        identity: Identity {
            key: Some(Arc::new(key)),
            certificate,
        },
        trusted_pem: String::new(),
        chain: Vec::new(),
    };
    let notes = ["said".to_owned()];
    let mut existing = ExistingFiles::default();
    let (effects, report) =
        run(|observed: &Observed| hand_over(&credential, &notes, &existing, observed));
    assert_eq!(effects, ["Password", "deliver certificate"]);
    let report = report.unwrap();
    assert!(!report.has_client_ca);
    assert_eq!(report.notes, notes);
    existing.certificate = Some(credential.identity.certificate.clone());
    existing.were_completed = true;
    let (effects, report) =
        run(|observed: &Observed| hand_over(&credential, &notes, &existing, observed));
    assert_eq!(effects, Vec::<String>::new());
    assert!(report.unwrap().completed);
}
