//! The Gateway's other servers, and those of others on the same proxies.

use super::*;

/// A server that somebody adds to the Gateway of a shop.
fn add_server(desk: &Desk, server: &Value) {
    desk.patch_gateway(&json!([{"op": "add", "path": "/spec/servers/-", "value": server}]));
}

#[test]
fn another_server_of_the_gateway_is_refused_by_its_name_and_closed_by_the_guard() {
    let shop = Shop::open("opened", &["alice"]);
    let desk = &shop.desk;
    let parent = format!("*.{}", shop.host.split_once('.').unwrap().1);
    let server = json!({
        "hosts": [parent], "port": {"name": "open", "number": 443, "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": shop.authority},
    });
    add_server(desk, &server);
    let elsewhere = format!("other.{}", shop.host.split_once('.').unwrap().1);
    let careless = || Caller::careless(desk.instance.connect_to());
    let by_another_name = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let caller = careless().with_server_name(&elsewhere);
        runtime
            .unwrap()
            .block_on(caller.get(&shop.host, "/headers", &[]))
            .unwrap()
    };
    eventually("nobody is let in by another server name", || {
        matches!(by_another_name(), Reply::Answered { status: 200, .. })
    });
    let mark = desk.instance.audit_mark().unwrap();
    expose(&shop, &[])
        .exits(2)
        .says("server `open` (port 443, HTTPS SIMPLE)")
        .says(&format!(
            "kyma-mtls-gateway` serves `{}` to anybody",
            shop.host
        ))
        .says("--guard");
    let log = desk.instance.audit_log(mark).unwrap();
    // The objects beside the proxies and the authority have it in their names.
    let namespace = &desk.namespace;
    let written = log.iter().find(|event| {
        event.is_write() && !event.dry_run && event.request_uri.contains(namespace.as_str())
    });
    assert!(written.is_none(), "{written:?}");

    expose(&shop, &["--guard", "--dry-run=client"])
        .exits(0)
        .says("open connections");
    // That connections are closed is said before the write that closes them.
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let through = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    door.plan_write("/authorizationpolicies/", Fault::Answer(403));
    through
        .run(&["expose", "httpbin", "--guard"])
        .exits(2)
        .says("open connections")
        .says("nothing was changed");
    assert!(!has_policy(desk, &host_guard(desk)));
    expose(&shop, &["--guard"])
        .exits(0)
        .says("open connections");
    assert_eq!(status(&by_another_name()), 403);
    assert_eq!(at_each_replica(&shop, "alice"), [200, 200]);
    let again = expose(&shop, &[]).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
    expose(&shop, &["--guard=false"])
        .exits(2)
        .says("server `open`");
}

#[test]
fn a_gateway_that_somebody_opened_is_restored() {
    let shop = Shop::open("repaired", &["alice"]);
    let desk = &shop.desk;
    let gateway = || desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let right = gateway()["spec"].clone();
    let patch = |path: &str, value: Value| {
        desk.patch_gateway(&json!([{"op": "replace", "path": path, "value": value}]));
    };
    for (path, value) in [
        ("/spec/servers/0/tls/mode", json!("SIMPLE")),
        ("/spec/servers/0/tls/mode", json!("OPTIONAL_MUTUAL")),
        ("/spec/servers/0/tls/credentialName", json!("other")),
        (
            "/spec/servers/0",
            json!({"hosts": [shop.host], "port": {"name": "http", "number": 80, "protocol": "HTTP"}}),
        ),
    ] {
        patch(path, value.clone());
        expose(&shop, &[]).exits(0);
        assert_eq!(gateway()["spec"], right, "{path}: {value}");
        assert!(
            matches!(call(&desk.nobody(), &shop.host, &[]), Reply::Refused(_)),
            "{path}: {value}"
        );
        let_in(&desk.client("alice"), &shop.host);
    }
    desk.kubectl(
        &[
            "-n",
            &desk.namespace,
            "delete",
            GATEWAYS,
            "kyma-mtls-gateway",
        ],
        "",
    );
    expose(&shop, &[]).exits(0);
    assert_eq!(gateway()["spec"], right);
    let_in(&desk.client("alice"), &shop.host);
}

/// Sends a line to a TCP server through the gateway's load balancer port; the answer's first line.
fn over_tcp(address: &std::net::SocketAddr) -> String {
    use std::io::{BufRead, BufReader, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        return String::new();
    };
    let wait = Some(std::time::Duration::from_secs(5));
    stream.set_read_timeout(wait).unwrap();
    let _ = stream.write_all(b"GET /headers HTTP/1.1\r\nHost: plain\r\nConnection: close\r\n\r\n");
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// A guard names the TCP servers that it spares, and so none that is newer: `status` says so, and a rerun spares it.
fn a_later_tcp_server_is_cut_until_the_guard_is_written_anew(shop: &Shop) {
    const PORT: u16 = 15432;
    let desk = &shop.desk;
    let namespace = &desk.namespace;
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": "later"},
        "spec": {
            "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
            "servers": [{"hosts": ["*"], "port": {"name": "db", "number": PORT, "protocol": "TCP"}}],
        },
    });
    let backend = json!({"destination": {"host": format!("httpbin.{namespace}.svc.cluster.local"), "port": {"number": 8000}}});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "later"},
        "spec": {"hosts": ["*"], "gateways": ["later"],
            "tcp": [{"match": [{"port": PORT}], "route": [backend]}]},
    });
    desk.instance.create(vec![gateway, route]).unwrap();
    let replica = &desk.instance.replicas()[0];
    let address = std::net::SocketAddr::new(replica.pod_ip.into(), PORT);
    eventually("the proxy listens on the later port", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    assert_eq!(over_tcp(&address), "", "the guard closes the connection");
    // Their routes lead to the same Service, which is a finding of its own.
    let of_guards = || {
        let status = desk.run(&["status", "-o", "json"]).exits(1).json();
        let findings = status["findings"].as_array().unwrap().iter();
        let is_of_guard = |finding: &&Value| finding["id"].as_str().unwrap().starts_with("guard/");
        findings.filter(is_of_guard).cloned().collect::<Vec<_>>()
    };
    let found = of_guards();
    let [finding] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(finding["id"], "guard/cuts-others");
    let seen = finding["seen"].as_str().unwrap();
    let server = format!("server `db` (port {PORT}) of the Gateway {namespace}/later");
    assert!(seen.contains(&server), "{seen}");
    expose(shop, &[]).exits(0);
    assert!(over_tcp(&address).starts_with("HTTP/1.1 200"));
    assert_eq!(at_each_replica(shop, "ben"), [403, 403]);
    assert_eq!(of_guards(), Vec::<Value>::new());
    desk.kubectl(&["-n", namespace, "delete", GATEWAYS, "later"], "");
    expose(shop, &[]).exits(0);
}

#[test]
fn the_tcp_https_and_passthrough_servers_of_others_serve_whatever_is_guarded() {
    // A TCP server takes a port for itself: this test has a cluster of its own.
    let instance = started(Environment::PlainIstio);
    let shop = Shop::exposed_in(own_namespace_on(&instance, "neighbour"), &[]);
    shop.issue("ada", &["--force"]);
    shop.issue("ben", &["--force"]);
    let desk = &shop.desk;
    let namespace = &desk.namespace;
    let parent = shop.host.split_once('.').unwrap().1;
    let [passed, ordinary] =
        ["passed", "ordinary"].map(|name| format!("{name}-{namespace}.{parent}"));
    let selector = json!({"app": "istio-ingressgateway", "istio": "ingressgateway"});
    // The Service's port 80 is the only other one that the proxies have: nothing else uses it here.
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": "theirs"},
        "spec": {"selector": selector, "servers": [
            {"hosts": ["*"], "port": {"name": "tcp", "number": 80, "protocol": "TCP"}},
            {"hosts": [passed], "port": {"name": "tls", "number": 443, "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}},
            {"hosts": [ordinary], "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
             "tls": {"mode": "SIMPLE", "credentialName": shop.authority}},
        ]},
    });
    let backend = json!({"destination": {"host": format!("httpbin.{namespace}.svc.cluster.local"), "port": {"number": 8000}}});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "theirs"},
        "spec": {"hosts": ["*"], "gateways": ["theirs"],
            "tcp": [{"match": [{"port": 80}], "route": [backend]}],
            "tls": [{"match": [{"port": 443, "sniHosts": [passed]}], "route": [backend]}]},
    });
    let http = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "their-http"},
        "spec": {"hosts": [ordinary], "gateways": ["theirs"], "http": [{"route": [backend]}]},
    });
    instance.create(vec![gateway, route, http]).unwrap();
    let replica = &instance.replicas()[0];
    let tcp = std::net::SocketAddr::new(replica.pod_ip.into(), replica.http_port);
    let careless = || Caller::careless(instance.connect_to());
    // The backend speaks plain HTTP: a ClientHello that reaches it is answered with `400`, which is no TLS.
    let serve = || {
        let by_tcp = over_tcp(&tcp).starts_with("HTTP/1.1 200");
        let by_https = matches!(
            call(&careless(), &ordinary, &[]),
            Reply::Answered { status: 200, .. }
        );
        let by_passthrough = matches!(
            call(&careless(), &passed, &[]),
            Reply::Broken(reason) if reason.contains("corrupt message")
        );
        [by_tcp, by_https, by_passthrough]
    };
    for (number, name) in ["TCP", "HTTPS", "passthrough"].iter().enumerate() {
        eventually(&format!("the {name} server of others serves"), || {
            serve()[number]
        });
    }
    for flags in [
        &[][..],
        &["--guard"],
        &["--allow", "ada"],
        &["--allow-add", "ben"],
        &["--allow-remove", "ben"],
        &["--allow-any"],
    ] {
        expose(&shop, flags).exits(0);
        assert_eq!(serve(), [true; 3], "{flags:?}: TCP, HTTPS, passthrough");
    }
    expose(&shop, &["--allow", "ada"]).exits(0);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);
    a_later_tcp_server_is_cut_until_the_guard_is_written_anew(&shop);
    desk.run(&["unexpose", "httpbin"]).exits(0);
    assert_eq!(serve(), [true; 3], "after unexpose");
    desk.kubectl(&["-n", namespace, "delete", GATEWAYS, "theirs"], "");
}
