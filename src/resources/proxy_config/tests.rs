use super::*;
use serde_json::json;
use time::macros::datetime;

fn read(part: &Part, answer: &Value) -> BTreeSet<String> {
    part.read(answer.to_string().as_bytes()).unwrap()
}

#[test]
fn what_a_listener_still_drains_counts_no_more() {
    let with = |name: &str| {
        json!({"listener": {"filter_chains": [{"transport_socket": {"typed_config": {
            "common_tls_context": {"combined_validation_context": {
                "validation_context_sds_secret_config": {"name": format!("kubernetes://{name}")},
            }},
        }}}]}})
    };
    let dump = json!({"configs": [{"active_state": with("new"), "draining_state": with("old")}]});
    assert_eq!(
        read(&Part::TrustedSecrets, &dump),
        ["new".to_owned()].into()
    );
}

#[test]
fn a_server_secret_is_told_with_the_host_strings_of_its_server() {
    let chain = |hosts: &[&str], name: &str| {
        json!({
            "filter_chain_match": {"server_names": hosts},
            "transport_socket": {"typed_config": {"common_tls_context": {
                "tls_certificate_sds_secret_configs": [{"name": name}],
            }}},
        })
    };
    let chains = [
        chain(&["*.a.example", "b.example"], "kubernetes://one"),
        chain(&[], "two"),
    ];
    let dump = json!({"configs": [{
        "active_state": {"listener": {"filter_chains": chains}},
        "warming_state": {"listener": {"filter_chains": [chain(&["c.example"], "kubernetes://new")]}},
    }]});
    let expected = ["*.a.example one", "b.example one", "* two"];
    let lines = read(&Part::ServerSecrets, &dump);
    assert_eq!(lines, expected.map(str::to_owned).into());
    assert!(lines.contains(&serves("b.example", "kubernetes://one")));
}

#[test]
fn a_policy_that_one_listener_enforces_and_another_one_only_will_is_told_apart() {
    let with = |policy: &str| {
        let rule = format!("ns[istio-system]-policy[{policy}]-rule[0]");
        json!({"listener": {"filter_chains": [{"rules": {"action": "DENY", "policies": {rule: {}}}}]}})
    };
    let http = json!({"name": "http", "active_state": with("guard")});
    let https = json!({"name": "https", "active_state": with("other")});
    let mut warming = https.clone();
    warming["warming_state"] = with("guard");
    let read = |listeners: [&Value; 2]| read(&Part::Policies, &json!({"configs": listeners}));
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let both: BTreeSet<String> = lines(&[
        "istio-system/guard",
        "istio-system/guard action DENY",
        "istio-system/other",
        "istio-system/other action DENY",
    ]);
    assert_eq!(read([&http, &https]), both);
    let expected: BTreeSet<String> = lines(&[
        "istio-system/guard",
        "istio-system/guard action DENY",
        "istio-system/guard https is warming",
        "istio-system/other",
        "istio-system/other action DENY",
        "istio-system/other https is warming",
    ]);
    assert_eq!(read([&http, &warming]), expected);
    // Port 80 needs no certificate, and has taken what port 443 rejects for one.
    let mut rejected = https.clone();
    rejected["error_state"] = json!({"failed_configuration": with("guard")["listener"]});
    let expected: BTreeSet<String> = lines(&[
        "istio-system/guard",
        "istio-system/guard action DENY",
        "istio-system/guard https is rejected",
        "istio-system/other",
        "istio-system/other action DENY",
        "istio-system/other https is rejected",
    ]);
    assert_eq!(read([&http, &rejected]), expected);
    // The server of somebody else, with a chain of its own.
    let mut further = https.clone();
    let chains = https
        .pointer("/active_state/listener/filter_chains/0")
        .unwrap();
    let failed = json!({"filter_chains": [chains, chains]});
    further["error_state"] = json!({"failed_configuration": failed});
    assert_eq!(read([&http, &further]), both);
    let never = json!({"error_state": rejected["error_state"]});
    assert_eq!(
        read([&https, &never]),
        lines(&["istio-system/other", "istio-system/other action DENY"])
    );
}

#[test]
fn policies_of_other_filters_do_not_count_and_an_answer_that_is_no_json_is_none() {
    let rbac = json!({"policies": {"ns[a]-policy[b]-rule[0]": {}}});
    let dump = json!({"configs": [{"active_state": {"filters": [
        {"typed_config": {"rules": rbac}},
        {"action": "DENY", "policies": ["ns[a]-policy[c]-rule[0]"]},
        {"action": 1, "policies": null},
    ]}}]});
    let lines = ["a/b", "a/b action ALLOW"].map(str::to_owned);
    assert_eq!(read(&Part::Policies, &dump), lines.into());
    // Half of a surrogate pair is no text.
    let broken = dump
        .to_string()
        .replace("-rule[0]\":{}", r#"-rule[0]":{"exact":"\ud800"}"#);
    for answer in ["<html>", &broken] {
        assert_eq!(Part::Policies.read(answer.as_bytes()), None, "{answer}");
    }
    for deep in ["[", r#"{"action":"#, r#"{"a":"#] {
        let deep = format!(r#"{{"configs":[{{"active_state":{}"#, deep.repeat(200_000));
        assert_eq!(Part::Policies.read(deep.as_bytes()), None);
    }
    assert_eq!(Part::Policies.read(b"{}"), Some([].into()));
}

#[test]
fn a_trial_is_not_enforced_and_a_change_of_what_a_rule_is_about_is_one() {
    let with = |rules: &str, host: &str| {
        json!({"listener": {"http_filters": [{rules: {"action": "DENY", "policies": {
            "ns[istio-system]-policy[guard]-rule[0]": {"permissions": [
                {"header": {"name": ":authority", "string_match": {"exact": host, "ignore_case": true}}},
                {"header": {"name": ":authority", "string_match": {"prefix": format!("{host}:")}}},
                {"requested_server_name": {"suffix": ".mtls.d"}},
                {"destination_port": 8443},
            ], "principals": [{"authenticated": {"principal_name": {"exact": "spiffe://c/ada"}}}]},
        }}}]}})
    };
    let read = |listener: Value| read(&Part::Policies, &json!({"configs": [listener]}));
    let trial = json!({"name": "https", "active_state": with("shadow_rules", "a.mtls.d")});
    assert_eq!(read(trial), [].into());
    let mut live = json!({"name": "https", "active_state": with("rules", "a.mtls.d")});
    let expected = [
        "istio-system/guard",
        "istio-system/guard action DENY",
        "istio-system/guard rule[0] host a.mtls.d",
        "istio-system/guard rule[0] host a.mtls.d:*",
        "istio-system/guard rule[0] port 8443",
        "istio-system/guard rule[0] sni *.mtls.d",
        "istio-system/guard rule[0] spiffe://c/ada",
    ];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    assert_eq!(read(live.clone()), expected);
    let newer = &with("rules", "b.mtls.d")["listener"];
    live["error_state"] = json!({"failed_configuration": newer});
    let told = read(live);
    assert!(
        told.contains("istio-system/guard https is rejected"),
        "{told:?}"
    );
}

#[test]
fn a_listener_is_rejected_as_long_as_envoy_has_an_error_for_it() {
    let dump = json!({"configs": [
        {"name": "0.0.0.0_8080"},
        {"name": "0.0.0.0_8443", "error_state": {"details": "script load error:\n\u{1b}[31m'=' expected"}},
    ]});
    let expected = "0.0.0.0_8443: script load error:  [31m'=' expected";
    assert_eq!(
        read(&Part::RejectedListeners, &dump),
        [expected.to_owned()].into()
    );
    assert_eq!(read(&Part::RejectedListeners, &json!({})), [].into());
}

#[test]
fn a_client_ca_is_told_by_its_digests_and_a_key_pair_is_not() {
    let bytes = |text: &str| json!({"inline_bytes": BASE64.encode(text)});
    let dump = json!({"configs": [
        {"name": "kubernetes://a-cacert", "secret": {"validation_context": {
            "trusted_ca": bytes("A"), "crl": bytes("L"),
        }}},
        {"name": "configmap://n/b", "secret": {"validation_context": {"trusted_ca": bytes("B")}}},
        {"name": "kubernetes://server", "secret": {"tls_certificate": {"certificate_chain": bytes("C")}}},
    ]});
    let lines = read(&Part::ClientCas, &dump);
    let expected = [
        loaded("a-cacert", Material::Bundle, b"A"),
        loaded("a-cacert", Material::Crl, b"L"),
        loaded("configmap://n/b", Material::Bundle, b"B"),
    ];
    assert_eq!(lines, expected.into());
    assert!(has_loaded(&lines, "a-cacert", Material::Crl));
    assert!(!has_loaded(&lines, "configmap://n/b", Material::Crl));
}

#[test]
fn only_updates_that_were_rejected_are_told() {
    let stats = json!({"stats": [
        {"name": "listener_manager.lds.update_rejected", "value": 2},
        {"name": "cluster_manager.cds.update_rejected", "value": 0},
    ]});
    let rejected = read(&Part::RejectedUpdates, &stats);
    assert_eq!(
        rejected,
        ["listener_manager.lds.update_rejected".to_owned()].into()
    );
}

#[test]
fn a_proxy_without_a_stream_from_istiod_is_told_apart_from_one_that_does_not_count() {
    let read = |stats: Value| read(&Part::Stream, &json!({"stats": stats}));
    let streams = |value: u64| json!([{"name": STREAMS, "value": value}]);
    assert_eq!(read(streams(0)), [STREAM_CLOSED.to_owned()].into());
    assert_eq!(read(streams(1)), [].into());
    assert_eq!(read(json!([])), [].into());
}

#[test]
fn a_secret_is_rejected_while_its_content_is_newer_than_what_was_taken() {
    let pushed = "2026-09-01T12:00:00Z/6";
    let accepted = read(
        &Part::AcceptedSecrets,
        &json!({"stats": [
            {"name": "sds.kubernetes_server.version_text", "value": pushed},
            {"name": "sds.configmap_kubectl-mtls/kyma-mtls.version_text", "value": pushed},
            {"name": "sds.kubernetes_new.version_text", "value": ""},
        ]}),
    );
    let has_rejected = |name: &str, count: u64, second: u8| {
        let counters = ["kubernetes_server", "configmap_kubectl-mtls/kyma-mtls"];
        let counters = counters
            .map(|name| json!({"name": format!("sds.{name}.update_rejected"), "value": count}));
        let rejected = read(&Part::RejectedUpdates, &json!({"stats": counters}));
        let written = datetime!(2026-09-01 12:00 UTC)
            .replace_second(second)
            .unwrap();
        has_rejected(name, written, &rejected, &accepted)
    };
    let client_ca = "configmap://kubectl-mtls/kyma-mtls";
    for name in ["server", "kubernetes://server", client_ca] {
        assert!(has_rejected(name, 1, 30), "{name}");
        assert!(!has_rejected(name, 1, 2), "{name}");
        assert!(!has_rejected(name, 0, 30), "{name}");
    }
    assert!(!has_rejected("new", 1, 30));
    assert!(!has_rejected("other", 1, 30));
}

#[test]
fn hosts_are_told_without_their_ports() {
    let routes =
        |domains: &[&str]| json!({"route_config": {"virtual_hosts": [{"domains": domains}]}});
    let dump = json!({"configs": [routes(&["a.example", "a.example:443"]), routes(&["*"]), {}]});
    let part = Part::Hosts(GatewayName::new("shop", "gateway"));
    assert_eq!(
        read(&part, &dump),
        ["a.example".to_owned(), "*".to_owned()].into()
    );
    assert!(part.path().ends_with("=https.*.gateway.shop.*"));
}
