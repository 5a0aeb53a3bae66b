//! Faults of VirtualServices.

use super::*;

#[test]
fn a_virtual_service_that_is_gone_under_a_ready_api_rule() {
    let mut cluster = kyma();
    cluster.now += time::Duration::minutes(1);
    remove(&mut cluster, &made());
    only_until_repaired(&mut cluster, "route/virtual-service-missing", ERROR);
}

#[test]
fn a_virtual_service_that_was_edited_under_a_ready_api_rule() {
    let to = |field: &'static str, value: Value| (field, value);
    for (pointer, value) in [
        to("/hosts", json!(["other.mtls.c-1.kyma.example.com"])),
        to("/gateways", json!(["shop/other"])),
        to(
            "/http/0/route/0/destination/host",
            "other.shop.svc.cluster.local".into(),
        ),
        to("/http/0/route/0/destination/port/number", 9000.into()),
        to("/http/0/headers", json!({})),
        to("/http", json!([])),
    ] {
        let mut cluster = kyma();
        cluster.now += time::Duration::minutes(1);
        edit(&mut cluster, &made(), |spec| {
            *spec.pointer_mut(pointer).unwrap() = value.clone();
        });
        only_until_repaired(&mut cluster, "route/virtual-service-edited", ERROR);
    }
}

#[test]
fn a_virtual_service_of_kyma_that_does_something_beside() {
    let beside = |fields: &[(&str, Value)]| {
        let mut entry = json!({});
        for (field, value) in fields {
            entry[*field] = value.clone();
        }
        entry
    };
    let header = json!([{"headers": {"x-canary": {"exact": "1"}}}]);
    for fields in [
        beside(&[("fault", json!({"abort": {"httpStatus": 503}}))]),
        beside(&[("rewrite", json!({"authority": "other"}))]),
        beside(&[("mirror", json!({"host": "spy.team.svc.cluster.local"}))]),
        beside(&[("timeout", json!("0.001s"))]),
        beside(&[("match", header)]),
    ] {
        let mut cluster = kyma();
        cluster.now += time::Duration::minutes(1);
        edit(&mut cluster, &made(), |spec| {
            let entry = spec["http"][0].as_object_mut().unwrap();
            entry.extend(fields.as_object().unwrap().clone());
        });
        only_until_repaired(&mut cluster, "route/virtual-service-edited", ERROR);
    }
    let mut cluster = kyma();
    cluster.now += time::Duration::minutes(1);
    edit(&mut cluster, &made(), |spec| {
        let first = json!({"redirect": {"uri": "/"}});
        spec["http"].as_array_mut().unwrap().insert(0, first);
    });
    only_until_repaired(&mut cluster, "route/virtual-service-edited", ERROR);
}

#[test]
fn a_virtual_service_of_ours_that_does_something_beside() {
    let other = json!({"destination": {"host": "other.shop.svc.cluster.local"}, "weight": 50});
    let changes: [Change; 7] = [
        Box::new(|http| http[0]["fault"] = json!({"delay": {"fixedDelay": "5s"}})),
        Box::new(|http| http[0]["rewrite"] = json!({"uri": "/"})),
        Box::new(|http| http[0]["mirrors"] = json!([{"destination": {"host": "spy"}}])),
        Box::new(|http| http[0]["timeout"] = "1ms".into()),
        Box::new(move |http| {
            let ways = http[0]["route"].as_array_mut().unwrap();
            ways.push(other.clone());
        }),
        Box::new(|http| {
            let first = json!({"directResponse": {"status": 503}});
            http.as_array_mut().unwrap().insert(0, first);
        }),
        Box::new(|http| *http = json!([])),
    ];
    for change in changes {
        let mut cluster = plain();
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| {
            change(&mut spec["http"]);
        });
        only_until_repaired(&mut cluster, "route/edited", ERROR);
    }
    for harmless in [
        json!({"retries": {"attempts": 0}}),
        json!({"timeout": "0s"}),
        json!({"corsPolicy": {"allowOrigins": [{"exact": "https://example.com"}]}}),
    ] {
        let mut cluster = plain();
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| {
            let entry = spec["http"][0].as_object_mut().unwrap();
            entry.extend(harmless.as_object().unwrap().clone());
        });
        assert_eq!(findings(&mut cluster), [], "{harmless}");
    }
}

/// A `VirtualService` of somebody else for the host, on the same Gateway.
fn second(cluster: &Cluster, created: &str, entry: &Value) -> Object {
    let route = &cluster.objects[&own_route(cluster)];
    let spec = json!({
        "hosts": route.at(&["spec", "hosts"]), "gateways": ["shop/kyma-mtls-gateway"], "http": [entry],
    });
    let body = json!({
        "metadata": {"name": "theirs", "namespace": "shop", "creationTimestamp": created},
        "spec": spec,
    });
    Object::from_server(Kind::VirtualService, body).unwrap()
}

#[test]
fn a_second_virtual_service_for_the_host() {
    let all = json!({"route": [{"destination": {"host": "other"}}]});
    let some = json!({"match": [{"uri": {"prefix": "/x"}}], "directResponse": {"status": 503}});
    for (created, entry, severity) in [
        ("2020-01-01T00:00:00Z", &all, ERROR),
        ("2020-01-01T00:00:00Z", &some, Severity::Warning),
        ("2040-01-01T00:00:00Z", &all, Severity::Warning),
    ] {
        for mut cluster in both() {
            let theirs = second(&cluster, created, entry);
            add(&mut cluster, &theirs);
            only_until_repaired(&mut cluster, "route/duplicate-host", severity);
        }
    }
}

#[test]
fn routes_of_other_hosts_on_the_gateway_are_no_fault() {
    let all = json!({"directResponse": {"status": 404}});
    for hosts in [json!(["*"]), json!(["*.example.com"])] {
        for mut cluster in both() {
            let theirs = second(&cluster, "2020-01-01T00:00:00Z", &all);
            let mut spec = theirs.at(&["spec"]).unwrap().clone();
            spec["hosts"] = hosts.clone();
            add(&mut cluster, &theirs.with("spec", spec));
            assert_eq!(findings(&mut cluster), [], "{hosts}");
        }
    }
}
