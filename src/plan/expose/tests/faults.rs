//! `expose` with every fault at each of its effects: nobody is let in at any moment, and a rerun comes to the same end.

use super::several::naming_services_in;
use super::*;
use crate::pki::inspect::Certificate;
use crate::plan::testing::kyma::HELM_NAMESPACE;
use crate::plan::testing::{Fault, every_fault_watched};
use crate::resources::Kind;

/// Runs it with every fault; how many there were. `watch` sees the cluster after every effect.
fn every_fault(
    cluster: &Cluster,
    request: &Request,
    host: &str,
    watch: impl FnMut(&Cluster),
) -> usize {
    every_fault_completed(cluster, request, host, watch, |_| {})
}

/// The same where a rerun after a refused read, which the run went on without, needs `complete` to come to the same end.
fn every_fault_completed(
    cluster: &Cluster,
    request: &Request,
    host: &str,
    mut watch: impl FnMut(&Cluster),
    complete: impl Fn(&mut Cluster),
) -> usize {
    let mut undisturbed = cluster.clone();
    run(&mut undisturbed, request, host);
    let always = |cluster: &Cluster| {
        cluster.assert_closed(host);
        cluster.assert_order_stands();
        watch(cluster);
    };
    every_fault_watched(cluster, request, always, |cluster, fault, failure, _| {
        let after = format!("{fault:?}, which said {failure:?}");
        if matches!(fault, Fault::Refused(403 | 500)) && failure.is_none() {
            complete(cluster);
        }
        cluster.assert_same_end(&undisturbed, &after);
        let written = cluster.writes.len();
        cluster.run(request).unwrap();
        let more = &cluster.writes[written..];
        assert_eq!(more, Vec::<String>::new(), "once more after {after}");
    })
}

/// Asserts that a client with a certificate of the authority never reaches the Service.
fn never_admitted(cluster: &Cluster, host: &str, client: &Certificate) {
    let statuses = cluster.statuses(host, Some(client));
    assert!(!statuses.contains(&Some(200)), "{}", client.subject());
}

#[test]
fn on_kyma() {
    let faults = every_fault(&Cluster::kyma(), &expose_request(), &default_host(), |_| {});
    assert!(faults > 120, "only {faults} faults");
}

#[test]
fn without_kyma() {
    let faults = every_fault(&Cluster::plain(), &plain_request(), HOST, |_| {});
    assert!(faults > 120, "only {faults} faults");
}

#[test]
fn with_a_gateway_in_a_namespace_of_its_own() {
    let faults = every_fault(&Cluster::helm(), &plain_request(), HOST, |_| {});
    assert!(faults > 120, "only {faults} faults");
}

#[test]
fn with_proxies_in_two_namespaces() {
    let mut cluster = Cluster::helm().with_proxies_in("edge");
    cluster.issue("alice");
    let mallory = cluster.issue("mallory");
    let mallory = cluster.certificate(mallory).clone();
    let request = Request {
        access: AccessChoice {
            allow: Allow::Only(vec!["alice".to_owned()]),
            ..AccessChoice::default()
        },
        ..plain_request()
    };
    let watch = |cluster: &Cluster| never_admitted(cluster, HOST, &mallory);
    // A run that may not list the Pods of all namespaces serves those of the namespace that it knows. The others join later.
    let join = |cluster: &mut Cluster| {
        let mut names = cluster.objects.keys();
        if names.any(|name| name.namespace == "edge" && name.kind == Kind::AuthorizationPolicy) {
            return;
        }
        let naming = Request {
            ingress: naming_services_in(&[HELM_NAMESPACE, "edge"], cluster).ingress,
            ..request.clone()
        };
        run(cluster, &naming, HOST);
    };
    let faults = every_fault_completed(&cluster, &request, HOST, watch, join);
    assert!(faults > 150, "only {faults} faults");
}

#[test]
fn with_proxies_in_a_namespace_that_joins_later() {
    let mut cluster = Cluster::helm();
    cluster.issue("alice");
    let mallory = cluster.issue("mallory");
    let mallory = cluster.certificate(mallory).clone();
    let request = Request {
        access: AccessChoice {
            allow: Allow::Only(vec!["alice".to_owned()]),
            ..AccessChoice::default()
        },
        ..plain_request()
    };
    run(&mut cluster, &request, HOST);
    let cluster = cluster.with_proxies_in("edge");
    let request = naming_services_in(&[HELM_NAMESPACE, "edge"], &cluster);
    let faults = every_fault(&cluster, &request, HOST, |cluster| {
        never_admitted(cluster, HOST, &mallory);
    });
    assert!(faults > 50, "only {faults} faults");
}

#[test]
fn with_cert_manager() {
    let cluster = Cluster::plain().with_cert_manager();
    let request = Request {
        server: ServerChoice::CertManager,
        ..plain_request()
    };
    let faults = every_fault(&cluster, &request, HOST, |_| {});
    assert!(faults > 120, "only {faults} faults");
}

#[test]
fn with_an_allow_list() {
    let mut cluster = Cluster::kyma();
    cluster.issue("alice");
    let mallory = cluster.issue("mallory");
    let mallory = cluster.certificate(mallory).clone();
    let request = Request {
        access: AccessChoice {
            allow: Allow::Only(vec!["alice".to_owned()]),
            ..AccessChoice::default()
        },
        ..expose_request()
    };
    let host = default_host();
    let faults = every_fault(&cluster, &request, &host, |cluster| {
        never_admitted(cluster, &host, &mallory);
    });
    assert!(faults > 100, "only {faults} faults");
}

/// The writes of the route and of the host guard, in order.
fn route_and_guard(writes: &[String]) -> Vec<&'static str> {
    let kinds = [("APIRule", "route"), ("httpbin-mtls-", "guard")];
    let kind = |write: &String| {
        let mut kinds = kinds.iter();
        kinds.find_map(|(part, kind)| write.contains(part).then_some(*kind))
    };
    writes.iter().filter_map(kind).collect()
}

#[test]
fn with_a_client_that_is_taken_from_the_allow_list_or_added_to_it() {
    let mut cluster = Cluster::kyma();
    cluster.issue("alice");
    let mallory = cluster.issue("mallory");
    let mallory = cluster.certificate(mallory).clone();
    let host = default_host();
    let with = |allow| Request {
        access: AccessChoice {
            allow,
            ..AccessChoice::default()
        },
        ..expose_request()
    };
    let change = |add: &[&str], remove: &[&str]| {
        let [add, remove] =
            [add, remove].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        with(Allow::Change { add, remove })
    };
    let only_alice = Allow::Only(vec!["alice".to_owned()]);
    run(&mut cluster, &with(only_alice), &host);

    // A guard that is lost between the two writes is restored from the route: never with a client that was removed.
    let add = change(&["mallory"], &[]);
    cluster.writes.clear();
    let mut added = cluster.clone();
    run(&mut added, &add, &host);
    assert_eq!(route_and_guard(&added.writes), ["guard", "route"]);
    assert_eq!(added.statuses(&host, Some(&mallory)), [Some(200); 2]);
    let faults = every_fault(&cluster, &add, &host, |_| {});
    assert!(faults > 20, "only {faults} faults");

    let remove = change(&[], &["mallory"]);
    added.writes.clear();
    let mut removed = added.clone();
    run(&mut removed, &remove, &host);
    assert_eq!(route_and_guard(&removed.writes), ["route", "guard"]);
    let faults = every_fault(&added, &remove, &host, |_| {});
    assert!(faults > 20, "only {faults} faults");
}

#[test]
fn with_a_guard() {
    let request = Request {
        access: AccessChoice {
            guard: Some(true),
            ..AccessChoice::default()
        },
        ..plain_request()
    };
    let faults = every_fault(&Cluster::plain(), &request, HOST, |_| {});
    assert!(faults > 120, "only {faults} faults");
}

#[test]
fn with_a_gateway_that_is_moved() {
    for mut cluster in [Cluster::kyma(), Cluster::plain()] {
        let gateway = by_hand(&mut cluster);
        let client = cluster.foreign_client();
        let client = cluster.certificate(client).clone();
        let request = moving_request(gateway);
        let faults = every_fault(&cluster, &request, HOST, |cluster| {
            let statuses = cluster.statuses(HOST, Some(&client));
            assert!(!statuses.contains(&None), "a valid client is refused");
        });
        assert!(faults > 50, "only {faults} faults");
    }
}
