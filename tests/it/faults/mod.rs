//! Commands killed after a request, or with a request that fails: a rerun reaches the end of an undisturbed run, and at no
//! moment does an Envoy trust anyone it should not.

mod stand;

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use sandbox::{AuditEvent, Caller, Fault, Interceptor, Watch};
use serde_json::json;

use crate::lab::{Desk, PLUGIN, gateway, requests};
use stand::Stand;

pub(crate) use stand::Scene;

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
