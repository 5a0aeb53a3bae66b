//! Gateways that are kept in Git: the change is made there, and the Secret that they read meanwhile stays open.

use super::*;

#[test]
fn a_gateway_that_is_kept_in_git_is_moved_there_and_only_then_the_old_secret_closes() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    let trusted = bundle(desk);
    let mut live = desk.get(NAMESPACE, GATEWAYS, "kyma-mtls-gateway");
    let mut manifest = json!({
        "apiVersion": live["apiVersion"], "kind": "Gateway",
        "metadata": {"namespace": NAMESPACE, "name": "kyma-mtls-gateway"}, "spec": live["spec"].take(),
    });
    let sync = |manifest: &Value| {
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=argocd-controller",
            "-f",
            "-",
        ];
        desk.kubectl(&apply, &manifest.to_string());
    };
    sync(&manifest);
    for arguments in [&MOVE[..], &[&MOVE[..], &["--force-conflicts"]].concat()] {
        desk.run(arguments)
            .exits(0)
            .says("waiting for Git: Argo CD manages the Gateway")
            .says(&format!("caCertCredentialName: {FIELD}"));
        assert_eq!(servers(desk), manifest["spec"]["servers"]);
        assert_eq!(bundle(desk), trusted);
        assert_eq!(authority(desk)["data"]["ca.crt"], trusted);
    }
    manifest["spec"]["servers"][0]["tls"]["caCertCredentialName"] = FIELD.into();
    sync(&manifest);
    desk.run(&["expose", "httpbin"]).exits(0).says(CLOSED);
    is_moved(desk, &trusted);
    tutorial.await_client(&tutorial.httpbin);
}

#[test]
fn while_a_gateway_waits_for_git_a_revocation_reaches_the_secret_that_it_reads() {
    let shop = Shop::open("waits", &["alice", "bob"]);
    let desk = &shop.desk;
    shop.unmove();
    let change = |kind: &str, patch: &str| {
        let place = [
            "-n",
            &desk.namespace,
            "patch",
            GATEWAYS,
            "kyma-mtls-gateway",
        ];
        desk.kubectl(&[&place[..], &[kind, "-p", patch]].concat(), "");
    };
    let mark = r#"{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":"shop"}}}"#;
    change("--type=merge", mark);
    desk.run(&MOVE)
        .exits(0)
        .says("waiting for Git: Argo CD manages the Gateway");
    shop.admits("alice");
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
    shop.admits("bob");
    let own = format!("configmap://kubectl-mtls/{}", shop.authority);
    let field = "/spec/servers/0/tls/caCertCredentialName";
    let named = json!([{"op": "replace", "path": field, "value": own}]);
    change("--type=json", &named.to_string());
    desk.run(&["expose", "httpbin"]).exits(0).says("is gone");
    shop.refuses("alice");
    shop.admits("bob");
}
