//! `expose --sample`, `--inject` and `--create-namespace`: what stands behind a host is made where it is asked for.

use sandbox::Reply;
use serde_json::{Value, json};

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};

use crate::lab::{Desk, call, let_in, main_job, own_namespace, requests};

/// A namespace that nobody has made yet, and a host for it.
fn nowhere(name: &str) -> (Desk, String) {
    let instance = &main_job().desk.instance;
    let host = format!("{name}.own.{}", instance.domain());
    (Desk::new(instance, name), host)
}

/// Pods are objects only: an echo stands where the sample's Pod would, and the Deployment says that it serves.
fn run_the_sample(desk: &Desk) {
    let echo = desk.instance.deploy_echo("sample-echo", "echo").unwrap();
    let entry = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"namespace": desk.namespace, "name": "httpbin"},
        "spec": {"address": echo.address.ip(), "labels": {"app": "httpbin"}, "ports": {"http": echo.address.port()}},
    });
    desk.instance.create(vec![entry]).unwrap();
    let status = json!({"status": {"observedGeneration": 1, "replicas": 1, "availableReplicas": 1, "readyReplicas": 1}});
    desk.kubectl(
        &[
            "-n",
            &desk.namespace,
            "patch",
            "deployment",
            "httpbin",
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ],
        "",
    );
}

#[test]
fn one_command_deploys_the_sample_in_a_new_namespace_and_lets_its_client_in() {
    let (desk, host) = nowhere("sampled");
    let sample = ["expose", "--sample", "--host", &host];
    desk.run(&sample)
        .exits(2)
        .says("the namespace `sampled` does not exist")
        .says("`--create-namespace` creates this namespace");
    let whole = [&sample[..], &["--create-namespace", "--inject"]].concat();
    let first = desk.run(&[&whole[..], &["--no-wait"]].concat()).exits(0);
    assert!(
        first
            .stdout
            .contains("Deployment sampled/httpbin: 0 of 1 replicas available"),
        "{first:#?}"
    );
    let namespace = desk.get("", "namespace", "sampled");
    assert_eq!(
        namespace["metadata"]["labels"]["istio-injection"],
        "enabled"
    );
    let service = desk.get("sampled", "service", "httpbin");
    assert_eq!(service["spec"]["ports"][0]["port"], 8000);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 80);
    desk.get("sampled", "serviceaccount", "httpbin");

    run_the_sample(&desk);
    let again = desk.run(&whole).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let names = CredentialNames::further(&GatewayName::new("sampled", "kyma-mtls-gateway"));
    desk.run(&["issue-client", "alice", "--authority", &names.authority])
        .exits(0);
    let_in(&desk.client("alice"), &host);
    assert!(matches!(
        call(&desk.nobody(), &host, &[]),
        Reply::Refused(_)
    ));
    // What was asked for once stays without being asked for again.
    let bare = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(bare.stdout.starts_with("already up to date"), "{bare:#?}");
}

#[test]
fn another_service_of_the_samples_name_is_never_replaced() {
    let (desk, host) = own_namespace("taken");
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(&["expose", "--sample", "--host", &host])
        .exits(2)
        .says("Service taken-")
        .says("does not belong to the sample")
        .says("leave out `--sample`");
    desk.run(&["expose", "payments", "--sample"])
        .exits(2)
        .says("deploys the Service `httpbin`, not `payments`");
    let log = desk.instance.audit_log(mark).unwrap();
    let is_own = |event: &&&sandbox::AuditEvent| event.request_uri.contains(&desk.namespace);
    let events = requests(&log);
    let writes = events
        .iter()
        .filter(is_own)
        .filter(|event| event.is_write());
    assert_eq!(writes.count(), 0);
}

#[test]
fn the_tutorials_own_httpbin_is_taken_as_it_is() {
    let (desk, host) = nowhere("by-hand");
    desk.kubectl(&["create", "namespace", "by-hand"], "");
    let dry = [
        "expose",
        "--sample",
        "--host",
        &host,
        "--dry-run",
        "-o",
        "json",
    ];
    std::fs::write(desk.folder.path().join("ca.crt"), ca(&desk)).unwrap();
    let shown = desk.run(&[&dry[..], &["--client-ca", "ca.crt"]].concat());
    let shown = shown.exits(0).json();
    let items = shown["items"].as_array().unwrap();
    let samples = items
        .iter()
        .filter(|item| item["metadata"]["name"] == "httpbin");
    for object in samples {
        let mut object: Value = object.clone();
        object["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .remove("app.kubernetes.io/managed-by");
        desk.kubectl(&["apply", "-f", "-"], &object.to_string());
    }
    let run = desk
        .run(&["expose", "--sample", "--host", &host, "--no-wait"])
        .exits(0);
    for object in ["service", "deployment.apps", "serviceaccount"] {
        let line = format!("{object}/httpbin in by-hand unchanged");
        assert!(run.stdout.contains(&line), "{run:#?}");
    }
}

/// Some CA: a dry run shows no authority that is not there yet.
fn ca(desk: &Desk) -> String {
    desk.run(&["issue-client", "nobody", "--ca-dir", "elsewhere"])
        .exits(0);
    desk.read("elsewhere/ca.crt")
}

#[test]
fn all_of_it_is_in_a_dry_run_in_apply_order_although_the_namespace_is_not_there_yet() {
    let (desk, host) = nowhere("rehearsed");
    std::fs::write(desk.folder.path().join("ca.crt"), ca(&desk)).unwrap();
    for how in ["--dry-run=client", "--dry-run=server"] {
        let run = desk
            .run(&[
                "expose",
                "--sample",
                "--create-namespace",
                "--inject",
                "--host",
                &host,
                "--client-ca",
                "ca.crt",
                how,
                "-o",
                "name",
            ])
            .exits(0);
        let kinds: Vec<&str> = run
            .stdout
            .lines()
            .map(|line| line.split('/').next().unwrap())
            .collect();
        assert_eq!(
            kinds,
            [
                "namespace",
                "serviceaccount",
                "service",
                "deployment.apps",
                "configmap",
                "secret",
                "authorizationpolicy.security.istio.io",
                "dnsentry.dns.gardener.cloud",
                "certificate.cert.gardener.cloud",
                "gateway.networking.istio.io",
                "apirule.gateway.kyma-project.io",
            ]
        );
    }
    let there = desk.kubectl(
        &[
            "get",
            "namespace",
            "rehearsed",
            "--ignore-not-found",
            "-o",
            "name",
        ],
        "",
    );
    assert_eq!(there, "");
}

#[test]
fn injection_is_said_where_nothing_was_and_never_against_what_somebody_meant() {
    let (desk, host) = own_namespace("injected");
    let label = |value: &str| {
        let namespace = desk.namespace.as_str();
        desk.kubectl(&["label", "--overwrite", "namespace", namespace, value], "");
    };
    label("istio-injection=disabled");
    let inject = ["expose", "httpbin", "--inject", "--host", &host];
    desk.run(&inject)
        .exits(2)
        .says("has the label `istio-injection=disabled`");
    label("istio-injection-");
    desk.run(&inject)
        .exits(0)
        .says("get their sidecar when they are restarted");
    let namespace = desk.get("", "namespace", &desk.namespace);
    assert_eq!(
        namespace["metadata"]["labels"]["istio-injection"],
        "enabled"
    );
    let again = desk.run(&inject).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}
