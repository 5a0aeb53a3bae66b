//! The shared instance, and how a test reads and writes its objects.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use sandbox::{Environment, Instance};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(15);

pub fn instance() -> &'static Instance {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| Instance::start(Environment::KymaDefault).unwrap())
}

/// A namespace, and a client for what is in it.
pub struct Cluster {
    pub client: kube::Client,
    pub namespace: &'static str,
}

impl Cluster {
    pub async fn with_namespace(namespace: &'static str) -> Self {
        let client = instance().client().unwrap();
        let mut object = Namespace::default();
        object.metadata.name = Some(namespace.into());
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Self { client, namespace }
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        self.api_in(self.namespace, kind)
    }

    pub fn api_in(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    /// Creates an object from kind, name and spec.
    pub async fn create(&self, kind: &str, name: &str, spec: Value) {
        self.try_create(kind, name, spec).await.unwrap();
    }

    pub async fn try_create(
        &self,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> kube::Result<DynamicObject> {
        let object = DynamicObject::new(name, &resource(kind)).data(json!({ "spec": spec }));
        self.api(kind).create(&PostParams::default(), &object).await
    }

    /// Waits until the object has the state; returns it.
    pub async fn await_state(&self, kind: &str, name: &str, state: &str) -> DynamicObject {
        let wanted = |object: &DynamicObject| object.data["status"]["state"] == state;
        await_object(&self.api(kind), name, wanted).await
    }

    pub async fn names(&self, kind: &str) -> Vec<String> {
        let list = self
            .api(kind)
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        list.items
            .into_iter()
            .filter_map(|object| object.metadata.name)
            .collect()
    }
}

/// Waits until an object is as wanted; fails with its last state.
pub async fn await_object(
    api: &Api<DynamicObject>,
    name: &str,
    wanted: impl Fn(&DynamicObject) -> bool,
) -> DynamicObject {
    let begin = Instant::now();
    loop {
        let object = api.get_opt(name).await.unwrap();
        if let Some(object) = object.as_ref().filter(|object| wanted(object)) {
            return object.clone();
        }
        assert!(begin.elapsed() < PATIENCE, "{name} is {object:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn resource(kind: &str) -> ApiResource {
    let (group, version, plural) = match kind {
        "Secret" => ("", "v1", "secrets"),
        "Service" => ("", "v1", "services"),
        "Gateway" => ("networking.istio.io", "v1", "gateways"),
        "VirtualService" => ("networking.istio.io", "v1", "virtualservices"),
        "AuthorizationPolicy" => ("security.istio.io", "v1", "authorizationpolicies"),
        "RequestAuthentication" => ("security.istio.io", "v1", "requestauthentications"),
        "APIRule" => ("gateway.kyma-project.io", "v2", "apirules"),
        "Certificate" => ("cert.gardener.cloud", "v1alpha1", "certificates"),
        "DNSEntry" => ("dns.gardener.cloud", "v1alpha1", "dnsentries"),
        "DNSProvider" => ("dns.gardener.cloud", "v1alpha1", "dnsproviders"),
        other => panic!("no kind {other}"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
