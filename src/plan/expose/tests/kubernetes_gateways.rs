//! Gateways of the Kubernetes Gateway API on the same proxies: no guard closes connections of their TCP and TLS listeners.

use serde_json::Value;

use super::*;
use crate::plan::probe::kubernetes_gateways;
use crate::plan::{Query, Seen};
use crate::resources::guard::{headers_reference, host_reference};
use crate::resources::ingress::default_selector;
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

/// A cluster with a Gateway for a wildcard, and one with a Gateway for the host alone; each with server names of it.
fn with_server_names() -> Vec<(Cluster, Request, String, Vec<String>)> {
    let names = |host: &str| match host.split_once('.') {
        Some((_, parent)) if host == default_host() => {
            vec![format!("zzz.{parent}"), format!("*.{parent}")]
        }
        _ => vec![host.to_owned()],
    };
    let all = both().into_iter();
    all.map(|(cluster, request, host)| {
        let names = names(&host);
        (cluster, request, host, names)
    })
    .collect()
}

/// A server that passes connections through takes its server names only while istiod serves it. A user who may write Gateways, even of
/// another controller, must not open the host to clients that are not on its list.
#[test]
fn a_server_name_that_a_guard_spares_lets_nobody_in_whom_the_proxies_know() {
    for (cluster, request, host, names) in with_server_names() {
        for spared in names {
            let (mut cluster, request) = (cluster.clone(), request.clone());
            run(&mut cluster, &request, &host);
            let [ada, ben] = ["ada", "ben"].map(|name| {
                let client = cluster.issue(name);
                cluster.certificate(client).clone()
            });
            let tls = json!({"mode": "Passthrough"});
            let listener = json!({"name": "db", "port": 443, "protocol": "TLS", "hostname": spared, "tls": tls});
            cluster.put(&theirs(&listener));
            let access = AccessChoice {
                allow: Allow::Only(vec!["ada".to_owned()]),
                ..AccessChoice::default()
            };
            run(&mut cluster, &Request { access, ..request }, &host);
            for name in [&host, &spared.replace('*', "any")] {
                let statuses = |client| cluster.statuses_by(name, &host, Some(client));
                assert_eq!(statuses(&ada), [Some(200); 2], "{name}");
                assert_eq!(statuses(&ben), [Some(403); 2], "{name}, {spared}");
            }
            let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
            let headers = headers_reference("istio-system", &gateway);
            let rules = cluster.objects[&headers].at(&["spec", "rules"]);
            let rules = rules.unwrap().as_array().unwrap();
            let of_verified = rules.iter().filter(|rule| {
                let spares = rule["when"][0].get("notValues").is_some();
                !spares && rule["from"][0]["source"]["principals"] == json!(["*"])
            });
            let count = of_verified.count();
            assert_eq!(
                count * 2,
                rules.len(),
                "each header, once more for clients that were verified"
            );
        }
    }
}

#[test]
fn a_tcp_server_that_asks_for_certificates_under_names_of_the_host_is_refused() {
    // A Gateway with exactly the host is a conflict of its own.
    let wildcards = |(_, _, host, names): &(_, _, String, Vec<String>)| names[0] != *host;
    for (mut cluster, request, _, names) in with_server_names().into_iter().filter(wildcards) {
        let spec = json!({
            "selector": default_selector(),
            "servers": [{
                "hosts": [names[0]], "port": {"name": "db", "number": 443, "protocol": "TLS"},
                "tls": {"mode": "MUTUAL", "credentialName": "db"},
            }],
        });
        let name = GatewayName::new("team", "db");
        cluster.put(&Object::new(name.reference()).with("spec", spec));
        cluster.writes.clear();
        let failure = cluster.run(&request).unwrap_err().to_string();
        let says = "server `db` of Gateway `team/db` asks clients for certificates";
        assert!(failure.contains(says), "{failure}");
        assert_eq!(cluster.writes, Vec::<String>::new());
    }
}

/// Identity headers are denied at each server whose clients the Gateway knows, also without a server name.
#[test]
fn the_header_guard_is_for_the_mutual_tls_servers_of_every_port() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        let own = cluster.objects[&gateway.reference()].clone();
        let mut spec = own.at(&["spec"]).unwrap().clone();
        let mut further = spec["servers"][0].clone();
        further["port"] = json!({"name": "more", "number": 8443, "protocol": "HTTPS"});
        further["hosts"] = json!(["*"]);
        spec["servers"].as_array_mut().unwrap().push(further);
        cluster.put(&own.with("spec", spec));
        run(&mut cluster, &request, &host);
        let headers = headers_reference("istio-system", &gateway);
        let rules = cluster.objects[&headers].at(&["spec", "rules"]);
        let rules = rules.unwrap().as_array().unwrap().iter();
        let of_header =
            |rule: &&Value| rule["when"][1]["key"] == "request.headers[x_client_ssl_cn]";
        let conditions: Vec<String> = rules
            .filter(of_header)
            .map(|rule| format!("{} {}", rule["from"], rule["when"][0]))
            .collect();
        assert_eq!(conditions.len(), 3, "{conditions:#?}");
        let verified = r#"[{"source":{"principals":["*"]}}]"#;
        assert_eq!(
            conditions[1],
            r#"null {"key":"connection.sni","values":["*"]}"#
        );
        assert_eq!(
            conditions[2],
            format!(r#"{verified} {{"key":"connection.sni","notValues":["*"]}}"#)
        );
    }
}

/// The warning of one connection for two hosts.
fn shared_connection(report: &Report) -> Option<&String> {
    let mut notes = report.notes.iter();
    notes.find(|note| note.contains("one HTTP/2 connection"))
}

/// A browser reuses a connection whichever kind of Gateway serves the other host.
#[test]
fn a_listener_whose_host_one_certificate_covers_too_is_told() {
    for (mut cluster, request, host) in both() {
        let (_, parent) = host.split_once('.').unwrap();
        let listener = |hostname: &str, protocol: &str, mode: &str| {
            let tls = json!({"mode": mode, "certificateRefs": [{"name": "web-tls"}]});
            json!({
                "name": "web", "port": 443, "protocol": protocol, "hostname": hostname, "tls": tls,
            })
        };
        let is_wildcard = host == default_host();
        // Where that is our own host string, it is a conflict.
        let over_ours = if is_wildcard {
            "*".to_owned()
        } else {
            format!("*.{parent}")
        };
        for (hostname, protocol, mode, is_told) in [
            // Our own certificate is for the wildcard only where the Gateway's host is.
            (format!("web.{parent}"), "HTTPS", "Terminate", is_wildcard),
            (over_ours, "HTTPS", "Terminate", true),
            ("web.example.net".to_owned(), "HTTPS", "Terminate", false),
            (format!("db.{parent}"), "TLS", "Passthrough", false),
        ] {
            cluster.put(&theirs(&listener(&hostname, protocol, mode)));
            let report = run(&mut cluster, &request, &host);
            let note = shared_connection(&report);
            assert_eq!(note.is_some(), is_told, "{hostname}: {note:?}");
            let names = |note: &String| {
                note.contains(&format!("`{hostname}`"))
                    && note.contains("Gateway `team/db` of the Kubernetes Gateway API")
            };
            assert!(note.is_none_or(names), "{note:?}");
        }

        // That of another controller is not on these proxies.
        let hostname = format!("web.{parent}");
        let theirs = theirs(&listener(&hostname, "HTTPS", "Terminate"));
        let mut spec = theirs.at(&["spec"]).unwrap().clone();
        spec["gatewayClassName"] = json!("another");
        cluster.put(&theirs.with("spec", spec));
        let report = run(&mut cluster, &request, &host);
        assert_eq!(shared_connection(&report), None);
    }
}

/// Gateways of both kinds are merged by age: the older one's server takes the handshakes for a host that both have.
#[test]
fn a_host_that_a_listener_has_is_refused_before_the_first_write() {
    for (mut cluster, request, host) in both() {
        let listener = json!({
            "name": "web", "port": 443, "protocol": "HTTPS", "hostname": host,
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "web-tls"}]},
        });
        // One that comes later takes nothing over, and keeps nobody from changing what is there.
        let mut exposed = cluster.clone();
        run(&mut exposed, &request, &host);
        let own = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        assert!(exposed.objects.contains_key(&own));
        cluster.put(&theirs(&listener));
        cluster.writes.clear();
        let failure = cluster.run(&request).unwrap_err();
        let told = format!(
            "the host `{host}` is served by the Gateway `team/db` of the Kubernetes Gateway API already"
        );
        assert_eq!(failure.to_string(), told);
        let hints = failure.what_to_do().join("\n");
        assert!(
            hints.contains("--host") && !hints.contains("--gateway"),
            "{hints}"
        );
        assert_eq!(cluster.writes, Vec::<String>::new());
    }
}

#[test]
fn a_chosen_gateway_that_is_one_of_the_kubernetes_gateway_api_is_refused_by_what_it_is() {
    for (mut cluster, request, _) in both() {
        let request = Request {
            gateway: Some(GatewayName::new("team", "db")),
            ..request
        };
        let listener = json!({"name": "web", "port": 443, "protocol": "HTTPS", "tls": {}});
        for (class, hint) in [
            ("istio", "`caCertificateRefs`"),
            ("another", "a Gateway on Istio's ingress gateway"),
        ] {
            let theirs = theirs(&listener);
            let mut spec = theirs.at(&["spec"]).unwrap().clone();
            spec["gatewayClassName"] = json!(class);
            cluster.put(&theirs.with("spec", spec));
            cluster.writes.clear();
            let failure = cluster.run(&request).unwrap_err();
            let told =
                format!("`team/db` is a Gateway of the Kubernetes Gateway API (class `{class}`)");
            assert!(failure.to_string().contains(&told), "{failure}");
            let hints = failure.what_to_do().join("\n");
            assert!(
                hints.contains(hint) && hints.contains("--gateway"),
                "{hints}"
            );
            assert_eq!(cluster.writes, Vec::<String>::new());
        }

        // Without rights to list them it is not known, and nothing is refused.
        let denied = Seen::Denied("you cannot list them".to_owned());
        let mut blind = cluster.clone();
        blind.fixed.insert(kubernetes_gateways(), denied);
        let unrelated = blind.run(&request);
        assert!(!format!("{unrelated:?}").contains("Kubernetes Gateway API (class"));
    }
}
