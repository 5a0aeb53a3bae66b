//! The rights that `plugin.yaml` lists are enough with neither Kyma nor Gardener too, where other ones of them are used; and
//! what a run does there that comes weeks after the first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kubectl_mtls::pki::inspect::Certificate;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use sandbox::{Caller, Reply};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lab::{Desk, call, eventually, let_in};
use crate::rbac::{Cast, is_for_istio_alone};
use crate::situations::used;
use crate::stage::{NAMESPACE, SERVICE, Stage, plain_stage};

const HOST: &str = "httpbin.mtls.local.kyma.dev";

/// A Pod behind the Service, with a sidecar.
fn meshed_pod(stage: &Stage) {
    let service = stage.desk.get(NAMESPACE, "service", SERVICE);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": "meshed", "labels": service["spec"]["selector"]},
        "spec": {"containers": [{"name": "app", "image": "app"}, {"name": "istio-proxy", "image": "proxy"}]},
    });
    stage.desk.instance.create(vec![pod]).unwrap();
}

/// Puts a certificate of the same CA and of 90 days in the place of the server's, with so many days left.
fn ages(desk: &Desk, days: i64) {
    let ca = desk.get("kubectl-mtls", "secret", "kyma-mtls-server-ca");
    let [ca_pem, ca_key] = ["tls.crt", "tls.key"].map(|key| {
        let bytes = BASE64.decode(ca["data"][key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, KeyPair::from_pem(&ca_key).unwrap()).unwrap();
    let mut params = CertificateParams::new(["*.mtls.local.kyma.dev".to_owned()]).unwrap();
    params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
    params.not_before = params.not_after - time::Duration::days(90);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let old = params.signed_by(&key, &issuer).unwrap();
    let fingerprint = Certificate::from_pem(old.pem()).unwrap().fingerprint();
    let patch = json!({
        "metadata": {"annotations": {
            "kubectl-mtls.dev/server-expires": params.not_after.format(&Rfc3339).unwrap(),
            "kubectl-mtls.dev/server-fingerprint": fingerprint,
        }},
        "data": {
            "tls.crt": BASE64.encode(old.pem()),
            "tls.key": BASE64.encode(key.serialize_pem()),
        },
    });
    desk.kubectl(
        &[
            "-n",
            "istio-system",
            "patch",
            "secret",
            "kyma-mtls",
            "-p",
            &patch.to_string(),
        ],
        "",
    );
}

#[test]
fn every_command_works_under_its_roles_without_kyma_and_gardener_and_uses_those_meant_for_it() {
    let stage = plain_stage();
    stage.clear();
    let instance = &stage.desk.instance;
    let mark = instance.audit_mark().unwrap();
    let [expose, unexpose, issue, status] = ["expose", "unexpose", "issue-client", "status"]
        .map(|command| Cast::new(&stage, command, &["--service", SERVICE]));
    let run = |cast: &Cast, code: i32, arguments: &[&str]| {
        stage
            .run(&cast.user, &[&[cast.command], arguments].concat())
            .exits(code)
    };
    run(&expose, 0, &[SERVICE]).says("are rejected");
    run(&issue, 0, &["alice"]);
    run(&status, 0, &[]);
    meshed_pod(&stage);
    run(&expose, 0, &[SERVICE]);
    ages(&stage.desk, 20);
    run(&expose, 0, &[SERVICE]);
    run(&unexpose, 0, &[SERVICE, "--purge", "--yes"]);
    stage
        .desk
        .kubectl(&["-n", NAMESPACE, "delete", "pod", "meshed"], "");

    let mut wrong = Vec::new();
    for cast in [expose, unexpose, issue, status] {
        let events = instance.audit_log_of(&cast.user.name, mark).unwrap();
        for event in events.iter().filter(|event| event.code == 403) {
            wrong.push(format!(
                "{} was denied: {} {}",
                cast.command, event.verb, event.request_uri
            ));
        }
        let meant =
            |rule: &&sandbox::Rule| is_for_istio_alone(rule) && cast.command != "issue-client";
        for rule in cast.rules.iter().filter(meant) {
            for verb in &rule.verbs {
                if !events.iter().any(|event| used(rule, verb, event)) {
                    wrong.push(format!("{} never used `{verb}` of {rule:?}", cast.command));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_certificate_of_our_own_that_ends_soon_is_told_by_status_and_renewed_by_a_rerun() {
    let stage = plain_stage();
    stage.clear();
    let desk = &Desk::new(&stage.desk.instance, NAMESPACE);
    desk.run(&["expose", SERVICE]).exits(0);
    desk.run(&["issue-client", "alice", "--force"]).exits(0);
    let ca = desk.read("server-ca.crt");
    let held = || desk.get("istio-system", "secret", "kyma-mtls")["data"]["tls.crt"].clone();
    let first = held();
    // More than 30 days: entry kept.
    ages(desk, 40);
    let old = held();
    assert_ne!(old, first);
    let run = desk.run(&["expose", SERVICE]).exits(0);
    assert!(run.stdout.starts_with("already up to date"), "{run:#?}");
    assert_eq!(held(), old);
    desk.run(&["status"]).exits(0);

    ages(desk, 20);
    let old = held();
    // What proxies show is what they have loaded.
    eventually("a proxy has the aged certificate", || {
        desk.run(&["status"]).code != 0
    });
    let told = desk.run(&["status"]).exits(1);
    assert!(
        told.stdout.contains("server-certificate/ending"),
        "{told:#?}"
    );
    let renew = format!("\n    kubectl mtls expose {SERVICE} -n {NAMESPACE}\n");
    assert!(told.stdout.contains(&renew), "{told:#?}");
    let run = desk.run(&["expose", SERVICE]).exits(0);
    assert!(
        run.stdout
            .contains("secret/kyma-mtls in istio-system configured"),
        "{run:#?}"
    );
    assert_ne!(held(), old);
    assert_eq!(desk.read("server-ca.crt"), ca, "clients need no other CA");
    desk.run(&["status"]).exits(0);
    let alice = ["crt", "key"].map(|suffix| desk.read(&format!("alice.{suffix}")));
    let caller = Caller::new(desk.instance.connect_to(), &ca);
    let reply = call(&caller, HOST, &[]);
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    let caller = caller.with_certificate(&alice[0], &alice[1]);
    let_in(&caller, HOST);
}
