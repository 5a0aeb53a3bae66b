//! Gateways of the Kubernetes Gateway API on the same proxies: no guard closes connections of their TCP and TLS listeners.

use serde_json::Value;

use super::*;
use crate::plan::probe::kubernetes_gateways;
use crate::plan::{Query, Seen};
use crate::resources::guard::host_reference;
use crate::resources::{Kind, ObjectRef};

/// A Gateway whose listener is on the proxies behind the Service of the default ingress gateway.
fn theirs(listener: &Value) -> Object {
    let address = "istio-ingressgateway.istio-system.svc.cluster.local";
    let spec = json!({
        "gatewayClassName": "istio",
        "addresses": [{"type": "Hostname", "value": address}],
        "listeners": [listener],
    });
    let name = ObjectRef::new(Kind::KubernetesGateway, "team", "db");
    Object::new(name).with("spec", spec)
}

fn guarded(request: Request) -> Request {
    let access = AccessChoice {
        guard: Some(true),
        ..AccessChoice::default()
    };
    Request { access, ..request }
}

fn rules(cluster: &Cluster) -> Value {
    let guard = host_reference("istio-system", "shop", "httpbin");
    cluster.objects[&guard]
        .at(&["spec", "rules"])
        .unwrap()
        .clone()
}

#[test]
fn the_host_guard_spares_tls_listeners_by_name_and_tcp_listeners_by_port() {
    for (mut cluster, request, host) in both() {
        let request = guarded(request);
        let tls = json!({"mode": "Passthrough"});
        cluster.put(&theirs(
            &json!({"name": "db", "port": 443, "protocol": "TLS", "hostname": "db.example.org", "tls": tls}),
        ));
        let report = run(&mut cluster, &request, &host);
        let spared = rules(&cluster)[1]["when"][0]["notValues"].clone();
        assert!(
            spared
                .as_array()
                .unwrap()
                .contains(&"db.example.org".into())
        );
        let told = |report: &Report| {
            report
                .notes
                .iter()
                .any(|note| note.contains("every server name"))
        };
        assert!(!told(&report));

        // Without a host name the listener may take any: nothing tells which.
        cluster.put(&theirs(
            &json!({"name": "db", "port": 443, "protocol": "TLS", "tls": tls}),
        ));
        let report = run(&mut cluster, &request, &host);
        let spared = rules(&cluster)[1]["when"][0]["notValues"].clone();
        assert!(spared.as_array().unwrap().contains(&"*".into()));
        assert!(told(&report), "{:#?}", report.notes);
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.contains("server `db` of Gateway `team/db`"))
        );

        cluster.put(&theirs(
            &json!({"name": "db", "port": 5432, "protocol": "TCP"}),
        ));
        let report = run(&mut cluster, &request, &host);
        let spared = rules(&cluster)[2]["to"][0]["operation"]["notPorts"].clone();
        assert!(spared.as_array().unwrap().contains(&"5432".into()));
        assert!(!told(&report));
    }
}

/// A listener for every server name exempts all of them, so nothing tells another server's requests from its connections.
#[test]
fn a_listener_for_every_name_beside_another_server_of_the_gateway_is_refused_by_its_name() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        let name = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        let own = cluster.objects[&name].clone();
        let mut spec = own.at(&["spec"]).unwrap().clone();
        let port = json!({"name": "open", "number": 443, "protocol": "HTTPS"});
        let tls = json!({"mode": "SIMPLE", "credentialName": "kyma-mtls"});
        let wide = format!(
            "*.{}",
            host.split_once('.').unwrap().1.split_once('.').unwrap().1
        );
        spec["servers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"hosts": [wide], "port": port, "tls": tls}));
        cluster.put(&own.with("spec", spec));
        let tls = json!({"mode": "Passthrough"});
        cluster.put(&theirs(
            &json!({"name": "db", "port": 443, "protocol": "TLS", "tls": tls}),
        ));
        cluster.writes.clear();
        let failure = cluster.run(&guarded(request)).unwrap_err();
        assert!(failure.to_string().contains("server `open`"), "{failure}");
        let hints = format!("{:?}", failure.what_to_do());
        assert!(
            hints.contains("server `db` of Gateway `team/db`"),
            "{hints}"
        );
        assert_eq!(cluster.writes, Vec::<String>::new());
    }
}

#[test]
fn a_denied_list_is_told_with_and_without_a_host_guard() {
    for (mut cluster, request, host) in both() {
        let denied = Seen::Denied("you cannot list them".to_owned());
        let query: Query = kubernetes_gateways();
        cluster.fixed.insert(query, denied);
        let told = |report: &Report| {
            let mut notes = report.notes.iter();
            notes.any(|note| note.contains("Kubernetes Gateway API could not be listed"))
        };
        assert!(told(&run(&mut cluster, &request, &host)));
        assert!(told(&run(&mut cluster, &guarded(request), &host)));
    }
}
