//! `unexpose` ends once no proxy that can be asked routes the host any more.

use super::whole::{PLAIN_HOST, exposed_clusters};
use super::*;
use crate::plan::Seen;
use crate::plan::testing::kyma::unexpose_request;
use crate::resources::proxy_config::Part;

fn only_the_route() -> Request {
    Request {
        gateway_too: false,
        purge: false,
        timeout: Duration::from_secs(60),
        ..unexpose_request()
    }
}

/// A route of somebody else for the host, on the same Gateway.
fn their_route(host: &str) -> Object {
    let spec = json!({
        "hosts": [host], "gateways": [own_gateway().to_string()],
        "http": [{"route": [{"destination": {"host": "other"}}]}],
    });
    Object::new(ObjectRef::new(Kind::VirtualService, "team", "theirs")).with("spec", spec)
}

/// The host guard of the Service, which lists one client.
fn host_guard(host: &str) -> Object {
    let rules = json!([{
        "from": [{"source": {"notPrincipals": ["kyma-mtls-clients/ada"]}}],
        "to": [{"operation": {"hosts": [host]}}],
    }]);
    let guard = Object::new(guard::host_reference("istio-system", "shop", "httpbin"));
    let spec = json!({"action": "DENY", "rules": rules});
    ours(guard, &own_gateway()).with("spec", spec)
}

#[test]
fn a_proxy_that_still_routes_the_host_is_waited_for_while_the_guards_and_the_gateway_stand() {
    for (number, (mut cluster, host)) in exposed_clusters().into_iter().enumerate() {
        cluster.proxies.lagging = vec![1];
        let guards = |cluster: &Cluster| {
            let names = cluster.objects.keys();
            let is_guard = |name: &&ObjectRef| {
                name.kind == Kind::AuthorizationPolicy && name.namespace != "shop"
            };
            names.filter(is_guard).cloned().collect::<Vec<_>>()
        };
        let before = guards(&cluster);
        for _ in 0..2 {
            let failure = cluster.run(&unexpose_request()).unwrap_err();
            assert_eq!(failure.exit().code(), 124, "{number}: {failure}");
            let says = format!("istio-ingressgateway-2: it still routes `{host}`");
            let says = says.replace(
                "istio-ingressgateway",
                if number == 2 {
                    "istio-ingress"
                } else {
                    "istio-ingressgateway"
                },
            );
            assert!(failure.to_string().contains(&says), "{number}: {failure}");
            let hints = failure.what_to_do().join("\n");
            assert!(hints.contains("run the same command again"), "{hints}");
        }
        assert_eq!(guards(&cluster), before);
        assert!(cluster.objects.contains_key(&own_gateway().reference()));
        cluster.proxies.lagging.clear();
        cluster.load();
        let report = cluster.run(&unexpose_request()).unwrap();
        assert_eq!(report.notes, Vec::<String>::new(), "{number}");
        assert!(!cluster.objects.contains_key(&own_gateway().reference()));
    }
}

#[test]
fn the_route_alone_is_waited_for_too_and_its_guard_tells_a_rerun_the_host() {
    let (mut cluster, host) = exposed_clusters().pop().unwrap();
    cluster.proxies.lagging = vec![0];
    for _ in 0..2 {
        let failure = cluster.run(&only_the_route()).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let says = format!("istio-ingressgateway-1: it still routes `{host}`");
        assert!(failure.to_string().contains(&says), "{failure}");
    }
    cluster.proxies.lagging.clear();
    cluster.load();
    let report = cluster.run(&only_the_route()).unwrap();
    assert_eq!(report.notes, Vec::<String>::new());
}

#[test]
fn what_may_not_be_asked_is_told() {
    let (cluster, host) = exposed_clusters().remove(0);
    let denied = || Seen::Denied("you may not".to_owned());
    let says = format!("whether every proxy has stopped routing `{host}` was not seen");
    let routes = Part::Hosts(own_gateway());
    let pods = crate::plan::probe::pods(&IngressGateway::default());
    let gateway = Query::Get(own_gateway().reference());
    let proxy = Query::Proxy(cluster.proxy_pods()[1].clone(), routes);
    for query in [proxy, pods, gateway] {
        let mut cluster = cluster.clone();
        cluster.fixed.insert(query, denied());
        let report = cluster.run(&only_the_route()).unwrap();
        let notes = report.notes.join("\n");
        assert!(notes.contains(&says), "{notes}");
        assert!(notes.contains("you may not"), "{notes}");
    }
}

#[test]
fn a_host_that_another_route_serves_too_is_not_waited_for() {
    let (mut cluster, host) = exposed_clusters().remove(1);
    assert_eq!(host, PLAIN_HOST);
    cluster.put(&their_route(&host));
    let report = cluster.run(&only_the_route()).unwrap();
    let notes = report.notes.join("\n");
    let says = format!("VirtualService team/theirs routes `{host}` too");
    assert!(notes.contains(&says), "{notes}");
}

/// Its guard may be what keeps clients from the other route.
#[test]
fn the_guard_of_a_host_that_another_route_serves_too_is_kept() {
    let (mut cluster, host) = exposed_clusters().remove(1);
    let host_guard = host_guard(&host);
    let guard = host_guard.reference();
    let mine = Routing::VirtualService.reference("shop", "httpbin");
    cluster.put(&host_guard);
    cluster.put(&their_route(&host));
    for _ in 0..2 {
        let report = cluster.run(&only_the_route()).unwrap();
        let notes = report.notes.join("\n");
        let says = format!(
            "was kept, because it also protects VirtualService team/theirs; to delete it: kubectl delete authorizationpolicies.security.istio.io -n istio-system {}",
            guard.name
        );
        assert!(notes.contains(&says), "{notes}");
        assert!(!cluster.objects.contains_key(&mine));
        assert!(cluster.objects.contains_key(guard));
    }
}

/// Kyma was installed after the Service was exposed: the route is still a `VirtualService`.
#[test]
fn a_route_from_before_kyma_is_removed_with_its_policy_and_guard() {
    let (cluster, _) = exposed_clusters().remove(1);
    for has_rule in [false, true] {
        let mut cluster = cluster.clone();
        cluster.unserved.remove(&Kind::ApiRule);
        let rule = Routing::ApiRule.reference("shop", "httpbin");
        if has_rule {
            let spec = json!({
                "hosts": ["httpbin.other.example.com"], "gateway": own_gateway().to_string(),
                "service": {"name": "httpbin", "port": 8000}, "rules": [],
            });
            cluster.put(&ours(Object::new(rule.clone()), &own_gateway()).with("spec", spec));
        }
        let [route, policy] = [
            Routing::VirtualService.reference("shop", "httpbin"),
            access_policy::reference("shop", "httpbin"),
        ];
        let mut interrupted = cluster.clone();
        interrupted.objects.remove(&route).unwrap();
        interrupted.load();
        interrupted.run(&only_the_route()).unwrap();
        assert!(
            !interrupted.objects.contains_key(&policy),
            "after an interrupted run"
        );
        cluster.run(&only_the_route()).unwrap();
        let guard = guard::host_reference("istio-system", "shop", "httpbin");
        for gone in [&route, &policy, &guard, &rule] {
            assert!(!cluster.objects.contains_key(gone), "{gone}");
        }
    }
}

/// Where the proxies may not be asked, the list of routes still tells.
#[test]
fn the_guard_is_kept_for_another_route_where_the_proxies_may_not_be_asked() {
    let (mut cluster, host) = exposed_clusters().remove(1);
    let host_guard = host_guard(&host);
    let guard = host_guard.reference();
    cluster.put(&host_guard);
    cluster.put(&their_route(&host));
    let routes = Part::Hosts(own_gateway());
    for pod in cluster.proxy_pods() {
        let query = Query::Proxy(pod, routes.clone());
        cluster
            .fixed
            .insert(query, Seen::Denied("you may not".to_owned()));
    }
    cluster.run(&only_the_route()).unwrap();
    assert!(cluster.objects.contains_key(guard));
}
