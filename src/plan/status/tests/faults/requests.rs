//! What a report asks, and how often.

use std::collections::BTreeSet;

use super::endpoints::slice;
use super::remedies::revocation;
use super::*;
use crate::plan::revoke_client::Which;
use crate::plan::testing::Run;
use crate::plan::{Effect, Query, Seen};
use crate::resources::proxy_config::Part;

/// The queries of a report on all hosts, in order.
pub fn made(cluster: &mut Cluster) -> Vec<Query> {
    made_by(cluster, &request())
}

/// The queries of a report, in order.
fn made_by(cluster: &mut Cluster, request: &Request) -> Vec<Query> {
    let mut queries = Vec::new();
    let mut run = Run::begin(request);
    while let Some(effect) = run.next(cluster.now) {
        if let Effect::Read(wanted) = &effect {
            queries.extend(wanted.iter().cloned());
        }
        let events = cluster.perform(effect, &run.observed).unwrap();
        for event in events {
            run.observed.apply(event);
        }
    }
    let hosts = run.result.unwrap().unwrap().hosts.len();
    assert!(hosts > 0, "nothing was looked at");
    queries
}

/// Adds hosts of the same Gateway, each with a Service of its own in one of these namespaces.
fn add_hosts(cluster: &mut Cluster, hosts: usize, namespaces: usize) {
    let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
    let slice = cluster.put(&slice(&[true])).reference().clone();
    for number in 1..=hosts {
        let name = format!("s{number}");
        for object in [&service, &slice, &own_route(cluster)] {
            let object = &cluster.objects[object];
            let mut body = object.body().to_string().replace("httpbin", &name);
            if namespaces > 1 {
                let namespace = format!("\"namespace\":\"n{}\"", number % namespaces);
                body = body.replace("\"namespace\":\"shop\"", &namespace);
            }
            let body = serde_json::from_str(&body).unwrap();
            cluster.put(&Object::from_server(object.reference().kind, body).unwrap());
        }
        let addresses = vec!["192.0.2.10".to_owned()];
        let host = format!("{name}.mtls.c-1.kyma.example.com");
        cluster.controllers.records.insert(host, addresses);
    }
    cluster.act();
    cluster.load();
    assert_eq!(report(cluster).hosts.len(), hosts + 1);
}

/// The queries for objects.
fn of_objects(queries: &[Query]) -> usize {
    queries.iter().filter(|query| query.is_of_objects()).count()
}

#[test]
fn nothing_is_asked_twice() {
    let mut crowded = kyma();
    add_hosts(&mut crowded, 9, 3);
    for mut cluster in [kyma(), plain(), crowded] {
        let mut seen = BTreeSet::new();
        for query in made(&mut cluster) {
            assert!(seen.insert(query.clone()), "asked twice: {query:?}");
        }
    }
}

#[test]
fn a_hundred_hosts_in_one_namespace_cost_no_more_requests_than_one_and_each_namespace_its_lists() {
    let mut cluster = kyma();
    cluster.put(&slice(&[true]));
    let one = of_objects(&made(&mut cluster));
    let mut together = cluster.clone();
    add_hosts(&mut together, 99, 1);
    assert_eq!(of_objects(&made(&mut together)), one);
    add_hosts(&mut cluster, 99, 20);
    let spread = of_objects(&made(&mut cluster));
    assert_eq!(spread, one + 20 * 7);
}

#[test]
fn the_report_of_one_host_asks_for_the_keys_of_its_own_authority_only() {
    let mut cluster = kyma();
    let mut other = cluster.state();
    other.authority = "other".to_owned();
    other.keys_secret = "other".to_owned();
    cluster.put(&other.object());
    let host = "httpbin.mtls.c-1.kyma.example.com";
    let of_one = Request {
        only: Some(host.to_owned()),
        ..request()
    };
    let keys: Vec<String> = made_by(&mut cluster, &of_one)
        .into_iter()
        .filter_map(|query| match query {
            Query::GetMetadataIfAllowed(name) => Some(name),
            _ => None,
        })
        .filter(|name| name.namespace == "kubectl-mtls")
        .map(|name| name.name)
        .collect();
    assert_eq!(keys, ["kyma-mtls"]);
}

/// The inventory and the lists are not read at once.
#[test]
fn a_client_that_is_revoked_while_a_report_is_made_is_no_fault() {
    for mut healthy in [kyma(), plain()] {
        for name in ["ada", "ben"] {
            healthy.issue(name);
        }
        let mut blind = healthy.clone();
        for pod in healthy.proxy_pods() {
            let query = Query::Proxy(pod, Part::ClientCas);
            let denied = Seen::Denied("no port-forward".to_owned());
            blind.fixed.insert(query, denied);
        }
        for lead in 0.. {
            let (report, is_over) = revoked_after(lead, healthy.clone());
            assert_eq!(report.findings, [], "revoked after {lead} steps");
            // Proxies that cannot be asked do not show that somebody changes the lists.
            let (report, is_over_blind) = revoked_after(lead, blind.clone());
            let mut ids = report.findings.iter().map(|finding| finding.check.id);
            let told = ids.find(|id| id.starts_with("revocation/"));
            assert_eq!(told, None, "revoked after {lead} steps");
            if is_over && is_over_blind {
                break;
            }
        }
    }
}

/// The report during which a client is revoked, after so many steps; whether it was over by then.
fn revoked_after(lead: usize, mut cluster: Cluster) -> (Report, bool) {
    let mut run = Run::begin(&request());
    cluster.steps(&mut run, lead);
    let is_over = run.result.is_some();
    let ada = "ada".parse().unwrap();
    cluster.run(&revocation(Which::Names(vec![ada]))).unwrap();
    (cluster.finish(&mut run).unwrap(), is_over)
}
