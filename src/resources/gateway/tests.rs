use super::*;

#[test]
fn a_name_is_more_specific_than_a_wildcard_of_its_length() {
    let server = |name: &str, host: &str, mode: &str| json!({"hosts": [host], "port": {"name": name, "number": 443, "protocol": "HTTPS"}, "tls": {"mode": mode}});
    let servers = json!([
        server("own", "a.example.com", "MUTUAL"),
        server("wild", "*.example.com", "SIMPLE"),
    ]);
    let object = Object::new(GatewayName::new("shop", "gw").reference())
        .with("spec", json!({"selector": {}, "servers": servers}));
    let gateway = Gateway::read(&object).unwrap();
    assert_eq!(gateway.server_for("a.example.com").unwrap().name, "own");
    assert_eq!(gateway.server_for("b.example.com").unwrap().name, "wild");
}

#[test]
fn of_two_servers_with_the_same_host_string_the_first_one_serves_the_host() {
    let server = |name: &str, mode: &str| json!({"hosts": ["a.example.com"], "port": {"name": name, "number": 443, "protocol": "HTTPS"}, "tls": {"mode": mode}});
    let servers = [server("mutual", "MUTUAL"), server("simple", "SIMPLE")];
    let first = |servers: [&serde_json::Value; 2]| {
        let object = Object::new(GatewayName::new("shop", "gw").reference())
            .with("spec", json!({"selector": {}, "servers": servers}));
        let gateway = Gateway::read(&object).unwrap();
        gateway.server_for("a.example.com").unwrap().name.clone()
    };
    let [mutual, simple] = &servers;
    assert_eq!(first([mutual, simple]), "mutual");
    assert_eq!(first([simple, mutual]), "simple");
}

#[test]
fn a_wildcard_covers_several_labels_but_not_the_bare_domain() {
    assert!(covers("*.mtls.example.com", "a.b.mtls.example.com"));
    assert!(!covers("*.mtls.example.com", "mtls.example.com"));
    assert!(covers("*", "anything"));
    assert!(!covers("a.example.com", "b.example.com"));
}

#[test]
fn what_we_write_reads_back_as_a_mutual_server_that_fails_closed() {
    let name = GatewayName::new("shop", "gw");
    let object = MutualGateway {
        name: &name,
        host: "*.mtls.example.com",
        ingress: &IngressGateway::default(),
        credential: "kyma-mtls",
        client_ca: "configmap://kubectl-mtls/kyma-mtls",
    }
    .object();
    let gateway = Gateway::read(&object).unwrap();
    let server = gateway.server_with_host("*.mtls.example.com").unwrap();
    assert!(server.is_mutual() && !server.may_fail_open());
    let authority = ObjectRef::new(Kind::ConfigMap, "kubectl-mtls", "kyma-mtls");
    assert_eq!(server.client_ca_source(), authority);
    assert!(!server.names_secret("kyma-mtls-clients-cacert"));
    assert!(server.names_secret("kyma-mtls-cacert"));
    assert_eq!(server.port, 443);
    assert!(gateway.is_ours);
}

#[test]
fn a_redirect_on_port_80_is_no_tls_server() {
    let servers = json!([
        {"hosts": ["*.x.org"], "port": {"number": 80, "protocol": "HTTP"}},
        {"hosts": ["*.x.org"], "port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": "MUTUAL"}},
        {"hosts": ["a.x.org"], "port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE"}},
    ]);
    let object = Object::new(GatewayName::new("a", "b").reference())
        .with("spec", json!({"servers": servers}));
    let gateway = Gateway::read(&object).unwrap();
    assert!(gateway.server_for("b.x.org").unwrap().is_mutual());
    assert_eq!(gateway.server_for("a.x.org").unwrap().mode, "SIMPLE");
    assert!(gateway.server_with_host("*.x.org").unwrap().is_mutual());
}

#[test]
fn every_server_of_whatever_port_and_mode_needs_the_secrets_that_it_names() {
    let servers = json!([
        {"hosts": ["*"], "port": {"number": 8443}, "tls": {"mode": "OPTIONAL_MUTUAL", "credentialName": "kubernetes://a"}},
        {"hosts": ["*"], "port": {"number": 443}, "tls": {"credentialNames": ["b"], "caCertCredentialName": "c-cacert"}},
    ]);
    let object = Object::new(GatewayName::new("a", "b").reference())
        .with("spec", json!({"servers": servers}));
    let gateway = Gateway::read(&object).unwrap();
    for name in ["a", "a-cacert", "b", "b-cacert", "c-cacert", "c"] {
        assert!(gateway.names_secret(name), "{name}");
    }
    assert!(!gateway.names_secret("d") && !gateway.names_secret(""));
}

#[test]
fn a_namespace_prefix_of_a_host_is_not_part_of_it() {
    let object = Object::new(GatewayName::new("a", "b").reference()).with(
        "spec",
        json!({"servers": [{"hosts": ["./*.x.org"], "port": {"number": 443}}]}),
    );
    assert_eq!(
        Gateway::read(&object).unwrap().servers[0].hosts,
        ["*.x.org"]
    );
}
