//! `unexpose`: what it waits for, what it asks, and what it leaves to others.

use std::io::Write;
use std::process::{Command, Stdio};

use sandbox::{Fault, Interceptor};
use serde_json::json;

use crate::lab::{Desk, PLUGIN, Run, let_in, own_namespace};

const GATEWAYS: &str = "gateways.networking.istio.io";

/// What the gateway's authority is called.
fn authority(desk: &Desk) -> String {
    let gateway = desk.get(
        &desk.namespace,
        "gateways.networking.istio.io",
        "kyma-mtls-gateway",
    );
    let tls = &gateway["spec"]["servers"][0]["tls"];
    tls["credentialName"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_finalizer_holds_is_waited_for_and_a_rerun_continues() {
    let (desk, host) = own_namespace("held");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let kind = "gateways.networking.istio.io";
    let hold = |finalizers: serde_json::Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        desk.kubectl(
            &[
                "-n",
                &desk.namespace,
                "patch",
                kind,
                "kyma-mtls-gateway",
                "--type=merge",
                "-p",
                &patch,
            ],
            "",
        );
    };
    hold(json!(["example.com/hold"]));
    let name = format!("Gateway {}/kyma-mtls-gateway", desk.namespace);
    let secret = format!("{}-cacert", authority(&desk));
    desk.run(&["unexpose", "httpbin", "--purge", "--yes", "--timeout", "2s"])
        .exits(124)
        .says(&format!("waiting for {name}: not deleted yet"))
        .says(&format!("the finalizers of {name}"))
        .says("run the same command again to continue");
    // As long as the Gateway may stand, whom it trusts stands too.
    desk.get("istio-system", "secret", &secret);
    hold(json!(null));
    let rest = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes", "-o", "name"])
        .exits(0);
    assert!(
        rest.stdout.contains(&format!("secret/{secret}")),
        "{rest:#?}"
    );
}

/// Runs it where somebody sits, who answers.
fn asked(desk: &Desk, arguments: &str, answer: &str) -> Run {
    let command = format!("{PLUGIN} -n {} {arguments}", desk.namespace);
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(desk.folder.path())
        .envs(desk.instance.variables())
        .env("KUBECONFIG", desk.instance.kubeconfig())
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{answer}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stdout).unwrap(),
    }
}

#[test]
fn a_purge_asks_where_somebody_sits_and_only_yes_is_yes() {
    let (desk, host) = own_namespace("asked");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let purge = "unexpose httpbin --purge";
    asked(&desk, purge, "y")
        .exits(2)
        .says("Type `yes` to go on")
        .says("nothing was changed");
    let secret = format!("{}-cacert", authority(&desk));
    desk.get("istio-system", "secret", &secret);
    asked(&desk, purge, "yes").exits(0);
    let left = desk.kubectl(
        &[
            "-n",
            "istio-system",
            "get",
            "secret",
            &secret,
            "--ignore-not-found",
        ],
        "",
    );
    assert_eq!(left, "");
}

#[test]
fn other_hosts_of_the_gateway_stay_up() {
    let (desk, _) = own_namespace("shared");
    desk.instance.deploy_echo(&desk.namespace, "other").unwrap();
    let domain = format!("{}.own.{}", desk.namespace, desk.instance.domain());
    let hosts = ["httpbin", "other"].map(|service| format!("{service}.{domain}"));
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": desk.namespace, "name": "kyma-mtls-gateway",
            "labels": {"app.kubernetes.io/managed-by": "kubectl-mtls"}},
        "spec": {
            "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
            "servers": [{
                "hosts": [format!("*.{domain}")],
                "port": {"name": "mtls", "number": 443, "protocol": "HTTPS"},
                "tls": {"mode": "MUTUAL", "credentialName": desk.namespace,
                    "caCertCredentialName": format!("configmap://kubectl-mtls/{}", desk.namespace)},
            }],
        },
    });
    // A wildcard, so that two Services share it.
    desk.instance.create(vec![gateway]).unwrap();
    for (service, host) in ["httpbin", "other"].iter().zip(&hosts) {
        desk.run(&["expose", service, "--host", host]).exits(0);
    }
    desk.run(&["issue-client", "alice", "--authority", &desk.namespace])
        .exits(0);
    let alice = desk.client("alice");
    desk.run(&["unexpose", "httpbin", "--gateway-too"])
        .exits(2)
        .says("is still in use by APIRule")
        .says("nothing was changed");
    let_in(&alice, &hosts[0]);
    desk.run(&["unexpose", "httpbin"]).exits(0);
    let_in(&alice, &hosts[1]);
    let again = desk.run(&["unexpose", "httpbin"]).exits(2);
    again.says("is not exposed");
}

/// The names of all Secrets beside the proxies.
fn secrets(desk: &Desk) -> Vec<String> {
    let all = desk.kubectl(&["-n", "istio-system", "get", "secrets", "-o", "name"], "");
    all.lines().map(str::to_owned).collect()
}

#[test]
fn a_server_secret_that_somebody_elses_certificate_keeps_stays_and_is_said_to() {
    let (desk, host) = own_namespace("kept");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let credential = authority(&desk);
    let theirs = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"namespace": "istio-system", "name": format!("{}-theirs", desk.namespace)},
        "spec": {"commonName": host, "secretName": credential},
    });
    desk.instance.create(vec![theirs]).unwrap();
    let run = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    let line = format!("secret/{credential} in istio-system kept: Certificate istio-system/");
    assert!(run.stdout.contains(&line), "{run:#?}");
    assert!(secrets(&desk).contains(&format!("secret/{credential}")));
}

#[test]
fn secrets_that_a_server_of_any_port_and_mode_names_stop_a_purge_before_its_first_deletion() {
    let (desk, host) = own_namespace("ports");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let credential = authority(&desk);
    for (name, port, mode) in [
        ("other-port", 8443, "MUTUAL"),
        ("optional", 443, "OPTIONAL_MUTUAL"),
    ] {
        let tls = json!({"mode": mode, "credentialName": credential});
        let mut other = crate::lab::gateway(&desk.namespace, name, &["other.example.com"], &tls);
        other["spec"]["servers"][0]["port"]["number"] = port.into();
        desk.instance.create(vec![other]).unwrap();
        let mark = desk.instance.audit_mark().unwrap();
        desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
            .exits(2)
            .says(&format!(
                "the Gateway `{}/{name}` uses the Secret too",
                desk.namespace
            ));
        let log = desk.instance.audit_log(mark).unwrap();
        let writes = crate::lab::requests(&log)
            .into_iter()
            .filter(|event| event.is_write() && event.request_uri.contains(&credential))
            .count();
        assert_eq!(writes, 0);
        let kind = "gateways.networking.istio.io";
        desk.kubectl(&["-n", &desk.namespace, "delete", kind, name], "");
    }
}

#[test]
fn who_begins_to_use_a_gateway_or_a_secret_while_a_purge_runs_keeps_it() {
    let (desk, host) = own_namespace("meanwhile");
    let namespace = desk.namespace.as_str();
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let credential = authority(&desk);
    let server_secret = format!("secret/{credential}");
    let fallback = format!("secret/{credential}-cacert");
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    // Something is deleted, and before the purge goes on there is this object.
    let meanwhile = |deleted: &str, object: serde_json::Value| {
        door.plan_write(deleted, Fault::Pause);
        let purge = desk.held(&door, &["unexpose", "httpbin", "--purge", "--yes"]);
        desk.instance.create(vec![object]).unwrap();
        door.release();
        Run::from(purge.wait_with_output().unwrap())
    };

    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "late"},
        "spec": {"hosts": [host], "gateways": ["kyma-mtls-gateway"],
            "http": [{"route": [{"destination": {"host": "httpbin"}}]}]},
    });
    meanwhile("/apirules/", route)
        .exits(2)
        .says(&format!(
            "the Gateway `{namespace}/kyma-mtls-gateway` is still in use by VirtualService {namespace}/late"
        ));
    desk.get(namespace, GATEWAYS, "kyma-mtls-gateway");
    for secret in [&server_secret, &fallback] {
        assert!(secrets(&desk).contains(secret), "{secret}");
    }

    desk.kubectl(&["-n", namespace, "delete", "virtualservices", "late"], "");
    let tls = json!({"mode": "MUTUAL", "credentialName": credential});
    let other = crate::lab::gateway(namespace, "late", &["late.example.com"], &tls);
    let run = meanwhile("/gateways/", other).exits(0);
    let line = format!(
        "{server_secret} in istio-system kept: the Gateway `{namespace}/late` uses the Secret too"
    );
    assert!(run.stdout.contains(&line), "{run:#?}");
    for secret in [&server_secret, &fallback] {
        assert!(secrets(&desk).contains(secret), "{secret}");
    }
}

#[test]
fn a_service_that_was_never_exposed_purges_nothing_of_another_ones() {
    let (desk, host) = own_namespace("never");
    desk.instance.deploy_echo(&desk.namespace, "other").unwrap();
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    desk.run(&["unexpose", "httpbin"]).exits(0);
    desk.run(&["unexpose", "other", "--purge", "--yes"])
        .exits(2)
        .says("is not exposed");
    let credential = authority(&desk);
    assert!(secrets(&desk).contains(&format!("secret/{credential}-cacert")));
    // The Service for which the Gateway was made still purges it.
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    assert!(!secrets(&desk).contains(&format!("secret/{credential}-cacert")));
}

#[test]
fn a_purge_says_what_stays_with_commands_that_remove_it() {
    let (desk, host) = own_namespace("stays");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let authority = authority(&desk);
    desk.run(&["issue-client", "alice", "--authority", &authority])
        .exits(0);
    let run = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    let commands: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.trim().strip_prefix("kubectl "))
        .collect();
    assert_eq!(commands.len(), 2, "{run:#?}");
    for command in commands {
        desk.kubectl(&command.split(' ').collect::<Vec<_>>(), "");
    }
    let selector = format!("kubectl-mtls.dev/authority={authority}");
    let left = desk.kubectl(
        &[
            "get",
            "secrets,configmaps",
            "-A",
            "-l",
            &selector,
            "-o",
            "name",
        ],
        "",
    );
    assert_eq!(left, "");
}

/// The Secret with the server certificate has its private key: no command needs more than its metadata.
#[test]
fn the_private_key_of_the_server_certificate_is_never_read() {
    let (desk, host) = own_namespace("unread");
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let through = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    door.let_through();
    through
        .run(&["expose", "httpbin", "--host", &host])
        .exits(0);
    let gateway = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let credential = &gateway["spec"]["servers"][0]["tls"]["credentialName"];
    let path = format!(
        "/api/v1/namespaces/istio-system/secrets/{}",
        credential.as_str().unwrap()
    );
    for command in [
        &["expose", "httpbin"][..],
        &[
            "expose",
            "httpbin",
            "--allow",
            "spiffe://clients.example.com/ada",
        ],
        &["status"],
        &["unexpose", "httpbin", "--purge", "--yes"],
    ] {
        let run = through.run(command);
        assert!([0, 1].contains(&run.code), "{run:#?}");
    }
    let reads = door.lines().into_iter().filter(|line| {
        let mut words = line.split(' ');
        words.next() == Some("GET") && words.next() == Some(&path)
    });
    let reads: Vec<String> = reads.collect();
    assert!(reads.len() > 3, "{:#?}", door.lines());
    assert!(
        reads.iter().all(|line| line.ends_with(" as metadata")),
        "{reads:#?}"
    );
}

#[test]
fn a_name_in_a_gateway_leads_no_request_to_another_object() {
    let (desk, host) = own_namespace("misled");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let through = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    let set = |field: &str, value: &str| {
        let path = format!("/spec/servers/0/tls/{field}");
        let change = json!([{"op": "replace", "path": path, "value": value}]);
        let patch = [
            "-n",
            &desk.namespace,
            "patch",
            GATEWAYS,
            "kyma-mtls-gateway",
        ];
        let change = ["--type=json", "-p", &change.to_string()];
        desk.kubectl(&[&patch[..], &change].concat(), "");
    };
    let gateway = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    for field in ["credentialName", "caCertCredentialName"] {
        set(field, "../configmaps/x");
        door.let_through();
        through.run(&["status"]).exits(1);
        through.run(&["status", &host]).exits(1);
        let exposed = through.run(&["expose", "httpbin"]);
        if exposed.code != 0 {
            exposed
                .exits(2)
                .says("is not a name that a Kubernetes object can have")
                .says("nothing was changed");
        }
        let right = &gateway["spec"]["servers"][0]["tls"][field];
        set(field, right.as_str().unwrap());
        let lines = door.lines();
        assert!(lines.len() > 20, "{lines:#?}");
        let is_misled = |line: &&String| {
            let line = line.to_lowercase();
            line.contains("..") || line.contains("%2e") || line.contains("configmaps/x")
        };
        assert_eq!(lines.iter().find(is_misled), None);
    }
}
