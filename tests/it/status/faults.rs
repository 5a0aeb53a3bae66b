//! Faults made on a real cluster: each is one finding, and the remedy of the finding ends it.

use super::*;

const RULE: &str = "apirules.gateway.kyma-project.io";

#[test]
fn a_deleted_gateway() {
    let exposed = broken("gone", |exposed| {
        exposed.own(&["delete", GATEWAY, "kyma-mtls-gateway"]);
    });
    let finding = exposed.finds("gateway/missing", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_gateway_that_requires_no_certificate_any_more() {
    for mode in ["SIMPLE", "OPTIONAL_MUTUAL"] {
        let exposed = broken("weak", |exposed| exposed.set_tls("mode", mode.into()));
        let finding = exposed.finds("gateway/weakened", "error");
        exposed.is_repaired_by_remedy(&finding);
    }
}

#[test]
fn a_gateway_that_accepts_certificates_of_any_ca() {
    let exposed = broken("blind", |exposed| {
        exposed.set_tls("insecureSkipVerify", true.into());
    });
    let finding = exposed.finds("gateway/skips-verification", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_gateway_with_a_typing_error_in_its_host() {
    let exposed = broken("typo", |exposed| {
        let mut server = exposed.server();
        server["hosts"] = json!([format!("x{}", exposed.host)]);
        exposed.set_server(&server);
    });
    let finding = exposed.finds("gateway/no-server", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_gateway_with_another_server_secret_or_client_ca() {
    for (field, value, id) in [
        ("credentialName", "another", "gateway/credential-changed"),
        (
            "caCertCredentialName",
            "configmap://kubectl-mtls/another",
            "gateway/client-ca-changed",
        ),
    ] {
        let exposed = broken("renamed", |exposed| exposed.set_tls(field, value.into()));
        let finding = exposed.finds(id, "error");
        exposed.is_repaired_by_remedy(&finding);
    }
}

#[test]
fn another_gateway_with_the_exact_host_below_the_wildcard() {
    let mut exposed = Exposed::prepared("shadow");
    let domain = exposed.host.clone();
    exposed.host = format!("httpbin.mtls.{domain}");
    let expose = ["expose", "httpbin", "--domain", &domain];
    exposed.desk.run(&expose).exits(0);
    exposed.is_healthy();
    let tls = json!({"mode": "SIMPLE", "credentialName": "kyma-gateway-certs"});
    let namespace = &exposed.desk.namespace;
    let other = gateway(namespace, "other", &[&exposed.host], &tls);
    exposed.desk.instance.create(vec![other]).unwrap();
    let finding = exposed.finds("gateway/shadowed", "error");
    // Its editor changes nothing; the object that it names is there.
    exposed.pastes_remedy(&finding);
    exposed.own(&["delete", GATEWAY, "other"]);
    exposed.is_healthy();
}

#[test]
fn a_route_to_another_gateway_without_headers_or_to_another_port() {
    for (patch, id) in [
        (
            json!({"spec": {"gateway": "kyma-system/kyma-gateway"}}),
            "route/wrong-gateway",
        ),
        (
            json!({"spec": {"rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}]}}),
            "route/headers-missing",
        ),
        (json!({"spec": {"service": {"port": 1}}}), "service/no-port"),
    ] {
        let exposed = broken("routed", |exposed| {
            exposed.patch(&exposed.desk.namespace, RULE, "httpbin-mtls", &patch);
        });
        let finding = exposed.finds(id, "error");
        exposed.is_repaired_by_remedy(&finding);
    }
}

#[test]
fn another_rule_to_the_same_service() {
    let exposed = broken("beside", |exposed| {
        let namespace = &exposed.desk.namespace;
        let host = format!("{namespace}.{}", exposed.desk.instance.domain());
        let rule = json!({
            "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
            "metadata": {"name": "open", "namespace": namespace},
            "spec": {
                "hosts": [host], "gateway": "kyma-system/kyma-gateway",
                "service": {"name": "httpbin", "port": 8000},
                "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
            },
        });
        exposed.desk.instance.create(vec![rule]).unwrap();
    });
    let finding = exposed.finds("external-route/open", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn revocation_lists_that_somebody_removed() {
    let exposed = broken("listless", |exposed| {
        let authority = exposed.names.authority.as_str();
        let of_it = ["--authority", authority];
        let issue = ["issue-client", "mallory", "--p12-password-file", "none"];
        exposed
            .desk
            .run(&[&issue[..2], &["--format", "pem"], &of_it].concat())
            .exits(0);
        exposed
            .desk
            .run(&[&["revoke-client", "mallory", "--yes"][..], &of_it].concat())
            .exits(0);
        let data = json!({"data": {"ca.crl": null}});
        exposed.patch("kubectl-mtls", "configmap", authority, &data);
    });
    let finding = exposed.finds("authority/lists-edited", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_ca_that_somebody_added() {
    let exposed = broken("added", |exposed| {
        let authority = exposed.names.authority.as_str();
        let live = exposed.desk.get("kubectl-mtls", "configmap", authority);
        let bundle = live["data"]["ca.crt"].as_str().unwrap().to_owned();
        let data = json!({"data": {"ca.crt": bundle + &client_ca(in_a_year())}});
        exposed.patch("kubectl-mtls", "configmap", authority, &data);
    });
    let finding = exposed.finds("client-ca/external-added", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn an_inventory_that_is_gone() {
    let exposed = broken("forgotten", |exposed| {
        let witness = format!("authority-{}", exposed.names.authority);
        exposed.kubectl(&[
            "-n",
            "kubectl-mtls-clients",
            "delete",
            "configmap",
            &witness,
        ]);
    });
    let finding = exposed.finds("inventory/lost", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_guard_that_is_gone_and_an_allow_list_of_nobody() {
    let exposed = Exposed::new("guarded");
    let allow = [
        "expose",
        "httpbin",
        "--host",
        &exposed.host,
        "--allow",
        "nobody",
        "--allow-unknown",
    ];
    exposed.desk.run(&allow).exits(0);
    let finding = exposed.finds("allow-list/nobody", "error");
    exposed.is_repaired_by_remedy(&finding);
    let policy = "authorizationpolicies.security.istio.io";
    let all = exposed
        .desk
        .kubectl(&["-n", "istio-system", "get", policy, "-o", "name"], "");
    let own = format!("/{}-httpbin-mtls", exposed.desk.namespace);
    let guard = all.lines().find(|name| name.contains(&own)).unwrap();
    exposed.ingress(&["delete", guard]);
    let finding = exposed.finds("guard/missing", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_gateway_whose_selector_matches_no_proxy() {
    let exposed = broken("lonely", |exposed| {
        let namespace = &exposed.desk.namespace;
        let spec = json!({"spec": {"selector": {"istio": "nobody"}}});
        exposed.patch(namespace, GATEWAY, "kyma-mtls-gateway", &spec);
    });
    let finding = exposed.finds("gateway/no-proxy", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_server_secret_that_is_gone() {
    let exposed = broken("secretless", |exposed| {
        exposed.ingress(&["delete", "secret", exposed.names.credential()]);
    });
    let finding = exposed.finds("server-certificate/secret-missing", "error");
    exposed.is_repaired_by_remedy(&finding);
}

/// Envoy skips such a list, and rejects every client for want of one.
#[test]
fn a_byte_order_mark_before_the_revocation_list_shuts_everybody_out() {
    let exposed = broken("marked", |exposed| {
        let authority = exposed.names.authority.as_str();
        let of_it = ["--authority", authority];
        let run = |words: &[&str]| {
            exposed.desk.run(&[words, &of_it].concat()).exits(0);
        };
        run(&["issue-client", "bob", "--format", "pem"]);
        run(&["revoke-client", "bob"]);
        let state = exposed.desk.get("kubectl-mtls", "configmap", authority);
        let list = state["data"]["ca.crl"].as_str().unwrap();
        let data = json!({"data": {"ca.crl": format!("\u{feff}{list}")}});
        exposed.patch("kubectl-mtls", "configmaps", authority, &data);
    });
    let finding = exposed.finds("client-ca/crl-unreadable", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_certificate_that_fills_another_secret() {
    let exposed = broken("elsewhere", |exposed| {
        let kind = "certificates.cert.gardener.cloud";
        let spec = json!({"spec": {"secretName": "another"}});
        exposed.patch("istio-system", kind, &exposed.names.certificate, &spec);
    });
    let finding = exposed.finds("server-certificate/wrong-secret", "warning");
    exposed.is_repaired_by_remedy(&finding);
    exposed.ingress(&["delete", "secret", "another", "--ignore-not-found"]);
}
