//! What may not be read, or cannot be understood, is told as such, and nothing is concluded from it.

use super::*;

#[test]
fn nothing_routed_is_not_said_where_the_routes_may_not_be_listed() {
    let mut cluster = Cluster::healthy();
    cluster.deny(Query::everywhere(Kind::ApiRule));
    cluster.list(Query::everywhere(Kind::VirtualService), []);
    let report = cluster.report();
    assert_eq!(report.hosts[0].host, PATTERN);
    assert_eq!(link(&report, "route").mark, Mark::Unknown);
    assert_eq!(link(&report, "Service").mark, Mark::Unknown);
    found(&report, Mark::Unknown, "the apirules could not be listed");
    // The report holds random serials and fingerprints too, in which any digits occur.
    let said = format!("{:?}", findings(&report));
    assert!(!said.contains("404"), "{said}");
}

#[test]
fn a_kind_that_the_cluster_does_not_have_is_not_unknown() {
    let mut cluster = Cluster::healthy();
    let rules = Query::everywhere(Kind::ApiRule);
    cluster.observed.saw(rules, Seen::NotServed);
    cluster.observed.saw(certificates(), Seen::NotServed);
    let report = cluster.report();
    assert_eq!(
        findings(&report),
        [
            (
                Mark::Warning,
                format!("nothing is routed behind `{PATTERN}`: every request is answered with 404")
                    .as_str()
            ),
            (
                Mark::Error,
                format!(
                    "`{}` has no address in DNS, and no DNSEntry covers the host",
                    PATTERN.replace('*', "kubectl-mtls-probe")
                )
                .as_str()
            )
        ]
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
    );
}

#[test]
fn kymas_own_virtual_services_tell_the_hosts_where_api_rules_may_not_be_listed() {
    let mut cluster = Cluster::healthy();
    cluster.deny(Query::everywhere(Kind::ApiRule));
    let made = Object::new(ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls-x"))
        .with_label("apirule.gateway.kyma-project.io/name", "httpbin-mtls")
        .with("spec", json!({
            "hosts": [HOST], "gateways": ["shop/kyma-mtls-gateway"],
            "http": [{
                "route": [{"destination": {"host": "httpbin.shop.svc.cluster.local", "port": {"number": 8000}}}],
                "headers": {"request": {"set": crate::resources::api_rule::IdentityHeaders::Plain.headers()}},
            }],
        }));
    cluster.list(Query::everywhere(Kind::VirtualService), [made]);
    let report = cluster.report();
    assert_eq!(report.hosts[0].host, HOST);
    assert_eq!(link(&report, "Service").says, "shop/httpbin");
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn states_that_may_not_be_listed_leave_the_clients_unknown_with_one_finding() {
    let mut cluster = Cluster::healthy();
    cluster.deny(states());
    let report = cluster.report();
    assert_eq!(link(&report, "clients").mark, Mark::Unknown);
    assert_eq!(link(&report, "client CA").mark, Mark::Unknown);
    assert!(!format!("{report:?}").contains("not of this plugin"));
    found(&report, Mark::Unknown, "the authorities in the namespace");
    assert!(report.is_healthy(true) && !report.is_healthy(false));
}

#[test]
fn a_damaged_state_is_an_error_and_its_ca_is_not_called_foreign() {
    let mut cluster = Cluster::healthy();
    let state = cluster
        .state()
        .object()
        .with("data", json!({"format": "9"}));
    cluster.list(states(), [state]);
    let report = cluster.report();
    found(
        &report,
        Mark::Error,
        "ConfigMap kubectl-mtls/kyma-mtls cannot be read",
    );
    assert_eq!(link(&report, "clients").mark, Mark::Error);
    assert!(!format!("{report:?}").contains("not of this plugin"));
}

#[test]
fn a_lost_state_is_an_error_and_its_ca_is_not_called_foreign() {
    let mut cluster = Cluster::healthy();
    cluster.list(states(), []);
    let report = cluster.report();
    found(
        &report,
        Mark::Error,
        "lacks the label `kubectl-mtls.dev/authority`",
    );
    assert_eq!(link(&report, "clients").mark, Mark::Unknown);
}

#[test]
fn certificates_the_inventory_and_the_service_that_may_not_be_read_are_unknown() {
    let mut cluster = Cluster::unmoved();
    cluster.deny(certificates());
    cluster.deny(Query::Inventory);
    cluster.deny(Query::within(Kind::Service, "shop"));
    cluster.deny(Query::Get(ObjectRef::new(Kind::Service, "shop", "httpbin")));
    cluster.deny(Query::Get(trust_secret("istio-system", SECRET)));
    cluster.deny(Query::GetMetadata(trust_secret(
        "istio-system",
        "kyma-mtls-clients",
    )));
    cluster.deny(Query::Get(ingress_service()));
    let report = cluster.report();
    for part in [
        "the `certificates.cert.gardener.cloud` in `istio-system`",
        "the inventory",
        "Service shop/httpbin",
        "Secret istio-system/kyma-mtls-clients-cacert could not be read",
        "whether Secret istio-system/kyma-mtls-clients exists",
        "was not probed: Service istio-system/istio-ingressgateway could not be read",
    ] {
        found(&report, Mark::Unknown, part);
    }
    assert!(report.is_healthy(true), "{:#?}", findings(&report));
}

#[test]
fn gateways_and_routes_that_cannot_be_read_are_told() {
    let mut cluster = Cluster::healthy();
    let odd = Object::new(GatewayName::new("other", "odd").reference())
        .with("spec", json!({"servers": "none"}));
    cluster.list(
        Query::everywhere(Kind::Gateway),
        [gateway("kyma-mtls-gateway"), odd],
    );
    cluster.list(Query::everywhere(Kind::ApiRule), [broken_rule()]);
    let report = cluster.report();
    found(&report, Mark::Warning, "Gateway other/odd cannot be read");
    found(&report, Mark::Warning, "APIRule shop/odd cannot be read");
    assert_eq!(link(&report, "route").mark, Mark::Unknown);
    // The report holds random serials and fingerprints too, in which any digits occur.
    let said = format!("{:?}", findings(&report));
    assert!(!said.contains("404"), "{said}");
}

#[test]
fn endpoints_and_the_mesh_configuration_that_may_not_be_read_are_unknown() {
    for (query, id) in [
        (
            Query::within(Kind::EndpointSlice, "shop"),
            "service/not-checked",
        ),
        (
            Query::Get(crate::resources::environment::kyma_istio()),
            "route/not-checked",
        ),
        (
            Query::Get(crate::resources::environment::mesh_config()),
            "route/not-checked",
        ),
    ] {
        let mut cluster = Cluster::healthy();
        // A Service without a selector has no endpoints of its own.
        let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
        let spec = json!({"selector": {"app": "httpbin"}, "ports": [{"port": 8000}]});
        let service = Object::new(service).with("spec", spec);
        cluster.list(Query::within(Kind::Service, "shop"), [service]);
        assert_eq!(findings(&cluster.report()), []);
        cluster.deny(query);
        let report = cluster.report();
        assert_eq!(check(&report, id).severity, Severity::Unknown);
        assert_eq!(report.findings.len(), 1);
    }
}
