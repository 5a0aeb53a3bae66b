//! `expose --dry-run`: manifests for whoever applies them, in apply order, and what they would change.

use serde_json::{Value, json};

use crate::lab::{Desk, main_job, own_namespace, requests};
use crate::stage::{SERVICE, plain_stage, stage};

/// What stands in the end of what a dry run shows; only what the API server itself sets is left out.
fn stands(desk: &Desk) -> Vec<String> {
    let mut stands = Vec::new();
    for (namespace, kind, name) in [
        ("istio-system", "secret", "kyma-mtls-cacert"),
        (
            "istio-system",
            "certificates.cert.gardener.cloud",
            "domain-certificate",
        ),
        (
            desk.namespace.as_str(),
            "gateways.networking.istio.io",
            "kyma-mtls-gateway",
        ),
        (
            desk.namespace.as_str(),
            "apirules.gateway.kyma-project.io",
            "httpbin-mtls",
        ),
    ] {
        let object: Value = desk.get(namespace, kind, name);
        let mut spec = object["spec"].clone();
        // The CA and what its issuer writes back differ from run to run.
        for field in ["secretRef", "ensureRenewedAfter"] {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
        stands.push(format!("{kind} {}: {spec}", object["metadata"]["labels"]));
    }
    stands
}

#[test]
fn what_a_dry_run_prints_is_applied_by_kubectl_and_comes_to_the_same_end() {
    let stage = stage();
    let desk = &stage.desk;
    for form in ["yaml", "json"] {
        stage.clear();
        desk.run(&["issue-client", "alice", "--force"]).exits(0);
        let mark = desk.instance.audit_mark().unwrap();
        let shown = desk
            .run(&["expose", SERVICE, "--dry-run=client", "-o", form])
            .exits(0);
        let log = desk.instance.audit_log(mark).unwrap();
        let writes = requests(&log).into_iter().filter(|event| event.is_write());
        assert_eq!(writes.count(), 0);
        desk.kubectl(&["apply", "-f", "-"], &shown.stdout);
        let applied = stands(desk);
        let rerun = desk.run(&["expose", SERVICE]).exits(0);
        assert!(
            !rerun.stdout.contains("created") && !rerun.stdout.contains("configured gateway"),
            "{rerun:#?}"
        );
        assert_eq!(stands(desk), applied);
        let again = desk.run(&["expose", SERVICE]).exits(0);
        assert!(again.stdout.starts_with("already up to date"), "{again:#?}");

        stage.clear();
        desk.run(&["issue-client", "alice", "--force"]).exits(0);
        desk.run(&["expose", SERVICE]).exits(0);
        assert_eq!(stands(desk), applied, "-o {form}");
    }
}

#[test]
fn a_whole_new_namespace_comes_out_of_one_dry_run_and_a_later_run_finds_nothing_to_change() {
    let instance = &main_job().desk.instance;
    let desk = Desk::new(instance, "from-git");
    desk.run(&["issue-client", "nobody", "--ca-dir", "ca"])
        .exits(0);
    let host = format!("git.own.{}", instance.domain());
    let flags = [
        "expose",
        "--sample",
        "--create-namespace",
        "--inject",
        "--host",
        &host,
        "--client-ca",
        "ca/ca.crt",
    ];
    let shown = desk
        .run(&[&flags[..], &["--dry-run=client", "-o", "yaml"]].concat())
        .exits(0);
    desk.kubectl(&["apply", "-f", "-"], &shown.stdout);
    let rerun = desk.run(&[&flags[..], &["--no-wait"]].concat()).exits(0);
    assert!(rerun.stdout.starts_with("already up to date"), "{rerun:#?}");
    // What it prints then is what stands.
    let again = desk.run(&[&flags[..], &["--dry-run=client", "-o", "yaml"]].concat());
    let applied = desk.kubectl(&["apply", "-f", "-"], &again.exits(0).stdout);
    let is_changed = |line: &&str| !line.ends_with(" unchanged");
    assert_eq!(applied.lines().find(is_changed), None, "{applied}");
}

#[test]
fn without_gardener_the_key_pair_is_left_out_and_said_to_be_and_only_that_is_left_for_a_run() {
    let stage = plain_stage();
    stage.clear();
    let desk = &stage.desk;
    desk.run(&["issue-client", "alice", "--force"]).exits(0);
    let shown = desk
        .run(&["expose", SERVICE, "--dry-run=client", "-o", "yaml"])
        .exits(0)
        .says("Secret istio-system/kyma-mtls with the server's key is not among the manifests");
    assert!(!shown.stdout.contains("tls.key"), "{shown:#?}");
    desk.kubectl(&["apply", "-f", "-"], &shown.stdout);
    let run = desk.run(&["expose", SERVICE]).exits(0);
    let changed: Vec<&str> = run
        .stdout
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.ends_with(" unchanged"))
        .collect();
    assert_eq!(
        changed,
        [
            "secret/kyma-mtls-server-ca in kubectl-mtls created",
            "configmap/kyma-mtls in kubectl-mtls configured",
            "configmap/authority-kyma-mtls in kubectl-mtls-clients configured",
            "secret/kyma-mtls in istio-system created",
        ]
    );
}

#[test]
fn a_dry_run_tells_what_would_change_in_objects_that_exist_and_changes_nothing() {
    let (desk, host) = own_namespace("summary");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let kind = "apirules.gateway.kyma-project.io";
    let version =
        || desk.get(&desk.namespace, kind, "httpbin-mtls")["metadata"]["generation"].clone();
    let before = version();
    for how in ["--dry-run=client", "--dry-run=server"] {
        let change = [
            "expose", "httpbin", how, "--method", "GET", "--path", "/a/{*}",
        ];
        let run = desk.run(&change).exits(0);
        for line in [
            "apirule.gateway.kyma-project.io/httpbin-mtls in ",
            "  spec.rules[0].path: \"/*\" -> \"/a/{*}\"\n",
            "unchanged (dry run)\n",
        ] {
            assert!(run.stdout.contains(line), "{line}: {run:#?}");
        }
        let run = desk.run(&[&change[..], &["-o", "yaml"]].concat()).exits(0);
        assert!(!run.stdout.contains("->"), "{run:#?}");
        run.says("apirule.gateway.kyma-project.io/httpbin-mtls would be configured: ")
            .says("spec.rules[0].path: \"/*\" -> \"/a/{*}\"");
    }
    assert_eq!(version(), before);
}

#[test]
fn a_server_dry_run_is_refused_by_the_api_server_where_the_run_would_be() {
    let (desk, host) = own_namespace("strict");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let kind = "apirules.gateway.kyma-project.io";
    let mut rule = desk.get(&desk.namespace, kind, "httpbin-mtls");
    rule["metadata"] = json!({"namespace": desk.namespace, "name": "httpbin-mtls"});
    rule.as_object_mut().unwrap().remove("status");
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=argocd-controller",
        "-f",
        "-",
    ];
    desk.kubectl(&apply, &rule.to_string());
    let arguments = ["expose", "httpbin", "--path", "/a"];
    let dry = desk.run(&[&arguments[..], &["--dry-run=server"]].concat());
    let dry = dry.exits(2).says("argocd-controller");
    let real = desk.run(&arguments).exits(2);
    assert_eq!(dry.stderr, real.stderr);
}
