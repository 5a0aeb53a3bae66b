//! Users have the rights they were given, and the audit log tells what they did.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchParams};
use kube::config::Kubeconfig;
use sandbox::{Rule, User};

use crate::shared;

fn client_of(user: &User) -> Client {
    Client::try_from(Kubeconfig::read_from(&user.kubeconfig).unwrap()).unwrap()
}

#[tokio::test]
async fn a_user_may_do_what_its_rules_say_and_nothing_else() {
    let rules = [
        Rule::in_namespace("istio-system", "", &["secrets"], &["get"])
            .named(&["kyma-gateway-certs"]),
        Rule::in_cluster("", &["configmaps"], &["list"]),
    ];
    let client = client_of(&shared().user(&rules).unwrap());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    assert!(secrets.get("kyma-gateway-certs").await.is_ok());
    let maps: Api<ConfigMap> = Api::all(client);
    assert!(maps.list(&ListParams::default()).await.is_ok());

    for refused in [
        secrets.get("istio-ca-secret").await.err(),
        secrets.list(&ListParams::default()).await.err(),
    ] {
        assert!(matches!(refused, Some(kube::Error::Api(answer)) if answer.code == 403));
    }
}

#[tokio::test]
async fn the_audit_log_holds_every_request_of_a_user_in_order() {
    let sandbox = shared();
    let rules = [Rule::in_namespace(
        "default",
        "",
        &["configmaps"],
        &["get", "create", "delete", "watch"],
    )];
    let user = sandbox.user(&rules).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client_of(&user), "default");
    let map: ConfigMap =
        serde_json::from_value(serde_json::json!({"metadata": {"name": "audited"}})).unwrap();
    assert!(maps.get_opt("audited").await.unwrap().is_none());

    let mark = sandbox.audit_mark().unwrap();
    maps.create(
        &PostParams {
            dry_run: true,
            ..PostParams::default()
        },
        &map,
    )
    .await
    .unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.delete("audited", &DeleteParams::default())
        .await
        .unwrap();
    let refused = maps.list(&ListParams::default()).await.err();
    assert!(matches!(refused, Some(kube::Error::Api(answer)) if answer.code == 403));
    drop(maps.watch(&WatchParams::default(), "0").await.unwrap());
    assert!(maps.get_opt("audited").await.unwrap().is_none());

    let events = sandbox.audit_log_of(&user.name, mark).unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.verb.as_str(),
                event.resource.as_str(),
                event.namespace.as_str(),
                event.dry_run,
                event.code,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("create", "configmaps", "default", true, 201),
            ("create", "configmaps", "default", false, 201),
            ("delete", "configmaps", "default", false, 200),
            ("list", "configmaps", "default", false, 403),
            ("watch", "configmaps", "default", false, 200),
            ("get", "configmaps", "default", false, 404),
        ]
    );
}
