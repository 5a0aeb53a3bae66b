//! Conflicts: `expose` stops before its first write, and names the other side.

use serde_json::json;

use crate::lab::{gateway, main_job, own_namespace, requests};
use crate::main_job::names_of;
use crate::situations::foreign_client_ca;

/// Refusals: each stops before the first write, and names the other side.
#[track_caller]
fn refused(
    objects: Vec<serde_json::Value>,
    desk: &crate::lab::Desk,
    arguments: &[&str],
    says: &str,
) {
    desk.instance.create(objects).unwrap();
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(arguments).exits(2).says(says);
    let namespace = &desk.namespace;
    let log = desk.instance.audit_log(mark).unwrap();
    let writes: Vec<_> = requests(&log)
        .into_iter()
        .filter(|event| event.is_write() && event.request_uri.contains(namespace.as_str()))
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

#[test]
fn the_same_host_on_another_gateway_is_refused() {
    let (desk, host) = own_namespace("taken");
    let other = gateway(
        "default",
        &desk.namespace,
        &[&host],
        &json!({"mode": "MUTUAL", "credentialName": "x"}),
    );
    let name = format!("default/{}", desk.namespace);
    refused(
        vec![other],
        &desk,
        &["expose", "httpbin", "--host", &host],
        &name,
    );
}

#[test]
fn a_simple_gateway_for_the_very_host_is_refused_although_ours_has_a_wildcard() {
    let desk = crate::lab::Desk::new(&main_job().desk.instance, "shop");
    let (own, _) = own_namespace("closer");
    let host = format!("{}.mtls.{}", own.namespace, desk.instance.domain());
    let other = gateway(
        "default",
        &own.namespace,
        &[&host],
        &json!({"mode": "SIMPLE", "credentialName": "x"}),
    );
    let arguments = [
        "expose",
        "httpbin",
        "--gateway",
        "shop/kyma-mtls-gateway",
        "--host",
        &host,
    ];
    refused(vec![other], &own, &arguments, "in mode `SIMPLE`");
}

#[test]
fn a_gateway_of_our_name_that_is_not_mutual_is_refused() {
    let (desk, host) = own_namespace("simple");
    let tls = json!({"mode": "SIMPLE", "credentialName": "x"});
    let own = gateway(&desk.namespace, "kyma-mtls-gateway", &[&host], &tls);
    refused(
        vec![own],
        &desk,
        &["expose", "httpbin", "--host", &host],
        "not MUTUAL",
    );
}

#[test]
fn kymas_own_gateway_is_never_touched() {
    let (desk, host) = own_namespace("kymas");
    let arguments = [
        "expose",
        "httpbin",
        "--host",
        &host,
        "--gateway",
        "kyma-system/kyma-gateway",
    ];
    refused(vec![], &desk, &arguments, "Kyma's own Gateway");
}

#[test]
fn a_host_that_another_route_has_is_refused() {
    let (desk, host) = own_namespace("routed");
    let service = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "default", "name": desk.namespace},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": "x"}}]}]},
    });
    let name = format!("VirtualService default/{}", desk.namespace);
    refused(
        vec![service],
        &desk,
        &["expose", "httpbin", "--host", &host],
        &name,
    );
}

#[test]
fn a_foreign_route_of_our_name_is_refused_although_it_has_our_host() {
    let (desk, host) = own_namespace("foreign");
    let rule = json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": desk.namespace, "name": "httpbin-mtls"},
        "spec": {
            "gateway": "kyma-system/kyma-gateway", "hosts": [host],
            "service": {"name": "other", "port": 80},
            "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
        },
    });
    let arguments = ["expose", "httpbin", "--host", &host];
    refused(
        vec![rule],
        &desk,
        &arguments,
        "is attached to the Gateway `kyma-system/kyma-gateway`",
    );
}

#[test]
fn a_server_secret_that_somebody_filled_is_not_overwritten() {
    let (desk, host) = own_namespace("filled");
    let names = names_of(&desk);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": "istio-system", "name": names.credential()}, "stringData": {"tls.crt": "x"},
    });
    refused(
        vec![secret],
        &desk,
        &["expose", "httpbin", "--host", &host],
        "no Certificate filled the Secret",
    );
}

#[test]
fn a_secret_of_others_where_istiod_falls_back_to_is_refused() {
    let (desk, host) = own_namespace("open");
    let fallback = names_of(&desk).derived_client_ca();
    refused(
        vec![foreign_client_ca(&fallback)],
        &desk,
        &["expose", "httpbin", "--host", &host],
        "the CA in that Secret is trusted",
    );
}

#[test]
fn a_server_of_others_whose_clients_the_fallback_would_refuse_is_a_conflict() {
    let (desk, host) = own_namespace("shut");
    let tls = json!({"mode": "OPTIONAL_MUTUAL", "credentialName": names_of(&desk).credential()});
    let theirs = format!("theirs.{host}");
    let other = gateway("default", &desk.namespace, &[&theirs], &tls);
    refused(
        vec![other],
        &desk,
        &["expose", "httpbin", "--host", &host],
        "its clients would be refused",
    );
}
