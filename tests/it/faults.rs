//! Commands killed after a request, or with a request that fails: a rerun reaches the end of an undisturbed run, and at no
//! moment does an Envoy trust anyone it should not.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kubectl_mtls::pki::bundle::Bundle;
use kubectl_mtls::resources::guard;
use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::{AuditEvent, Caller, Environment, Fault, Instance, Interceptor, Watch};
use serde_json::{Value, json};

use crate::lab::{
    Desk, PLUGIN, gateway, helm_job, main_job, no_namespace_on, own_namespace_on, plain_job,
    requests,
};

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

    fn is_purge(self) -> bool {
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
struct Stand {
    scene: Scene,
    desk: Desk,
    host: String,
    gateway: GatewayName,
    authority: String,
}

impl Stand {
    fn new(scene: Scene, purpose: &str) -> Self {
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

    fn arguments(&self) -> Vec<&str> {
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
    fn ingress(&self) -> &str {
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
    fn rerun(&self) {
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
    fn end_state(&self) -> Vec<String> {
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
    fn may_be_offered(&self) -> BTreeSet<Vec<u8>> {
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

/// Somebody without any certificate, and somebody whom the issuer of server certificates certified for clients too.
pub(crate) fn strangers(desk: &Desk) -> [Caller; 2] {
    let (certificate, key) = desk.instance.stand_ins().client_of_the_issuer().unwrap();
    let nobody = Caller::careless(desk.instance.connect_to());
    [nobody.clone(), nobody.with_certificate(&certificate, &key)]
}

/// Runs the plugin through the door; kills it when its planned request was done and is being held.
pub(crate) fn disturbed(desk: &Desk, arguments: &[&str], door: &Interceptor) -> Option<i32> {
    let mut child = Command::new(PLUGIN)
        .args(["-n", &desk.namespace])
        .args(arguments)
        .current_dir(desk.folder.path())
        .envs(desk.instance.variables())
        .envs(door.variables())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if door.is_holding() {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
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

/// What stands after an undisturbed run, and how many requests it sends before it looks at the gateway.
pub(crate) fn undisturbed(scene: Scene) -> &'static (Vec<String>, u32) {
    static ENDS: [OnceLock<(Vec<String>, u32)>; Scene::ALL.len()] =
        [const { OnceLock::new() }; Scene::ALL.len()];
    let place = Scene::ALL.iter().position(|known| *known == scene).unwrap();
    ENDS[place].get_or_init(|| {
        let stand = Stand::new(scene, "undisturbed");
        let door = Interceptor::open(&stand.desk.instance, stand.desk.folder.path()).unwrap();
        door.let_through();
        assert_eq!(disturbed(&stand.desk, &stand.arguments(), &door), Some(0));
        let requests = door.seen();
        if stand.arguments().contains(&"--no-wait") {
            stand.rerun();
        }
        (stand.end_state(), requests)
    })
}

/// One disturbance in a namespace of its own, then an undisturbed rerun; every Envoy is watched throughout.
///
/// Tells how often all of them were looked at.
#[track_caller]
pub(crate) fn recovers(scene: Scene, number: u32, fault: Fault) -> u64 {
    let (end, _) = undisturbed(scene);
    let stand = Stand::new(scene, "fault");
    let what = format!("{scene:?}, {fault:?} at {number}");
    let desk = &stand.desk;
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let mut may_be_offered = stand.may_be_offered();
    let begin = desk.instance.audit_mark().unwrap();
    let watch = Watch::start(&desk.instance, &stand.host, &strangers(&stand.desk)).unwrap();
    door.plan(number, fault);
    disturbed(&stand.desk, &stand.arguments(), &door);
    stand.rerun();
    // A purge by somebody who may not release the authority says so, ends well, and leaves it as it is.
    let keeps_authority = scene.is_purge() && fault == Fault::Answer(403);
    let counts = |line: &&String| !keeps_authority || !line.starts_with("configmaps \"AUTHORITY\"");
    let (now, end) = (stand.end_state(), end.iter().filter(counts));
    assert!(
        now.iter().filter(counts).eq(end.clone()),
        "{what}: {now:#?}, not {end:#?}"
    );
    let mark = desk.instance.audit_mark().unwrap();
    stand.rerun();
    let seen = watch.end().unwrap();
    may_be_offered.extend(stand.may_be_offered());
    assert!(seen.offered.is_subset(&may_be_offered), "{what}: {seen:?}");
    assert!(
        scene.is_purge() || !seen.offered.is_empty(),
        "{what}: not seen"
    );
    assert!(seen.admitted.is_empty(), "{what}: {seen:?}");
    let log = desk.instance.audit_log(mark).unwrap();
    let writes: Vec<&AuditEvent> = requests(&log)
        .into_iter()
        .filter(|event| event.request_uri.contains(&desk.namespace) && event.is_write())
        .collect();
    assert!(writes.is_empty(), "{what}: {writes:#?}");
    let log = desk.instance.audit_log(begin).unwrap();
    let lists_secrets = |event: &&AuditEvent| event.verb == "list" && event.resource == "secrets";
    assert!(!requests(&log).iter().any(lists_secrets), "{what}");
    seen.rounds
}

#[test]
fn a_gateway_that_fails_open_is_seen_by_the_watch() {
    let stand = Stand::new(Scene::Expose, "open");
    let (desk, name) = (&stand.desk, &stand.authority);
    let certificate = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"namespace": stand.ingress(), "name": name},
        "spec": {"commonName": stand.host, "secretName": name},
    });
    // No Secret with a client CA: istiod takes `ca.crt` of the server Secret in its place.
    let tls = json!({"mode": "MUTUAL", "credentialName": name});
    let open = gateway(&desk.namespace, "open", &[&stand.host], &tls);
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": desk.namespace, "name": "open"},
        "spec": {"hosts": [stand.host], "gateways": ["open"],
            "http": [{"route": [{"destination": {"host": "httpbin"}}]}]},
    });
    let watch = Watch::start(&desk.instance, &stand.host, &strangers(&stand.desk)).unwrap();
    desk.instance
        .create(vec![certificate, open, route])
        .unwrap();
    std::thread::sleep(Duration::from_secs(12));
    let seen = watch.end().unwrap();
    assert!(
        !seen.admitted.is_empty() && !seen.offered.is_empty(),
        "{seen:?}"
    );
    desk.kubectl(
        &[
            "-n",
            &desk.namespace,
            "delete",
            "gateways.networking.istio.io",
            "open",
        ],
        "",
    );
}

#[test]
fn a_killed_run_is_completed_by_the_next_one() {
    let (_, last) = undisturbed(Scene::Expose);
    // Reads change nothing: the writes are those that matter, and they come before the waits.
    for number in [last / 2, last / 2 + 2] {
        recovers(Scene::Expose, number, Fault::Hold);
    }
}

#[test]
fn a_failed_request_is_made_up_for_by_the_next_run() {
    let (_, last) = undisturbed(Scene::Expose);
    for (number, fault) in (last / 2..).zip([Fault::Answer(403), Fault::Answer(500), Fault::Drop]) {
        recovers(Scene::Expose, number, fault);
    }
}

#[test]
fn a_purge_that_is_killed_or_fails_is_completed_by_the_next_one_and_nobody_gets_in_meanwhile() {
    let (_, last) = undisturbed(Scene::Purge);
    recovers(Scene::Purge, last - 3, Fault::Hold);
    recovers(Scene::Purge, last / 2, Fault::Answer(409));
}

#[test]
fn a_purge_of_a_gateway_chosen_elsewhere_is_completed_by_the_same_command() {
    let (_, last) = undisturbed(Scene::PurgeChosen);
    // After the route, where nothing but what is left tells the Gateway; and before the last Secret.
    recovers(Scene::PurgeChosen, last / 2, Fault::Hold);
    recovers(Scene::PurgeChosen, last - 4, Fault::Hold);
}

#[test]
fn the_same_holds_without_kyma_and_gardener() {
    let (_, last) = undisturbed(Scene::ExposePlain);
    recovers(Scene::ExposePlain, last / 2, Fault::Hold);
    let (_, last) = undisturbed(Scene::PurgePlain);
    recovers(Scene::PurgePlain, last - 2, Fault::Hold);
}

#[test]
fn the_same_holds_beside_a_helm_release_of_the_ingress_gateway() {
    let (_, last) = undisturbed(Scene::ExposeHelm);
    recovers(Scene::ExposeHelm, last / 2, Fault::Hold);
    recovers(Scene::ExposeHelm, last / 2 + 1, Fault::Answer(403));
    let (_, last) = undisturbed(Scene::PurgeHelm);
    recovers(Scene::PurgeHelm, last - 2, Fault::Hold);
    // Somebody else changes the authority that is being released.
    recovers(Scene::PurgeHelm, last - 3, Fault::Answer(409));
}

#[test]
fn a_change_of_the_allow_list_or_a_repair_that_is_killed_is_completed_by_the_same_command() {
    let (_, last) = undisturbed(Scene::Narrow);
    // Between the route and the guard.
    recovers(Scene::Narrow, last - 1, Fault::Hold);
    let (_, last) = undisturbed(Scene::Lift);
    recovers(Scene::Lift, *last, Fault::Drop);
    let (_, last) = undisturbed(Scene::Repair);
    recovers(Scene::Repair, *last, Fault::Hold);
}
