//! Faults of `APIRules`.

use super::*;

/// Kyma with another Service beside the exposed one, and its Pod.
fn with_another_service() -> Cluster {
    let mut cluster = kyma();
    let pod = cluster.objects[&ObjectRef::new(Kind::Pod, "shop", "httpbin-1")].clone();
    let spec = json!({"selector": {"app": "other"}, "ports": [{"name": "http", "port": 80}]});
    let name = ObjectRef::new(Kind::Service, "shop", "other");
    add(&mut cluster, &Object::new(name).with("spec", spec));
    let name = ObjectRef::new(Kind::Pod, "shop", "other-1");
    let spec = pod.at(&["spec"]).unwrap().clone();
    let other = Object::new(name)
        .with_label("app", "other")
        .with("spec", spec);
    add(
        &mut cluster,
        &other.with("status", pod.at(&["status"]).unwrap().clone()),
    );
    cluster
}

/// Kyma's controller does not watch it, and makes it again half an hour later at the earliest.
#[test]
fn the_policy_that_kyma_made_for_the_pods_is_gone_or_admits_everybody() {
    let policy = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "httpbin-mtls-x7k2p");
    let id = "workload/open";
    let mut cluster = kyma();
    cluster.now += time::Duration::minutes(1);
    let mut changed = cluster.clone();
    remove(&mut cluster, &policy);
    let finding = only_until_repaired(&mut cluster, id, Severity::Warning);
    let words = "although Kyma makes one for the APIRule shop/httpbin-mtls";
    assert!(finding.seen.ends_with(words), "{}", finding.seen);
    edit(&mut changed, &policy, |spec| spec["rules"] = json!([{}]));
    only_until_repaired(&mut changed, id, Severity::Warning);
}

#[test]
fn an_api_rule_of_ours_that_leads_to_another_service() {
    let other = json!({"name": "other", "port": 80});
    let elsewhere = json!({"name": "httpbin", "namespace": "team", "port": 8000});
    let changes: [Change; 4] = [
        Box::new({
            let other = other.clone();
            move |spec| spec["service"] = other.clone()
        }),
        Box::new({
            let other = other.clone();
            move |spec| spec["rules"][0]["service"] = other.clone()
        }),
        Box::new(move |spec| {
            let mut second = spec["rules"][0].clone();
            second["path"] = "/b".into();
            second["service"] = other.clone();
            spec["rules"].as_array_mut().unwrap().push(second);
        }),
        Box::new(move |spec| spec["service"] = elsewhere.clone()),
    ];
    for change in changes {
        let mut cluster = with_another_service();
        let route = own_route(&cluster);
        edit(&mut cluster, &route, change);
        let asked = Request {
            only: Some("httpbin".to_owned()),
            ..request()
        };
        let found = cluster.run(&asked).unwrap().findings;
        assert_eq!(found[0].check.id, "route/edited");
        let finding = only_until_repaired(&mut cluster, "route/edited", ERROR);
        assert_eq!(finding.remedy, "kubectl mtls expose httpbin -n shop");
    }
}

#[test]
fn an_api_rule_of_ours_whose_rules_name_its_service_again() {
    let mut cluster = with_another_service();
    let route = own_route(&cluster);
    edit(&mut cluster, &route, |spec| {
        spec["rules"][0]["service"] = spec["service"].clone();
        spec["service"] = json!({"name": "other", "port": 80});
    });
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn an_api_rule_of_somebody_else_may_lead_anywhere() {
    let mut cluster = with_another_service();
    let route = own_route(&cluster);
    edit(&mut cluster, &route, |spec| {
        spec["service"] = json!({"name": "other", "port": 80});
    });
    let theirs = cluster.objects[&route].clone();
    add(
        &mut cluster,
        &theirs.without_label("app.kubernetes.io/managed-by"),
    );
    assert_eq!(findings(&mut cluster), []);
}
