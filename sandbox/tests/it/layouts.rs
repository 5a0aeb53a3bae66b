//! Gateways that run elsewhere than in `istio-system`: each environment is set up by hand and called through every replica.

mod site;

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use sandbox::load::{Expected, Load};
use sandbox::{Environment, Instance, ProxyProtocol, Replica, Reply, Settings};
use serde_json::json;

use crate::loopback::is_on_loopback_only;
use crate::port_forward::ask_admin;
use site::{Authority, Site, await_reply, host, is_refused, is_served};

#[tokio::test]
async fn a_gateway_of_the_helm_chart_serves_with_the_secrets_of_its_own_namespace() {
    let site = Site::start(Environment::Helm);
    let [ingress] = site.instance.gateways() else {
        panic!("one gateway");
    };
    let clients = Authority::new("clients");
    // The Gateway's namespace and istiod's hold other Secrets of the same names.
    for namespace in ["shop", "istio-system"] {
        site.write_secrets("orders", namespace, &Authority::new("others"));
    }
    site.expose("orders", "shop", ingress);
    site.write_secrets("orders", "istio-ingress", &clients);
    for replica in &ingress.replicas {
        assert_eq!(replica.namespace, "istio-ingress");
        site.await_admission("orders", replica, &clients).await;
    }
    let balanced = clients.client(&site.nobody().at(&ingress.connect_to));
    await_reply(&balanced, "orders", is_served).await;
    is_on_loopback_only(&site.instance);
}

/// Names of the ready Pods in a namespace.
async fn pods(instance: &Instance, namespace: &str) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(instance.client().unwrap(), namespace);
    let list = api.list(&ListParams::default()).await.unwrap();
    let ready = list.items.into_iter().filter(|pod| {
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    ready.filter_map(|pod| pod.metadata.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_gets_a_further_replica_and_loses_one_while_it_serves() {
    let site = Site::start(Environment::Helm);
    let ingress = &site.instance.gateways()[0];
    let clients = Authority::new("clients");
    site.write_secrets("orders", "istio-ingress", &clients);
    site.expose("orders", "shop", ingress);
    for replica in &ingress.replicas {
        site.await_admission("orders", replica, &clients).await;
    }
    let load = Load::start(&site.instance, &host("orders"), 40.0, 4).unwrap();
    let client = clients.client(&site.nobody());
    load.add("client", &client, None, Expected::In).unwrap();
    load.add("nobody", &site.nobody(), None, Expected::Out)
        .unwrap();

    let further = site.instance.add_replica(ingress).unwrap();
    assert_eq!(further.pod, "istio-ingress-2");
    let client = client.at(further.tls().to_string());
    let reply = client.get(&host("orders"), "/headers", &[]).await.unwrap();
    assert!(is_served(&reply), "{reply}");
    load.add_replica(&further);
    for replica in &ingress.replicas {
        load.remove_replica(replica);
    }
    // Calls that have begun end before their replicas do.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for replica in &ingress.replicas {
        site.instance.remove_replica(replica.number).unwrap();
    }
    assert_eq!(site.instance.replicas_of(ingress), [further]);
    assert_eq!(
        pods(&site.instance, "istio-ingress").await,
        ["istio-ingress-2"]
    );
    let tally = tokio::task::block_in_place(|| load.end());
    assert!(tally.total > 0 && tally.wrongs == 0, "{tally:#?}");
    let balanced = client.at(&ingress.connect_to);
    for _ in 0..3 {
        let reply = balanced
            .get(&host("orders"), "/headers", &[])
            .await
            .unwrap();
        assert!(is_served(&reply), "{reply}");
    }
    // Its number and its addresses are given out again, its Pod's name is not.
    let next = site.instance.add_replica(ingress).unwrap();
    assert_eq!((next.number, next.pod.as_str()), (0, "istio-ingress-3"));
    site.await_admission("orders", &next, &clients).await;
}

#[tokio::test]
async fn one_gateway_acts_on_two_namespaces_with_the_secrets_of_each() {
    let site = Site::start(Environment::TwoGateways);
    let [first, second] = site.instance.gateways() else {
        panic!("two gateways");
    };
    assert_eq!(
        (first.namespace.as_str(), second.namespace.as_str()),
        ("istio-system", "istio-ingress")
    );
    assert_eq!(
        (&first.labels, &first.service),
        (&second.labels, &second.service)
    );
    assert_ne!(first.connect_to, second.connect_to);
    let of_first = Authority::new("clients of the first");
    let of_second = Authority::new("clients of the second");
    site.write_secrets("orders", &first.namespace, &of_first);
    site.write_secrets("orders", &second.namespace, &of_second);
    site.expose("orders", "shop", first);
    for (ingress, clients, others) in [
        (first, &of_first, &of_second),
        (second, &of_second, &of_first),
    ] {
        for replica in &ingress.replicas {
            site.await_admission("orders", replica, clients).await;
            let stranger = others.client(&site.nobody().at(replica.tls().to_string()));
            await_reply(&stranger, "orders", is_refused).await;
        }
        let balanced = clients.client(&site.nobody().at(&ingress.connect_to));
        await_reply(&balanced, "orders", is_served).await;
    }
    // Numbers go through all gateways: this one is held, the others hear what is new.
    let held = &second.replicas[1];
    assert_eq!(held.number, 3);
    site.instance.hold_replica(held.number);
    let renewed = Authority::new("renewed");
    site.write_secrets("returns", &first.namespace, &renewed);
    site.write_secrets("returns", &second.namespace, &renewed);
    site.expose("returns", "shop", first);
    for replica in site.instance.all_replicas() {
        if replica != *held {
            site.await_admission("returns", &replica, &renewed).await;
        }
    }
    let at_held = renewed.client(&site.nobody().at(held.tls().to_string()));
    let reply = at_held.get(&host("returns"), "/", &[]).await.unwrap();
    assert!(!is_served(&reply), "{reply}");
    site.instance.release_replica(held.number);
    site.await_admission("returns", held, &renewed).await;
}

#[tokio::test]
async fn each_of_two_gateways_has_its_pods_its_load_balancer_and_its_address() {
    let site = Site::start_with(Settings {
        environment: Environment::TwoGateways,
        proxy_protocol: ProxyProtocol::Required,
        ..Settings::default()
    });
    let gateways = site.instance.gateways();
    let clients = Authority::new("clients");
    for ingress in gateways {
        site.write_secrets("orders", &ingress.namespace, &clients);
    }
    site.expose("orders", "shop", &gateways[0]);
    let client = clients.client(&site.nobody());
    for ingress in gateways {
        for replica in &ingress.replicas {
            let at_replica = client.at(replica.tls().to_string());
            await_reply(&at_replica.clone().with_proxy_header(), "orders", is_served).await;
            let reply = at_replica.get(&host("orders"), "/", &[]).await.unwrap();
            assert!(matches!(reply, Reply::Broken(_)), "{reply}");
            let info = server_info(&site.instance, replica).await;
            let node = format!("{}.{}~", replica.pod, ingress.namespace);
            assert!(info.contains(&node), "no {node} in {info}");
        }
        let balanced = client.at(&ingress.connect_to);
        let reply = balanced.get(&host("orders"), "/", &[]).await.unwrap();
        assert!(is_served(&reply), "{reply}");

        site.instance.point_dns("*.mtls.example.com", ingress);
        let found = lookup(&site.instance, &host("orders")).await;
        assert_eq!(found, [ingress.load_balancer.to_string()]);
    }
}

/// The addresses that the instance's DNS server knows for a host.
async fn lookup(instance: &Instance, host: &str) -> Vec<String> {
    let server: SocketAddr = instance.resolver().parse().unwrap();
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![config]);
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .build()
        .unwrap();
    let found = resolver.lookup_ip(format!("{host}.")).await.unwrap();
    found.iter().map(|address| address.to_string()).collect()
}

/// What the administration page of a replica in any namespace says about it.
async fn server_info(instance: &Instance, replica: &Replica) -> String {
    let pods: Api<Pod> = Api::namespaced(instance.client().unwrap(), &replica.namespace);
    ask_admin(&pods, replica).await
}

#[tokio::test]
async fn a_scoped_gateway_serves_gateways_of_its_own_namespace_only() {
    let site = Site::start(Environment::Scoped);
    let ingress = &site.instance.gateways()[0];
    let clients = Authority::new("clients");
    for (name, namespace) in [("other", "shop"), ("own", "istio-ingress")] {
        site.write_secrets(name, "istio-ingress", &clients);
        site.expose(name, namespace, ingress);
    }
    for replica in &ingress.replicas {
        site.await_admission("own", replica, &clients).await;
        // The other Gateway is the older one: it would have been served by now.
        let client = clients.client(&site.nobody().at(replica.tls().to_string()));
        let reply = client.get(&host("other"), "/headers", &[]).await.unwrap();
        assert!(matches!(reply, Reply::Broken(_)), "{reply}");
    }
    is_on_loopback_only(&site.instance);
}

#[tokio::test]
async fn a_gateway_and_its_istiod_run_in_the_namespaces_of_aks() {
    let site = Site::start(Environment::Aks);
    let ingress = &site.instance.gateways()[0];
    assert_eq!(site.instance.root_namespace(), "aks-istio-system");
    assert_eq!(ingress.namespace, "aks-istio-ingress");
    let clients = Authority::new("clients");
    site.write_secrets("orders", "aks-istio-ingress", &clients);
    site.expose("orders", "shop", ingress);
    for replica in &ingress.replicas {
        site.await_admission("orders", replica, &clients).await;
    }
    // A policy of the root namespace acts on every gateway.
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "nobody", "namespace": site.instance.root_namespace()},
        "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"hosts": [host("orders")]}}]}]},
    });
    site.instance.create(vec![policy]).unwrap();
    for replica in &ingress.replicas {
        let client = clients.client(&site.nobody().at(replica.tls().to_string()));
        let is_forbidden = |reply: &Reply| matches!(reply, Reply::Answered { status: 403, .. });
        await_reply(&client, "orders", is_forbidden).await;
    }
    is_on_loopback_only(&site.instance);
}
