//! What is disturbed: a command, its namespace, and what stands in the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use kubectl_mtls::pki::bundle::Bundle;
use kubectl_mtls::resources::guard;
use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::{Environment, Instance};
use serde_json::{Value, json};

use crate::lab::{Desk, helm_job, main_job, no_namespace_on, own_namespace_on, plain_job};

/// Clients of others, whom no inventory knows.
const ALICE: &str = "spiffe://clients.example.com/alice";
const BOB: &str = "spiffe://clients.example.com/bob";

/// What is disturbed, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// `expose` on Kyma's default domain.
    Expose,
    /// The same with all that it can make: namespace, sample, DNS record, host guard.
    ExposeAll,
    /// `expose` with neither Kyma nor Gardener.
    ExposePlain,
    /// The same where the ingress gateway is a Helm release in a namespace of its own.
    ExposeHelm,
    /// `unexpose --purge` on Kyma's default domain.
    Purge,
    /// The same for a Gateway in another namespace, which was chosen with `--gateway`.
    PurgeChosen,
    /// `unexpose --purge` with neither Kyma nor Gardener.
    PurgePlain,
    /// The same beside a Helm release of the ingress gateway.
    PurgeHelm,
    /// A client is taken from the allow-list.
    Narrow,
    /// The allow-list is given up.
    Lift,
    /// `expose` where somebody changed the Gateway.
    Repair,
}

impl Scene {
    /// Those in which an exposed host is changed.
    pub(crate) const CHANGES: [Self; 3] = [Self::Narrow, Self::Lift, Self::Repair];
    pub(crate) const ALL: [Self; 11] = [
        Self::Expose,
        Self::ExposeAll,
        Self::ExposePlain,
        Self::ExposeHelm,
        Self::Purge,
        Self::PurgeChosen,
        Self::PurgePlain,
        Self::PurgeHelm,
        Self::Narrow,
        Self::Lift,
        Self::Repair,
    ];

    pub(super) fn is_purge(self) -> bool {
        matches!(
            self,
            Self::Purge | Self::PurgeChosen | Self::PurgePlain | Self::PurgeHelm
        )
    }

    fn instance(self) -> Arc<Instance> {
        let instance = match self {
            Self::ExposePlain | Self::PurgePlain => &plain_job().instance,
            Self::ExposeHelm | Self::PurgeHelm => &helm_job().instance,
            _ => &main_job().desk.instance,
        };
        instance.clone()
    }
}

/// One namespace with the echo, and what is done in it.
pub(super) struct Stand {
    scene: Scene,
    pub(super) desk: Desk,
    pub(super) host: String,
    gateway: GatewayName,
    pub(super) authority: String,
}

impl Stand {
    pub(super) fn new(scene: Scene, purpose: &str) -> Self {
        let instance = scene.instance();
        let (desk, host) = match scene {
            Scene::ExposeAll => no_namespace_on(&instance, purpose),
            _ => own_namespace_on(&instance, purpose),
        };
        let gateway = match scene {
            Scene::PurgeChosen => {
                let elsewhere = format!("{}-edge", desk.namespace);
                instance.deploy_echo(&elsewhere, "neighbour").unwrap();
                GatewayName::new(elsewhere, "chosen")
            }
            _ => GatewayName::new(&desk.namespace, "kyma-mtls-gateway"),
        };
        let stand = Self {
            scene,
            host,
            authority: CredentialNames::further(&gateway).authority,
            gateway,
            desk,
        };
        if scene.is_purge() || Scene::CHANGES.contains(&scene) {
            let gateway = stand.gateway.to_string();
            let chosen: &[&str] = match scene {
                Scene::PurgeChosen => &["--gateway", &gateway],
                Scene::Narrow | Scene::Lift => &["--allow", ALICE, "--allow", BOB],
                _ => &[],
            };
            let expose = [&stand.expose()[..], chosen].concat();
            stand.desk.run(&expose).exits(0);
        }
        if scene == Scene::Repair {
            // Nobody is let in meanwhile: no server certificate, no listener.
            let change = json!([{
                "op": "replace", "path": "/spec/servers/0/tls/credentialName", "value": "other",
            }]);
            let name = &stand.gateway.name;
            let kind = "gateways.networking.istio.io";
            let patch = ["-n", &stand.gateway.namespace, "patch", kind, name];
            let change = ["--type=json", "-p", &change.to_string()];
            stand.desk.kubectl(&[&patch[..], &change].concat(), "");
        }
        stand
    }

    /// What ends with its last write, so that the numbers of its last requests are those of its writes.
    fn change(flags: &[&'static str]) -> Vec<&'static str> {
        [&["expose", "httpbin", "--no-wait"][..], flags].concat()
    }

    fn expose(&self) -> Vec<&str> {
        vec![
            "expose",
            "httpbin",
            "--host",
            &self.host,
            "--timeout",
            "60s",
        ]
    }

    pub(super) fn arguments(&self) -> Vec<&str> {
        match self.scene {
            Scene::Purge | Scene::PurgeChosen | Scene::PurgePlain | Scene::PurgeHelm => {
                vec!["unexpose", "httpbin", "--purge", "--yes"]
            }
            Scene::Expose | Scene::ExposePlain | Scene::ExposeHelm => self.expose(),
            Scene::Narrow => Self::change(&["--allow-remove", BOB]),
            Scene::Lift => Self::change(&["--allow-any"]),
            Scene::Repair => Self::change(&[]),
            Scene::ExposeAll => vec![
                "expose",
                "--sample",
                "--create-namespace",
                "--inject",
                "--allow",
                "spiffe://clients.example.com/alice",
                "--host",
                &self.host,
                "--no-wait",
            ],
        }
    }

    /// The namespace of the proxies.
    pub(super) fn ingress(&self) -> &str {
        &self.desk.instance.gateways()[0].namespace
    }

    /// Whether neither Kyma nor Gardener is there.
    fn is_plain(&self) -> bool {
        let kyma = [Environment::KymaDefault, Environment::KymaCustom];
        !kyma.contains(&self.desk.instance.environment())
    }

    /// The guards beside the proxies, and what they are called in an outline.
    fn guards(&self) -> [(String, &'static str); 2] {
        let gateway = GatewayName::new(&self.desk.namespace, "kyma-mtls-gateway");
        [
            (
                guard::headers_reference(self.ingress(), &gateway).name,
                "HEADER-GUARD",
            ),
            (
                guard::host_reference(self.ingress(), &self.desk.namespace, "httpbin").name,
                "HOST-GUARD",
            ),
        ]
    }

    /// The same command again: it ends what was begun, or finds that nothing is left to do.
    #[track_caller]
    pub(super) fn rerun(&self) {
        let run = self.desk.run(&self.arguments());
        if self.scene.is_purge() && run.code == 2 {
            run.says("is not exposed");
        } else if self.scene == Scene::Narrow && run.code == 2 {
            run.says("is not on the allow-list");
        } else {
            run.exits(0);
        }
        // No Pod of the sample will ever serve; all else is waited for.
        if self.arguments().contains(&"--no-wait") {
            self.desk.run(&["expose", "httpbin"]).exits(0);
        }
    }

    /// What stands in the end, without what differs from run to run.
    pub(super) fn end_state(&self) -> Vec<String> {
        let gateways = "apis/networking.istio.io/v1/gateways";
        let is_plain = self.is_plain();
        let (own, beside_the_proxies) = if is_plain {
            (
                [gateways, "apis/networking.istio.io/v1/virtualservices"],
                &["api/v1/secrets"][..],
            )
        } else {
            (
                [gateways, "apis/gateway.kyma-project.io/v2/apirules"],
                &[
                    "api/v1/secrets",
                    "apis/cert.gardener.cloud/v1alpha1/certificates",
                ][..],
            )
        };
        let more: &[&str] = match self.scene {
            Scene::ExposeAll => &[
                "api/v1/configmaps",
                "api/v1/serviceaccounts",
                "apis/apps/v1/deployments",
                "apis/dns.gardener.cloud/v1alpha1/dnsentries",
            ],
            _ if is_plain => &["api/v1/configmaps"],
            _ => &[
                "api/v1/configmaps",
                "apis/dns.gardener.cloud/v1alpha1/dnsentries",
            ],
        };
        let own = &[&own[..], more].concat()[..];
        let mut stands = Vec::new();
        for (namespace, kinds) in [
            (self.desk.namespace.as_str(), own),
            (self.gateway.namespace.as_str(), own),
            (self.ingress(), beside_the_proxies),
            (
                self.ingress(),
                &["apis/security.istio.io/v1/authorizationpolicies"],
            ),
            ("kubectl-mtls", &["api/v1/configmaps"][..]),
        ] {
            for kind in kinds {
                let (api, plural) = kind.rsplit_once('/').unwrap();
                let list = self.read(&format!("/{api}/namespaces/{namespace}/{plural}"));
                let items = list["items"].as_array().unwrap();
                let is_own = |item: &&Value| {
                    let name = item["metadata"]["name"].as_str().unwrap();
                    name.starts_with(&self.authority)
                        || self.guards().iter().any(|(guard, _)| name == guard)
                        || namespace == self.desk.namespace
                        || namespace == self.gateway.namespace
                };
                let outlines = items.iter().filter(is_own);
                stands.extend(outlines.map(|item| format!("{plural} {}", self.outline(item))));
            }
        }
        stands.sort();
        stands.dedup();
        stands
    }

    /// What the API server answers to a GET; its Status where there is nothing. A kubectl each time would take too long.
    fn read(&self, path: &str) -> Value {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        // The client begins to work where it is made.
        let answer = runtime.block_on(async {
            let client = self.desk.instance.client().unwrap();
            client.request_text(request).await
        });
        match answer {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(kube::Error::Api(status)) if status.code == 404 => json!({"kind": "Status"}),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    fn outline(&self, item: &Value) -> String {
        let keys = |value: &Value| -> Vec<String> {
            let fields = value.as_object();
            fields
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone())
                .collect()
        };
        let metadata = &item["metadata"];
        // The issuer's own label is a hash over the host, which is that of the namespace.
        let mut labels = metadata["labels"].clone();
        labels
            .as_object_mut()
            .unwrap()
            .remove("cert.gardener.cloud/hash");
        let text = format!(
            "{} {} {:?} {} {:?}",
            metadata["name"],
            labels,
            keys(&metadata["annotations"]),
            ordered(&item["spec"]),
            keys(&item["data"]),
        );
        let text = self
            .guards()
            .iter()
            .fold(text, |text, (guard, called)| text.replace(guard, called));
        text.replace(&self.authority, "AUTHORITY")
            .replace(&self.desk.namespace, "NAMESPACE")
    }

    /// The CAs that the gateway may ever offer for the host: those of the authority that stands in the end, or stood before.
    pub(super) fn may_be_offered(&self) -> BTreeSet<Vec<u8>> {
        let authority = &self.authority;
        let object = self.read(&format!(
            "/api/v1/namespaces/kubectl-mtls/configmaps/{authority}"
        ));
        if object["kind"] == "Status" {
            return BTreeSet::new();
        }
        let bundle = Bundle::parse(object["data"]["ca.crt"].as_str().unwrap()).unwrap();
        bundle
            .subjects_der()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// Lists of texts in order: a failed route is applied again with its methods in another one.
fn ordered(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(ordered).collect();
            list.sort_by_key(ToString::to_string);
            list.into()
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), ordered(value)))
            .collect(),
        other => other.clone(),
    }
}
