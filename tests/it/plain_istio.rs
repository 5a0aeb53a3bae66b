//! `expose` on a cluster with Istio and neither Kyma nor Gardener.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sandbox::{Caller, Instance, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, call, call_new, plain_job, requests, seen_by_application};

const HOST: &str = "httpbin.mtls.local.kyma.dev";

fn instance() -> Arc<Instance> {
    plain_job().instance.clone()
}

/// A namespace with an echo, beside the exposed one.
fn desk(namespace: &str) -> Desk {
    instance().deploy_echo(namespace, "httpbin").unwrap();
    Desk::new(&instance(), namespace)
}

/// A client of the gateway that trusts the CA in a file, with the certificate of a name.
fn client(desk: &Desk, ca: &str, name: Option<&str>) -> Caller {
    let caller = Caller::new(instance().connect_to(), &desk.read(ca));
    match name.map(|name| ["crt", "key"].map(|suffix| desk.read(&format!("{name}.{suffix}")))) {
        Some([certificate, key]) => caller.with_certificate(&certificate, &key),
        None => caller,
    }
}

/// Who called, as the application saw it.
#[track_caller]
fn identity_of(caller: &Caller, headers: &[(&str, &str)]) -> [String; 2] {
    let headers = seen_by_application(&call_new(caller, HOST, headers));
    ["X-Client-Ssl-Cn", "X-Client-Ssl-San"]
        .map(|name| headers[name].as_str().unwrap_or_default().to_owned())
}

/// A server certificate as somebody's own CA makes it: `NAME.crt`, `NAME.key` and `ca.crt`.
pub(crate) fn made_by_openssl(folder: &Path, name: &str, host: &str) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {key} -days 30 -subj /CN=Corp -keyout ca.key -out ca.crt"
    ));
    openssl(&format!(
        "req -x509 {key} -days 20 -subj /CN=gateway -addext subjectAltName=DNS:{host} -addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature -addext extendedKeyUsage=serverAuth -CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.crt"
    ));
}

#[test]
fn expose_and_unexpose_a_service_without_kyma_and_gardener() {
    let desk = plain_job();
    desk.run(&["issue-client", "alice"]).exits(0);

    let alice = client(&desk, "server-ca.crt", Some("alice"));
    let forged = [("X_CLIENT_SSL_CN", "CN=mallory")];
    let identity = ["CN=alice", "spiffe://kyma-mtls-clients/alice"];
    assert_eq!(identity_of(&alice, &[]), identity);
    let reply = call(&alice, HOST, &forged);
    assert!(
        matches!(reply, Reply::Answered { status: 403, .. }),
        "{reply:?}"
    );
    let nobody = client(&desk, "server-ca.crt", None);
    assert!(matches!(call(&nobody, HOST, &[]), Reply::Refused(_)));

    let secret = desk.get("istio-system", "secret", "kyma-mtls");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["tls.crt", "tls.key"]);
    assert_eq!(secret["type"], "kubernetes.io/tls");

    let mark = instance().audit_mark().unwrap();
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
    let log = instance().audit_log(mark).unwrap();
    let writes: Vec<_> = requests(&log)
        .into_iter()
        .filter(|event| event.is_write() && event.resource != "pods")
        .filter(|event| event.namespace == "plain" || event.name.starts_with("kyma-mtls-clients"))
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");

    let status = desk.run(&["status", "httpbin", "-o", "json"]);
    assert!(
        status.stdout.contains("VirtualService plain/httpbin-mtls"),
        "{status:#?}"
    );

    let foreign = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "plain", "name": "theirs"},
        "spec": {"hosts": ["theirs.mtls.local.kyma.dev"], "gateways": ["kyma-mtls-gateway"],
            "http": [{"route": [{"destination": {"host": "httpbin"}}]}]},
    });
    instance().create(vec![foreign]).unwrap();
    desk.run(&["unexpose", "httpbin", "--gateway-too"])
        .exits(2)
        .says("plain/theirs");
    let gone = desk.run(&["unexpose", "httpbin", "-o", "name"]).exits(0);
    assert_eq!(
        gone.stdout.lines().collect::<Vec<_>>(),
        [
            "virtualservice.networking.istio.io/httpbin-mtls",
            "authorizationpolicy.security.istio.io/httpbin-mtls"
        ]
    );
    desk.get("plain", "virtualservice", "theirs");
    desk.kubectl(&["-n", "plain", "delete", "virtualservice", "theirs"], "");

    desk.run(&["expose", "httpbin"]).exits(0);
    assert_eq!(identity_of(&alice, &[]), identity, "the CAs stayed");
}

#[test]
fn a_purge_takes_our_server_secret_and_leaves_the_cas() {
    let desk = desk("doomed");
    desk.run(&["expose", "httpbin", "--host", "doomed.local.kyma.dev"])
        .exits(0);
    let gateway = desk.get(
        "doomed",
        "gateways.networking.istio.io",
        "kyma-mtls-gateway",
    );
    let credential = gateway["spec"]["servers"][0]["tls"]["credentialName"]
        .as_str()
        .unwrap();
    let purged = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes", "-o", "name"])
        .exits(0);
    let secrets = purged
        .stdout
        .lines()
        .filter(|line| line.starts_with("secret/"));
    assert_eq!(
        secrets.collect::<Vec<_>>(),
        [
            format!("secret/{credential}"),
            format!("secret/{credential}-cacert")
        ]
    );
    desk.get("kubectl-mtls", "secret", &format!("{credential}-server-ca"));
    desk.get("kubectl-mtls", "secret", credential);
}

#[test]
fn the_server_ca_of_each_authority_gets_a_file_of_its_own_and_curl_lines_name_it() {
    let desk = desk("cas");
    instance().deploy_echo("cas", "other").unwrap();
    let hosts = ["one.local.kyma.dev", "two.local.kyma.dev"];
    let expose = |service: &str, host: &str, gateway: &str| {
        desk.run(&["expose", service, "--host", host, "--gateway", gateway])
            .exits(0)
    };
    expose("httpbin", hosts[0], "one").says("curl --cacert server-ca.crt");
    let first = desk.read("server-ca.crt");
    let file = format!("{}-server-ca.crt", hosts[1]);
    expose("other", hosts[1], "two").says(&format!("curl --cacert {file}"));
    assert_eq!(desk.read("server-ca.crt"), first);
    for (ca, host) in ["server-ca.crt", &file].into_iter().zip(hosts) {
        let refused = call(&client(&desk, ca, None), host, &[]);
        assert_eq!(refused, Reply::Refused("certificate_required".to_owned()));
    }
    // A third in the place of the second is not written in silence.
    std::fs::write(desk.folder.path().join(&file), first).unwrap();
    let again = expose("other", hosts[1], "two");
    again.says("the file has other content");
    desk.run(&["expose", "other", "--server-ca-out", &file, "--force"])
        .exits(0);

    let curl_of = |name: &str, gateway: &str| {
        let issue = ["issue-client", name, "--gateway", gateway, "--show", "curl"];
        let run = desk.run(&[&issue[..], &["--out", gateway]].concat());
        run.exits(0).stdout
    };
    for (name, gateway, ca) in [("ada", "one", "server-ca.crt"), ("ben", "two", &file)] {
        let (told, files) = (curl_of(name, gateway), format!("{gateway}/{name}"));
        let curl = format!("curl --cacert {ca} --cert {files}.crt --key {files}.key https://HOST/");
        assert!(told.contains(&curl), "no {curl} in {told}");
    }
    for service in ["httpbin", "other"] {
        desk.run(&["unexpose", service, "--purge", "--yes"])
            .exits(0);
    }
}

#[test]
fn a_sidecar_is_told_to_admit_the_gateway_only_and_that_is_said_first() {
    let desk = desk("meshed");
    let pod: Value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "meshed", "name": "httpbin-1", "labels": {"app": "httpbin"}},
        "spec": {"containers": [{"name": "app", "image": "app"}, {"name": "istio-proxy", "image": "proxy"}]},
    });
    let service = desk.get("meshed", "service", "httpbin");
    let mut pod = pod;
    pod["metadata"]["labels"] = service["spec"]["selector"].clone();
    instance().create(vec![pod]).unwrap();
    let host = ["--host", "meshed.local.kyma.dev"];
    desk.run(&["expose", "httpbin", host[0], host[1]])
        .exits(0)
        .says("are rejected");
    let policy = desk.get("meshed", "authorizationpolicy", "httpbin-mtls");
    assert_eq!(policy["spec"]["action"], "ALLOW");
    assert_eq!(
        policy["spec"]["rules"][0]["from"][0]["source"]["principals"],
        json!(["cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"])
    );
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(
        again.stdout.contains("already up to date") && !again.stderr.contains("shut out"),
        "{again:#?}"
    );
    desk.run(&["unexpose", "httpbin"]).exits(0);
    let left = desk.kubectl(
        &["-n", "meshed", "get", "authorizationpolicies", "-o", "name"],
        "",
    );
    assert_eq!(left, "");
}

#[test]
fn given_files_and_a_given_secret_become_the_server_certificate() {
    let desk = desk("given");
    let folder = desk.folder.path();
    made_by_openssl(folder, "api", "given.local.kyma.dev");
    let files = |host: &str, rest: &[&str]| {
        desk.run(&[&["expose", "httpbin", "--host", host][..], rest].concat())
    };
    let own = ["--server-certificate", "api.crt,api.key"];
    files("other.local.kyma.dev", &own).exits(2).says("not for");
    files(
        "given.local.kyma.dev",
        &["--server-certificate", "api.crt,ca.key"],
    )
    .exits(2)
    .says("does not belong");
    files("given.local.kyma.dev", &own).exits(0);
    let nobody = client(&desk, "ca.crt", None);
    assert!(matches!(
        call(&nobody, "given.local.kyma.dev", &[]),
        Reply::Refused(_)
    ));
    let again = files("given.local.kyma.dev", &own).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
    let kept = files("given.local.kyma.dev", &[])
        .exits(0)
        .says("the given server certificate");
    assert!(kept.stdout.contains("already up to date"), "{kept:#?}");
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);

    let in_folder = |name: &str| folder.join(name).display().to_string();
    let source = ["--server-certificate", "secret/wildcard"];
    files("given.local.kyma.dev", &source)
        .exits(2)
        .says("does not exist");
    let (certificate, key) = (in_folder("api.crt"), in_folder("api.key"));
    desk.kubectl(
        &[
            "-n",
            "istio-system",
            "create",
            "secret",
            "tls",
            "wildcard",
            "--cert",
            &certificate,
            "--key",
            &key,
        ],
        "",
    );
    files("given.local.kyma.dev", &source)
        .exits(0)
        .says("must hold");
    let gateway = desk.get("given", "gateways.networking.istio.io", "kyma-mtls-gateway");
    assert_eq!(
        gateway["spec"]["servers"][0]["tls"]["credentialName"],
        "wildcard"
    );
    assert!(matches!(
        call(&nobody, "given.local.kyma.dev", &[]),
        Reply::Refused(_)
    ));
    let again = files("given.local.kyma.dev", &[]).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
}
