//! Namespaces that join or leave after `expose`.

use super::*;

#[test]
fn a_namespace_that_joins_later_is_found_keeps_nobody_from_revoking_and_is_mended() {
    for (world, first) in [
        (Cluster::helm(), HELM_NAMESPACE),
        (Cluster::plain(), "istio-system"),
    ] {
        let mut cluster = world;
        let [ada, ben] = ["ada", "ben"].map(|name| cluster.issue(name));
        run(&mut cluster, &only(&["ada"]), HOST);
        let mut cluster = cluster.with_proxies_in("edge");
        let found = findings(&mut cluster);
        let [finding] = found.as_slice() else {
            panic!("{found:#?}");
        };
        assert!(finding.starts_with("Error"), "{finding}");
        for text in [
            "also run in `edge`",
            "AuthorizationPolicy edge/",
            "Secret edge/kyma-mtls-cacert",
            &format!("kubectl mtls expose httpbin -n shop --ingress {first}/"),
            ",edge/",
        ] {
            assert!(finding.contains(text), "{finding}");
        }
        // They have no server Secret, and serve nobody.
        assert_eq!(admits(&cluster, ada), [Some(200), Some(200), None]);
        cluster.run(&revoke_request("ben")).unwrap();
        // A user who may start Pods in some namespace must not get the key or access to the Service by their labels.
        let written = cluster.writes.len();
        let report = run(&mut cluster, &plain_request(), HOST);
        assert_eq!(cluster.writes[written..], [] as [&str; 0]);
        let notes = report.notes.join("\n");
        assert!(
            notes.contains(&format!("--ingress {first}/SERVICE,edge/SERVICE")),
            "{notes}"
        );
        assert_eq!(admits(&cluster, ada), [Some(200), Some(200), None]);
        // `--ingress` names the Services in front of all Pods, the one first that clients are sent to.
        let request = naming_services_in(&[first, "edge"], &cluster);
        run(&mut cluster, &request, HOST);
        assert_eq!(admits(&cluster, ada), [Some(200); 3]);
        assert_eq!(admits(&cluster, ben), [None; 3]);
        let note = cluster.objects[&gateway()].annotation(INGRESS_ANNOTATION);
        assert_eq!(note, Some(format!("{first},edge").as_str()));
        assert_eq!(findings(&mut cluster), Vec::<String>::new());
        let written = cluster.writes.len();
        run(&mut cluster, &request, HOST);
        assert_eq!(cluster.writes[written..], [] as [&str; 0]);
        run(&mut cluster, &plain_request(), HOST);
        assert_eq!(cluster.writes[written..], [] as [&str; 0]);
    }
}

#[test]
fn a_namespace_without_proxies_any_more_holds_nothing_up_and_is_cleared_in_the_end() {
    let mut cluster = helm();
    cluster.issue("ben");
    run(&mut cluster, &plain_request(), HOST);
    let pod = ObjectRef::new(Kind::Pod, "edge", "istio-ingress-1");
    cluster.objects.remove(&pod).unwrap();
    cluster.proxies.further.clear();
    cluster.load();
    assert_eq!(findings(&mut cluster), Vec::<String>::new());
    cluster.run(&revoke_request("ben")).unwrap();
    let written = cluster.writes.len();
    let report = run(&mut cluster, &plain_request(), HOST);
    // Their identity is not admitted to the Pods any more.
    let policy = "apply AuthorizationPolicy shop/httpbin-mtls";
    assert_eq!(cluster.writes[written..], [policy]);
    assert!(report.looked.unwrap().replicas_unknown.is_none());
    cluster.run(&unexpose_request()).unwrap();
    for kind in [Kind::Secret, Kind::AuthorizationPolicy] {
        assert_eq!(beside(&cluster, "edge", kind), Vec::<String>::new());
    }
}

#[test]
fn a_guard_and_a_secret_that_lack_in_one_namespace_are_found_and_restored() {
    let mut cluster = helm();
    cluster.issue("ada");
    run(&mut cluster, &only(&["ada"]), HOST);
    let names: BTreeSet<ObjectRef> = cluster.objects.keys().cloned().collect();
    for name in names {
        let is_read = matches!(name.kind, Kind::Secret | Kind::AuthorizationPolicy);
        if name.namespace != "edge" || !is_read {
            continue;
        }
        cluster.objects.remove(&name);
        cluster.load();
        let found = findings(&mut cluster);
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
        assert!(found[0].contains(&name.to_string()), "{found:?}");
        cluster.run(&plain_request()).unwrap();
        assert!(cluster.objects.contains_key(&name), "{name}");
        assert_eq!(findings(&mut cluster), Vec::<String>::new());
    }
}
