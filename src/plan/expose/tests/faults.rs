//! `expose` with every fault at each of its effects: nobody is let in at any moment, and a rerun comes to the same end.

use super::*;
use crate::pki::inspect::Certificate;
use crate::plan::testing::every_fault_watched;

/// Runs it with every fault; how many there were. `watch` sees the cluster after every effect.
fn every_fault(
    cluster: &Cluster,
    request: &Request,
    host: &str,
    mut watch: impl FnMut(&Cluster),
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
    let faults = every_fault(&cluster, &request, HOST, |cluster| {
        never_admitted(cluster, HOST, &mallory);
    });
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
    let faults = every_fault(&cluster, &plain_request(), HOST, |cluster| {
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
