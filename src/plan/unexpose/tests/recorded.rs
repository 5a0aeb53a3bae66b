//! The record of an interrupted run, which anybody who may write `ConfigMaps` beside the Service can write too.

use super::*;
use crate::resources::unexposure::{Doomed, Kept, Unexposure};
use crate::resources::{dns_entry, inventory};

/// A record that names objects as they exist.
fn record(gateway: &GatewayName, authority: &str, doomed: &[Object]) -> Object {
    let record = Unexposure {
        gateway: gateway.clone(),
        authority: authority.to_owned(),
        host: None,
        doomed: doomed.iter().map(Doomed::of).collect(),
        kept: Vec::new(),
    };
    record.object("shop", "httpbin")
}

#[test]
fn a_forged_record_deletes_nothing_that_does_not_belong_to_its_gateway() {
    let names = CredentialNames::further(&own_gateway());
    let client = "alice".parse().unwrap();
    let entry = inventory::reference("kyma-mtls", &client, 1);
    let managed = |object: Object| object.with_label(MANAGED_BY, FIELD_MANAGER);
    let theirs = |object: Object| ours(object, &shared_gateway());
    let guard = guard::host_reference(INGRESS_NAMESPACE, "edge", "other");
    let headers = guard::headers_reference(INGRESS_NAMESPACE, &shared_gateway());
    let record_of_theirs = dns_entry::reference(&shared_gateway(), "shared");
    let key = ObjectRef::new(Kind::Secret, "kubectl-mtls", "kyma-mtls");
    for victim in [
        managed(Object::new(CredentialNames::first().state())),
        managed(Object::new(entry)),
        managed(Object::new(key.clone())),
        ours(Object::new(key), &own_gateway()),
        managed(Object::new(shared_gateway().reference())),
        theirs(Object::new(guard.clone())),
        ours(Object::new(guard), &own_gateway()),
        theirs(Object::new(headers)),
        theirs(Object::new(record_of_theirs)),
        certificate(&shared_gateway(), "shared", "shared"),
        theirs(secret("shared-cacert")),
        theirs(secret(names.credential())),
        managed(secret("unmarked")),
        secret("issued").with_label(ISSUED_LABEL, "true"),
        managed(Object::new(access_policy::reference("edge", "other"))),
    ] {
        let mut cluster = Cluster::default();
        let victim = cluster.put(&victim);
        let forged = record(&own_gateway(), "kyma-mtls", std::slice::from_ref(&victim));
        cluster.put(&forged);
        let report = run(&purge(), &mut cluster).unwrap();
        let name = victim.reference();
        assert_eq!(left(&cluster), [name.to_string()], "{report:?}");
        assert_eq!(report.kept.len(), 1, "{name}: {report:?}");
        assert!(report.kept[0].reason.contains("Gateway"), "{report:?}");
        assert!(report.deleted.is_empty(), "{report:?}");
    }
}

#[test]
fn a_server_secret_that_the_certificate_of_somebody_else_fills_stays_whatever_a_record_says() {
    let names = CredentialNames::further(&own_gateway());
    let mut cluster = Cluster::default();
    let issued = secret(names.credential()).with_label(ISSUED_LABEL, "true");
    let issued = cluster.put(&issued);
    cluster.put(&certificate(
        &shared_gateway(),
        "theirs",
        names.credential(),
    ));
    cluster.put(&record(&own_gateway(), "kyma-mtls", &[issued]));
    let report = run(&purge(), &mut cluster).unwrap();
    assert!(report.kept[0].reason.contains("theirs"), "{report:?}");
    assert_eq!(left(&cluster).len(), 2, "{:?}", left(&cluster));
}

#[test]
fn a_record_that_names_what_cannot_exist_is_refused() {
    let forged = |authority: &str, gateway: &GatewayName| {
        let mut cluster = Cluster::default();
        cluster.put(&record(gateway, authority, &[]));
        refused(&purge(), &mut cluster, "names something that cannot exist");
    };
    forged("$(touch pwned)", &own_gateway());
    forged("", &own_gateway());
    forged("kyma-mtls", &GatewayName::new("..", "x"));
    forged("kyma-mtls", &GatewayName::new("shop", "a?b"));
}

#[test]
fn the_secrets_of_a_record_go_after_its_gateway_in_whatever_order_it_names_them() {
    let names = CredentialNames::further(&own_gateway());
    let mut cluster = exposed(&own_gateway());
    let object = |reference: &ObjectRef| cluster.objects[reference].clone();
    let client_ca = secret(&names.derived_client_ca()).reference().clone();
    let doomed = [client_ca, own_gateway().reference()].map(|name| object(&name));
    let route = ObjectRef::new(Kind::ApiRule, "shop", "httpbin-mtls");
    cluster.objects.remove(&route);
    cluster.put(&record(&own_gateway(), "kyma-mtls", &doomed));
    run(&purge(), &mut cluster).unwrap();
    let place = |word: &str| cluster.writes.iter().position(|write| write.contains(word));
    assert!(
        place("delete Gateway") < place("-cacert"),
        "{:?}",
        cluster.writes
    );
    assert!(place("delete Gateway").is_some(), "{:?}", cluster.writes);
}

/// The Gateway as another run of `expose` makes it, with a new uid.
fn make_again(cluster: &mut Cluster) {
    let again = exposed(&own_gateway());
    let gateway = own_gateway().reference();
    cluster.objects.remove(&gateway);
    cluster.put(&again.objects[&gateway]);
}

#[test]
fn a_rerun_leaves_a_gateway_alone_that_was_made_in_between_and_everything_that_belongs_to_it() {
    let mut undisturbed = exposed(&own_gateway());
    run(&purge(), &mut undisturbed).unwrap();
    // The record, the route, the Gateway, and so on.
    for number in 3..undisturbed.writes.len() {
        let mut cluster = exposed(&own_gateway());
        assert!(run_with(&purge(), &mut cluster, number, |_| {}).is_none());
        make_again(&mut cluster);
        let before = left(&cluster);
        let report = run(&purge(), &mut cluster).unwrap();
        let record = "ConfigMap shop/httpbin-mtls";
        let kept: Vec<String> = before.into_iter().filter(|name| name != record).collect();
        assert_eq!(left(&cluster), kept, "after {number}");
        assert!(report.deleted.is_empty(), "{report:?}");
        assert!(report.stays.is_empty(), "{report:?}");
        let is_told = |kept: &Kept| kept.reason.contains("created again");
        assert!(report.kept.iter().any(is_told), "{report:?}");
    }
}

#[test]
fn a_gateway_that_is_made_while_its_purge_runs_keeps_what_is_left() {
    for after in ["delete Gateway", "delete Certificate"] {
        let mut cluster = exposed(&own_gateway());
        let outcome = run_with(&purge(), &mut cluster, usize::MAX, |cluster| {
            if cluster.writes.last().unwrap().contains(after) {
                make_again(cluster);
            }
        });
        let report = outcome.unwrap().unwrap();
        let deletions = cluster
            .writes
            .iter()
            .filter(|write| write.starts_with("delete"));
        let deletions: Vec<&str> = deletions.map(String::as_str).collect();
        let (last, record) = (deletions.len() - 2, deletions.len() - 1);
        assert!(deletions[last].contains(after), "{deletions:?}");
        assert_eq!(deletions[record], "delete ConfigMap shop/httpbin-mtls");
        let kept = report
            .kept
            .iter()
            .filter(|kept| kept.object.starts_with("secret/"));
        assert_eq!(kept.count(), 2, "{report:?}");
        assert!(cluster.objects.contains_key(&own_gateway().reference()));
    }
}
