//! `status`: healthy where all is well, and one finding with its remedy for every fault that is caused here.

mod degrading;
mod dns;
mod faults;
mod flags;
mod healthy;
mod mesh;
mod objects;
mod replicas;

use sandbox::stand_in::{Answer, ObjectKey};
use sandbox::{AuditEvent, Rule};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::exposed::{Exposed, GATEWAY, broken, client_ca, in_a_year};
use crate::lab::{gateway, main_job, own_namespace, requests};

#[test]
fn a_host_that_expose_made_is_healthy_from_dns_to_its_clients() {
    let (run, _) = &main_job().status;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stdout.ends_with("\nno findings\n"), "{run:#?}");
    assert!(run.stdout.contains("1 live certificate"), "{run:#?}");
    let links = run.stdout.lines().filter(|line| line.starts_with("  ✓"));
    assert_eq!(links.count(), 8, "{run:#?}");
}

#[test]
fn status_writes_nothing() {
    let events = requests(&main_job().status.1);
    let wrong: Vec<&&AuditEvent> = events
        .iter()
        .filter(|event| {
            let is_question = event.resource == "selfsubjectaccessreviews";
            event.is_write() && event.subresource != "portforward" && !is_question
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn its_json_has_the_shape_that_scripts_rely_on() {
    let job = main_job();
    let report = job
        .desk
        .run(&["status", &job.host, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(report["findings"], json!([]));
    let host = &report["hosts"][0];
    assert_eq!(host["host"], job.host);
    assert_eq!(host["gateway"], "shop/kyma-mtls-gateway");
    let links = host["links"].as_array().unwrap();
    let names: Vec<&Value> = links.iter().map(|link| &link["name"]).collect();
    let chain = [
        "DNS",
        "ingress",
        "server certificate",
        "client CA",
        "Gateway",
        "route",
        "Service",
        "clients",
    ];
    assert_eq!(names, chain);
    for link in links {
        let keys: Vec<&String> = link.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "mark", "says", "details"]);
        assert_eq!(link["mark"], "ok", "{link}");
    }
}

#[test]
fn a_missing_client_ca_shuts_out_where_the_gateway_fails_closed() {
    let exposed = Exposed::new("closed");
    let name = exposed.names.authority.clone();
    let free = r#"{"metadata":{"finalizers":null}}"#;
    let own = ["-n", "kubectl-mtls"];
    let patch = ["patch", "configmap", &name, "--type=merge", "-p", free];
    exposed.kubectl(&[&own[..], &patch].concat());
    exposed.kubectl(&[&own[..], &["delete", "configmap", &name]].concat());
    let finding = exposed.finds("authority/lost", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_missing_client_ca_is_told_to_let_others_in_where_the_gateway_fails_open() {
    let exposed = Exposed::by_hand("opened", &client_ca(in_a_year()));
    let name = exposed.names.derived_client_ca();
    exposed.finds_also("client-ca/may-fail-open", "warning");
    exposed.kubectl(&["-n", "istio-system", "delete", "secret", &name]);
    exposed.finds_also("client-ca/fails-open", "error");
}

#[test]
fn an_expired_client_ca_is_told() {
    let ended = OffsetDateTime::now_utc() - Duration::days(1);
    let exposed = Exposed::by_hand("expired", &client_ca(ended));
    exposed.finds_also("client-ca/expired", "error");
}

#[test]
fn a_failing_server_certificate_is_told_in_its_issuers_words() {
    let exposed = Exposed::new("failing");
    let certificate = exposed.names.certificate.as_str();
    let controls = exposed.desk.instance.stand_ins().certificates();
    let key = ObjectKey::new("istio-system", certificate);
    controls.answer_for(key, Answer::Fail("acme: rate limited".to_owned()));
    let kind = "certificates.cert.gardener.cloud";
    let renew = r#"{"spec":{"renew":true}}"#;
    exposed.kubectl(&[
        "-n",
        "istio-system",
        "patch",
        kind,
        certificate,
        "--type=merge",
        "-p",
        renew,
    ]);
    let finding = exposed.finds("server-certificate/issuer-failed", "error");
    assert!(
        finding["seen"]
            .as_str()
            .unwrap()
            .contains("acme: rate limited")
    );
    let described = exposed.pastes_remedy(&finding);
    assert!(described.contains("acme: rate limited"), "{described}");
}

#[test]
fn a_failing_route_is_told_in_its_controllers_words() {
    let exposed = Exposed::new("occupied");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "bare", "namespace": exposed.desk.namespace, "labels": {"app": "httpbin"}},
        "spec": {"containers": [{"name": "httpbin", "image": "httpbin"}]},
    });
    exposed.desk.instance.create(vec![pod]).unwrap();
    // Its controller watches Services, not Pods.
    let namespace = exposed.desk.namespace.as_str();
    exposed.kubectl(&[
        "-n",
        namespace,
        "label",
        "service",
        "httpbin",
        "looked-at=again",
    ]);
    let finding = exposed.finds("route/failed", "error");
    assert!(finding["seen"].as_str().unwrap().contains("sidecar"));
    let described = exposed.pastes_remedy(&finding);
    assert!(described.contains("sidecar"), "{described}");
    exposed.own(&["delete", "pod", "bare", "--now"]);
    exposed.own(&["label", "service", "httpbin", "looked-at-"]);
    exposed.is_healthy();
}

#[test]
fn a_host_without_address_is_told() {
    let mut exposed = Exposed::prepared("nowhere");
    exposed.host = format!("{}.elsewhere.example", exposed.desk.namespace);
    exposed
        .desk
        .run(&["expose", "httpbin", "--host", &exposed.host])
        .exits(0);
    exposed.finds("dns/no-record", "error");
}

#[test]
fn a_second_gateway_with_the_same_host_is_told() {
    let exposed = Exposed::new("doubled");
    let tls = json!({"mode": "MUTUAL", "credentialName": "x"});
    let other = gateway("default", &exposed.desk.namespace, &[&exposed.host], &tls);
    // Times of creation are whole seconds: of two Gateways of one second the names would decide.
    std::thread::sleep(std::time::Duration::from_secs(1));
    exposed.desk.instance.create(vec![other]).unwrap();
    let finding = exposed.finds("gateway/duplicate-host", "warning");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_fallback_that_is_gone_is_told_and_written_again_by_expose() {
    let exposed = Exposed::new("fallback");
    let name = exposed.names.derived_client_ca();
    exposed.kubectl(&["-n", "istio-system", "delete", "secret", &name]);
    let finding = exposed.finds("client-ca/fallback-missing", "warning");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn what_may_not_be_looked_at_counts_unless_it_is_to_be_ignored() {
    let job = main_job();
    let read = ["get", "list"];
    let user = job.desk.instance.user(&[
        Rule::in_cluster(
            "networking.istio.io",
            &["gateways", "virtualservices", "destinationrules"],
            &read,
        ),
        Rule::in_cluster("gateway.kyma-project.io", &["apirules"], &read),
        Rule::in_cluster("cert.gardener.cloud", &["certificates"], &read),
        Rule::in_cluster("dns.gardener.cloud", &["dnsentries", "dnsproviders"], &read),
        Rule::in_cluster("discovery.k8s.io", &["endpointslices"], &read),
        Rule::in_cluster("operator.kyma-project.io", &["istios"], &read),
        Rule::in_cluster(
            "security.istio.io",
            &[
                "authorizationpolicies",
                "requestauthentications",
                "peerauthentications",
            ],
            &read,
        ),
        Rule::in_cluster("networking.istio.io", &["envoyfilters"], &read),
        Rule::in_cluster(
            "extensions.istio.io",
            &["wasmplugins", "trafficextensions"],
            &read,
        ),
        Rule::in_namespace("istio-system", "", &["configmaps"], &["get"]),
        Rule::in_cluster(
            "gateway.networking.k8s.io",
            &["gateways", "httproutes"],
            &read,
        ),
        Rule::in_cluster(
            "networking.k8s.io",
            &["ingresses", "networkpolicies"],
            &read,
        ),
        Rule::in_cluster("", &["services", "pods"], &read),
        Rule::in_namespace("istio-system", "", &["secrets"], &["get"]),
        Rule::in_namespace(
            "istio-system",
            "",
            &["pods/portforward"],
            &["get", "create"],
        ),
        Rule::in_namespace("kubectl-mtls", "", &["configmaps"], &read),
    ]);
    let desk = job.desk.with_kubeconfig(&user.unwrap().kubeconfig);
    let run = desk.run(&["status", &job.host, "-o", "json"]).exits(1);
    let findings = run.json()["findings"].as_array().unwrap().clone();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0]["id"], "inventory/not-checked");
    let says = findings[0]["seen"].as_str().unwrap();
    assert!(
        says.contains("the inventory in the namespace `kubectl-mtls-clients` could not be listed"),
        "{says}"
    );
    assert!(says.contains("you may not `list` `configmaps`"), "{says}");
    desk.run(&["status", &job.host, "--ignore-unknown"])
        .exits(0);
}

#[test]
fn a_gateways_name_is_looked_up_where_the_resolver_flag_says() {
    let job = main_job();
    let instance = &job.desk.instance;
    let read = ["get", "list"];
    // Without port-forward it is looked at through an address, which here only the cluster's own DNS server knows.
    let user = instance.user(&[Rule::in_cluster("*", &["*"], &read)]);
    let desk = job.desk.with_kubeconfig(&user.unwrap().kubeconfig);
    let (_, port) = instance.connect_to().rsplit_once(':').unwrap();
    let named = format!("gateway.local.kyma.dev:{port}");
    let findings = |more: &[&str]| {
        let status = ["status", &job.host, "-o", "json", "--connect-to", &named];
        let run = desk.run(&[&status, more].concat()).exits(1);
        run.json()["findings"].to_string()
    };
    // All that is left to say is that replicas were not told apart.
    assert!(!findings(&[]).contains("no connection"));
    assert!(findings(&["--resolver", "127.0.0.1:1"]).contains("no connection"));
}

#[test]
fn a_host_that_is_not_there_is_an_error_with_those_that_are() {
    let job = main_job();
    let run = job.desk.run(&["status", "nosuch"]).exits(2);
    run.says("no host and no Service `nosuch`").says(&job.host);
}

#[test]
fn a_namespace_without_such_hosts_is_told_what_makes_one() {
    let (desk, _) = own_namespace("empty");
    let run = desk.run(&["status"]).exits(0);
    assert!(
        run.stdout
            .contains("create one: kubectl mtls expose SERVICE"),
        "{run:#?}"
    );
}
