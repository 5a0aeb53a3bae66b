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

/// `unexpose httpbin -n shop --purge`
pub fn unexpose_request() -> unexpose::Request {
    unexpose::Request {
        namespace: NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        gateway_too: true,
        purge: true,
        dry_run: false,
        timeout: Duration::from_secs(300),
    }
}
