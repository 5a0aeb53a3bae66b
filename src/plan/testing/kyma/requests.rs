//! The requests of most tests.

use super::*;

/// `expose httpbin -n shop`
pub fn expose_request() -> expose::Request {
    expose::Request {
        namespace: NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        workload: expose::WorkloadChoice::default(),
        port: None,
        host: None,
        local_domain: None,
        gateway: None,
        ingress: Vec::new(),
        selector: None,
        route: expose::RouteChoice::default(),
        dns: expose::DnsChoice::default(),
        issuer: None,
        access: expose::AccessChoice::default(),
        server: expose::ServerChoice::default(),
        authority: None,
        client_ca: None,
        fail_closed: false,
        force_conflicts: false,
        ca_ttl: time::Duration::days(1825),
        ca_key_type: KeyType::P256,
        ca_subject: None,
        dry_run: DryRun::None,
        wait: true,
        timeout: Duration::from_secs(300),
        connect_to: None,
    }
}

/// A cluster whose ingress gateway is a Helm release in a namespace of its own, on which `expose` made a host.
pub fn exposed_on_helm() -> Cluster {
    let mut cluster = Cluster::helm();
    let host = Some("orders.example.com".to_owned());
    let request = expose::Request {
        host,
        ..expose_request()
    };
    cluster
        .run(&request)
        .unwrap_or_else(|failure| panic!("{failure}"));
    cluster
}

/// `unexpose httpbin -n shop --purge`
pub fn unexpose_request() -> unexpose::Request {
    unexpose::Request {
        namespace: NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        gateway_too: true,
        purge: true,
        ignore_not_found: false,
        dry_run: false,
        timeout: Duration::from_secs(300),
    }
}
