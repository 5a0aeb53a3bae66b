//! What may not be read, or is not answered, costs the checks that need it and nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::plan::status::Keys;
use crate::plan::{Query, Seen, probe};
use crate::resources::environment::shoot_info;
use crate::resources::ingress::IngressGateway;
use crate::resources::proxy_config::Part;

/// Everything that a healthy report reads.
fn queries(cluster: &mut Cluster) -> BTreeSet<Query> {
    requests::made(cluster).into_iter().collect()
}

/// Whether a healthy report needs the answer. Not where it only names the cause of another finding, or is a second source; not where
/// only who may read private keys may ask: that is no right of `status`; and what a proxy does not say of itself is seen in the handshake.
fn is_needed(query: &Query, answer: &Seen<()>, is_kyma: bool) -> bool {
    let is_denied = matches!(answer, Seen::Denied(_));
    match query {
        Query::List { kind, .. } => match kind {
            // Needed without a Ready Pod only, without a Ready DNSEntry, and with a host guard.
            Kind::WorkloadEntry | Kind::DnsProvider | Kind::KubernetesGateway => false,
            // Where a Certificate of Gardener's is known to fill the Secret, none of cert-manager's does.
            Kind::CertManagerCertificate => !(is_denied && is_kyma),
            Kind::Pod => !is_kyma || *query == probe::pods(&IngressGateway::default()),
            _ => true,
        },
        Query::Get(name) => *name != shoot_info(),
        Query::GetMetadataIfAllowed(_) | Query::Proxy(..) => !is_denied,
        _ => true,
    }
}

#[test]
fn the_command_for_the_roles_says_where_the_gateway_is() {
    for (cluster, roles) in [
        (Cluster::plain(), "kubectl mtls rbac status"),
        (
            Cluster::helm(),
            "kubectl mtls rbac status --ingress-namespace istio-ingress",
        ),
    ] {
        let mut cluster = exposed_as(cluster, expose_request());
        let denied = Seen::Denied("no".to_owned());
        for namespace in ["istio-system", "istio-ingress"] {
            let policies = Query::within(Kind::AuthorizationPolicy, namespace);
            cluster.fixed.insert(policies, denied.clone());
        }
        let report = report(&mut cluster);
        let remedies = report.findings.iter().map(|finding| &finding.remedy);
        let remedies: BTreeSet<&String> =
            remedies.filter(|remedy| remedy.contains("rbac")).collect();
        assert_eq!(Vec::from_iter(remedies), [roles]);
    }
}

/// The one finding where a query is not answered.
fn expected(query: &Query) -> &'static str {
    let of_gateway = |namespace: &Option<String>| namespace.as_deref() == Some("istio-system");
    match query {
        Query::Resolve(_) => "dns/not-checked",
        Query::Inventory => "inventory/not-checked",
        Query::Proxy(_, Part::Policies) => "guard/not-checked",
        Query::Proxy(..) => "proxy/not-checked",
        Query::Get(name) => match (name.kind, &*name.name) {
            (Kind::Service, _) => "ingress/not-checked",
            (Kind::KymaIstio, _) | (Kind::ConfigMap, "istio") => "route/not-checked",
            _ => "client-ca/not-checked",
        },
        Query::GetMetadataIfAllowed(name) if name.namespace == "kubectl-mtls" => {
            "authority/not-checked"
        }
        Query::GetMetadataIfAllowed(_) => "server-certificate/not-checked",
        Query::List {
            kind, namespace, ..
        } => match kind {
            Kind::Gateway => "gateway/not-checked",
            Kind::ApiRule | Kind::VirtualService | Kind::DestinationRule => "route/not-checked",
            Kind::ConfigMap if namespace.as_deref() == Some("kubectl-mtls") => {
                "authority/not-checked"
            }
            // The witnesses.
            Kind::ConfigMap => "inventory/not-checked",
            Kind::Certificate | Kind::CertManagerCertificate => "server-certificate/not-checked",
            Kind::DnsEntry | Kind::DnsProvider => "dns/not-checked",
            Kind::HttpRoute | Kind::Ingress | Kind::Service => "external-route/not-checked",
            Kind::KubernetesGateway => "guard/not-checked",
            Kind::AuthorizationPolicy if of_gateway(namespace) => "guard/not-checked",
            Kind::NetworkPolicy if of_gateway(namespace) => "ingress-policy/not-checked",
            Kind::EnvoyFilter
            | Kind::WasmPlugin
            | Kind::TrafficExtension
            | Kind::RequestAuthentication => "ingress-policy/not-checked",
            Kind::Pod if of_gateway(namespace) => "proxy/replicas-not-told-apart",
            Kind::Pod if namespace.is_none() => "proxy/not-checked",
            Kind::EndpointSlice => "service/not-checked",
            _ => "workload/not-checked",
        },
        other => panic!("not known here: {other:?}"),
    }
}

#[test]
fn a_read_that_fails_is_one_finding_of_what_is_not_checked() {
    let mut wrong = Vec::new();
    for (healthy, is_kyma) in [(kyma(), true), (plain(), false)] {
        for query in queries(&mut healthy.clone()) {
            for answer in unanswered() {
                let mut cluster = healthy.clone();
                cluster.fixed.insert(query.clone(), answer.clone());
                let way = match answer {
                    Seen::Denied(_) => "denied",
                    _ => "failed",
                };
                count(way, "read");
                let found = findings(&mut cluster);
                let is_right = match found.as_slice() {
                    [] => !is_needed(&query, &answer, is_kyma),
                    [found] => *found == (expected(&query), Severity::Unknown),
                    _ => false,
                };
                if !is_right {
                    wrong.push(format!("{query:?} {answer:?}: {found:?}"));
                } else if let Some(remedy) = unfit_remedy(&mut cluster, &answer) {
                    wrong.push(format!("{query:?} {answer:?}: {remedy}"));
                } else if let [(id, _)] = found.as_slice() {
                    count("made", id);
                    count("named", id);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The remedy of a finding that does not fit the reason: Roles where the user has the permission, or none where he lacks it.
fn unfit_remedy(cluster: &mut Cluster, answer: &Seen<()>) -> Option<String> {
    let is_denied = matches!(answer, Seen::Denied(_));
    let findings = report(cluster).findings.into_iter();
    // No Role allows questions to a DNS server.
    let mut of_roles = findings.filter(|finding| finding.check.id != "dns/not-checked");
    let is_unfit = |finding: &Finding| finding.remedy.starts_with("kubectl mtls rbac") != is_denied;
    of_roles.find(is_unfit).map(|finding| finding.remedy)
}

/// The two ways in which a query is not answered.
fn unanswered() -> [Seen<()>; 2] {
    [
        Seen::Denied("you may not read it".to_owned()),
        Seen::Failed("HTTP 500: an error".to_owned()),
    ]
}

#[test]
fn a_service_without_ready_pods_is_not_healthy_where_workload_entries_cannot_be_listed() {
    for answer in unanswered() {
        for mut cluster in both() {
            add(&mut cluster, &super::endpoints::slice(&[false]));
            let entries = Query::within(Kind::WorkloadEntry, "shop");
            cluster.fixed.insert(entries, answer.clone());
            let finding = only(&mut cluster, "service/not-checked", Severity::Unknown);
            let words =
                "the only Pod behind Service shop/httpbin is not Ready, and the WorkloadEntries";
            assert!(finding.seen.starts_with(words), "{}", finding.seen);
        }
    }
}

#[test]
fn policies_of_the_pods_that_cannot_be_listed_may_reject_the_gateway() {
    for answer in unanswered() {
        for mut cluster in both() {
            let policies = Query::within(Kind::AuthorizationPolicy, "shop");
            cluster.fixed.insert(policies, answer.clone());
            let finding = only(&mut cluster, "workload/not-checked", Severity::Unknown);
            assert!(
                finding.why.contains("reject the gateway's requests"),
                "{}",
                finding.why
            );
        }
    }
}

#[test]
fn keys_that_are_not_looked_at_are_said_to_be_so_and_are_no_finding() {
    let mut cluster = kyma();
    let keys = |cluster: &mut Cluster| report(cluster).authorities[0].keys;
    assert_eq!(keys(&mut cluster), Keys::Present);
    let secret = ObjectRef::new(Kind::Secret, "kubectl-mtls", "kyma-mtls");
    cluster.denied.push(secret);
    assert_eq!(keys(&mut cluster), Keys::NotChecked);
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn no_private_key_is_read() {
    for mut cluster in [kyma(), plain()] {
        let secrets = queries(&mut cluster)
            .into_iter()
            .filter_map(|query| match query {
                Query::Get(name) if name.kind == Kind::Secret => Some(name.name),
                Query::List {
                    kind: Kind::Secret, ..
                } => Some("all".to_owned()),
                _ => None,
            });
        // What istiod takes for a client CA holds certificates only.
        assert_eq!(secrets.collect::<Vec<_>>(), ["kyma-mtls-cacert"]);
    }
}

#[test]
fn a_user_who_may_read_nothing_sees_what_a_client_sees() {
    let mut cluster = kyma();
    let own = [Kind::Gateway, Kind::ApiRule, Kind::VirtualService];
    let own = own.map(|kind| Query::within(kind, "shop"));
    for query in queries(&mut cluster.clone()).into_iter().chain(own) {
        if query.is_of_objects() {
            cluster
                .fixed
                .insert(query, Seen::Denied("nothing".to_owned()));
        }
    }
    let host = "httpbin.mtls.c-1.kyma.example.com";
    let request = Request {
        only: Some(host.to_owned()),
        ..request()
    };
    let report = cluster.run(&request).unwrap();
    let [seen] = report.hosts.as_slice() else {
        panic!("{report:#?}");
    };
    assert_eq!((seen.host.as_str(), seen.gateway.as_str()), (host, ""));
    assert_eq!(seen.addresses, ["192.0.2.10"]);
    assert_eq!(seen.server_certificates.len(), 1);
    let unknown = |finding: &Finding| finding.severity == Severity::Unknown;
    assert!(
        report.findings.iter().all(unknown),
        "{:#?}",
        report.findings
    );
    // An open host is seen from outside, too.
    cluster.open_gateway();
    let report = cluster.run(&request).unwrap();
    let errors = report.findings.iter().filter(|finding| !unknown(finding));
    let ids: Vec<&str> = errors.map(|finding| finding.check.id).collect();
    assert_eq!(ids, ["proxy/accepts-everybody"]);
}

#[test]
fn a_user_of_one_namespace_gets_its_hosts() {
    let mut cluster = kyma();
    for kind in [Kind::Gateway, Kind::ApiRule, Kind::VirtualService] {
        let denied = Seen::Denied("only in your namespace".to_owned());
        cluster.fixed.insert(Query::everywhere(kind), denied);
    }
    let report = report(&mut cluster);
    assert_eq!(report.hosts.len(), 1, "{:#?}", report.hosts);
    assert_eq!(report.hosts[0].gateway, "shop/kyma-mtls-gateway");
    let ids: BTreeSet<(&str, Severity)> = report
        .findings
        .iter()
        .map(|finding| (finding.check.id, finding.severity))
        .collect();
    assert_eq!(
        ids,
        [
            ("gateway/not-checked", Severity::Unknown),
            ("route/not-checked", Severity::Unknown)
        ]
        .into()
    );
}
