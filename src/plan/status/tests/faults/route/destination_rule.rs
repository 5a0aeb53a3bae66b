//! What `DestinationRules` do to the requests of a route, and which of them count.

use super::*;

const FULL: &str = "httpbin.shop.svc.cluster.local";

/// A rule of somebody else.
fn rule(namespace: &str, name: &str, spec: &Value) -> Object {
    let name = ObjectRef::new(Kind::DestinationRule, namespace, name);
    Object::new(name).with("spec", spec.clone())
}

/// A rule with a TLS mode.
fn with_mode(namespace: &str, host: &str, mode: &str) -> Object {
    let spec = json!({"host": host, "trafficPolicy": {"tls": {"mode": mode}}});
    rule(namespace, "theirs", &spec)
}

/// The same for proxies of these namespaces only.
fn exported(rule: &Object, to: &Value) -> Object {
    let mut spec = rule.at(&["spec"]).unwrap().clone();
    spec["exportTo"] = to.clone();
    rule.clone().with("spec", spec)
}

/// The cluster with a route to the subset `v2` of its Service.
fn with_subset() -> Cluster {
    let mut cluster = plain();
    let route = own_route(&cluster);
    edit(&mut cluster, &route, |spec| {
        spec["http"][0]["route"][0]["destination"]["subset"] = "v2".into();
    });
    cluster
}

fn of_v2() -> Object {
    let subsets = json!([{"name": "v2", "labels": {"version": "v2"}}]);
    rule(
        "shop",
        "httpbin",
        &json!({"host": "httpbin", "subsets": subsets}),
    )
}

#[test]
fn a_subset_that_no_destination_rule_defines() {
    let mut cluster = with_subset();
    only(&mut cluster, "route/subset", ERROR);
    for unseen in [json!(["."]), json!(["shop"]), json!(["team"])] {
        add(&mut cluster, &exported(&of_v2(), &unseen));
        only(&mut cluster, "route/subset", ERROR);
    }
}

#[test]
fn a_subset_without_a_pod() {
    let mut cluster = with_subset();
    add(&mut cluster, &of_v2());
    let finding = only(&mut cluster, "service/no-endpoints", ERROR);
    assert!(
        finding.seen.ends_with("`v2`, version=v2"),
        "{}",
        finding.seen
    );
    assert_eq!(
        finding.remedy,
        "kubectl get pods -n shop -l app=httpbin,version=v2"
    );
    let mut outside = cluster.clone();
    let entry = ObjectRef::new(Kind::WorkloadEntry, "shop", "vm");
    let spec = json!({"address": "192.0.2.7", "labels": {"app": "httpbin", "version": "v2"}});
    add(&mut outside, &Object::new(entry).with("spec", spec));
    assert_eq!(findings(&mut outside), []);
    let pod = cluster.objects[&ObjectRef::new(Kind::Pod, "shop", "httpbin-1")].clone();
    add(&mut cluster, &pod.with_label("version", "v2"));
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_subset_by_what_istiod_adds_to_the_labels() {
    let mut cluster = with_subset();
    let labels = json!({"topology.kubernetes.io/zone": "a"});
    let subsets = json!([{"name": "v2", "labels": labels}]);
    let spec = json!({"host": "httpbin", "subsets": subsets});
    add(&mut cluster, &rule("shop", "httpbin", &spec));
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_destination_rule_that_takes_the_gateways_identity() {
    let policy = |mode: &str| json!({"tls": {"mode": mode}});
    let of_port = |settings: Value| {
        let mut settings = settings;
        settings["port"] = json!({"number": 8000});
        json!({"portLevelSettings": [settings], "tls": {"mode": "DISABLE"}})
    };
    for (policy, is_fault) in [
        (policy("DISABLE"), true),
        (policy("SIMPLE"), true),
        (of_port(json!({"tls": {"mode": "SIMPLE"}})), true),
        (
            of_port(json!({"loadBalancer": {"simple": "RANDOM"}})),
            false,
        ),
        (policy("ISTIO_MUTUAL"), false),
        (json!({"loadBalancer": {"simple": "RANDOM"}}), false),
    ] {
        for mut cluster in both() {
            let spec = json!({"host": FULL, "trafficPolicy": policy});
            add(&mut cluster, &rule("shop", "httpbin", &spec));
            if is_fault {
                only(&mut cluster, "service/anonymous", ERROR);
            } else {
                assert_eq!(findings(&mut cluster), [], "{policy}");
            }
        }
    }
}

#[test]
fn a_destination_rule_for_many_services() {
    for (namespace, host) in [
        ("istio-system", "*.local"),
        ("istio-system", "*.shop.svc.cluster.local"),
        ("istio-system", FULL),
        ("shop", "*"),
        ("shop", "*.svc.cluster.local"),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &with_mode(namespace, host, "DISABLE"));
            let finding = only_until_repaired(&mut cluster, "service/anonymous", ERROR);
            let named = format!("{namespace}/theirs");
            assert!(finding.seen.contains(&named), "{}", finding.seen);
        }
    }
}

#[test]
fn destination_rules_that_do_not_act_on_the_gateway_are_no_fault() {
    let disabling = |namespace, host| with_mode(namespace, host, "DISABLE");
    let everywhere = disabling("istio-system", "*.local");
    let balancing = json!({"host": FULL, "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}});
    let mutual = json!({"host": "*.shop.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}});
    for rules in [
        vec![disabling("team", "*.local")],
        vec![disabling("istio-system", "httpbin")],
        vec![disabling("shop", "httpbin.shop")],
        vec![disabling("shop", "*.team.svc.cluster.local")],
        vec![exported(&disabling("shop", FULL), &json!(["."]))],
        vec![exported(&disabling("shop", "httpbin"), &json!(["shop"]))],
        vec![exported(&disabling("shop", "httpbin"), &json!(["team"]))],
        // The closer host counts, and the namespace of the Service before that of the mesh.
        vec![everywhere.clone(), rule("shop", "own", &balancing)],
        vec![everywhere.clone(), rule("istio-system", "own", &mutual)],
        vec![everywhere, rule("shop", "own", &mutual)],
    ] {
        for mut cluster in both() {
            for rule in &rules {
                add(&mut cluster, rule);
            }
            assert_eq!(findings(&mut cluster), [], "{rules:#?}");
        }
    }
}

#[test]
fn a_destination_rule_for_the_gateways_own_namespace_counts_first() {
    let private = with_mode("istio-system", "*.local", "DISABLE");
    let mutual = json!({"host": FULL, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}});
    for to in [json!(["."]), json!(["istio-system"])] {
        for mut cluster in both() {
            add(&mut cluster, &rule("shop", "own", &mutual));
            add(&mut cluster, &exported(&private, &to));
            only_until_repaired(&mut cluster, "service/anonymous", ERROR);
        }
    }
}

#[test]
fn a_wildcard_rule_to_pods_that_take_connections_of_the_mesh_only() {
    for mut cluster in both() {
        let strict = ObjectRef::new(Kind::PeerAuthentication, "shop", "theirs");
        let spec = json!({"mtls": {"mode": "STRICT"}});
        add(&mut cluster, &Object::new(strict).with("spec", spec));
        add(
            &mut cluster,
            &with_mode("istio-system", "*.local", "DISABLE"),
        );
        only_until_repaired(&mut cluster, "service/tls-mismatch", ERROR);
    }
}

/// The cluster whose mesh has another root namespace than that of its ingress gateway.
fn with_root_elsewhere() -> Cluster {
    let mut cluster = plain();
    let mesh = crate::resources::environment::mesh_config();
    let mesh = Object::new(mesh).with("data", json!({"mesh": "rootNamespace: istio-config\n"}));
    add(&mut cluster, &mesh);
    assert_eq!(findings(&mut cluster), []);
    cluster
}

#[test]
fn a_rule_in_the_namespace_of_the_gateway_counts_first() {
    for to in [json!([]), json!(["."]), json!(["*"])] {
        let mut cluster = with_root_elsewhere();
        add(&mut cluster, &with_mode("shop", FULL, "ISTIO_MUTUAL"));
        assert_eq!(findings(&mut cluster), []);
        let closer = exported(&with_mode("istio-system", FULL, "DISABLE"), &to);
        add(&mut cluster, &closer);
        only(&mut cluster, "service/anonymous", ERROR);
    }
}

#[test]
fn a_rule_for_an_istiod_of_another_revision_counts_for_nothing() {
    let mut cluster = plain();
    let rule = with_mode("shop", FULL, "DISABLE");
    add(
        &mut cluster,
        &rule.clone().with_label("istio.io/rev", "canary"),
    );
    assert_eq!(findings(&mut cluster), []);
    add(&mut cluster, &rule.with_label("istio.io/rev", "default"));
    only(&mut cluster, "service/anonymous", ERROR);
}

/// The cluster whose mesh configuration says this.
fn with_mesh(text: &str) -> Cluster {
    let mut cluster = plain();
    let mesh = crate::resources::environment::mesh_config();
    let mesh = Object::new(mesh).with("data", json!({"mesh": text}));
    add(&mut cluster, &mesh);
    assert_eq!(findings(&mut cluster), []);
    cluster
}

#[test]
fn a_mesh_whose_rules_are_private_by_default() {
    let private = || with_mesh("defaultDestinationRuleExportTo: [\".\"]\n");
    let disabling = with_mode("shop", FULL, "DISABLE");
    let mut cluster = private();
    add(&mut cluster, &disabling);
    assert_eq!(findings(&mut cluster), []);
    add(&mut cluster, &exported(&disabling, &json!(["*"])));
    only_until_repaired(&mut cluster, "service/anonymous", ERROR);
    // Of the root namespace it is for the proxies there, and counts first.
    let mut cluster = private();
    let mutual = with_mode("shop", FULL, "ISTIO_MUTUAL");
    add(&mut cluster, &exported(&mutual, &json!(["*"])));
    add(&mut cluster, &with_mode("istio-system", FULL, "DISABLE"));
    only_until_repaired(&mut cluster, "service/anonymous", ERROR);
}

#[test]
fn a_subset_of_a_rule_that_the_gateway_does_not_see() {
    let default = "defaultDestinationRuleExportTo: [\".\"]\n";
    let with_v2 = |rule: &Object| {
        let mut cluster = with_subset();
        let mut pod = cluster.objects[&ObjectRef::new(Kind::Pod, "shop", "httpbin-1")].clone();
        pod = pod.with_label("version", "v2");
        add(&mut cluster, &pod);
        add(&mut cluster, rule);
        cluster
    };
    let mut by_default = with_v2(&of_v2());
    assert_eq!(findings(&mut by_default), []);
    let mesh = crate::resources::environment::mesh_config();
    add(
        &mut by_default,
        &Object::new(mesh).with("data", json!({"mesh": default})),
    );
    let by_itself = with_v2(&exported(&of_v2(), &json!(["."])));
    for mut cluster in [by_default, by_itself] {
        let finding = only_until_repaired(&mut cluster, "route/subset", ERROR);
        let words = "DestinationRule shop/httpbin defines it and is not exported";
        assert!(finding.seen.contains(words), "{}", finding.seen);
    }
}

#[test]
fn a_rule_in_the_namespace_of_the_gateway_for_proxies_elsewhere_counts_for_nothing() {
    let mut cluster = with_root_elsewhere();
    let elsewhere = exported(
        &with_mode("istio-system", FULL, "DISABLE"),
        &json!(["team"]),
    );
    add(&mut cluster, &elsewhere);
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_rule_for_some_workloads_counts_where_it_selects_the_gateway() {
    for namespace in ["istio-system", "shop"] {
        for labels in [
            json!({"istio": "ingressgateway"}),
            json!({"app": "httpbin"}),
        ] {
            for mut cluster in [plain(), with_root_elsewhere()] {
                let mut spec = with_mode(namespace, FULL, "DISABLE")
                    .at(&["spec"])
                    .unwrap()
                    .clone();
                spec["workloadSelector"] = json!({"matchLabels": labels});
                add(&mut cluster, &rule(namespace, "theirs", &spec));
                if namespace == "istio-system" && labels["istio"] == "ingressgateway" {
                    only_until_repaired(&mut cluster, "service/anonymous", ERROR);
                } else {
                    assert_eq!(findings(&mut cluster), [], "{namespace} {labels}");
                }
            }
        }
    }
}
