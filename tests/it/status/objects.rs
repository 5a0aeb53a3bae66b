//! Faults of single objects beside the Gateway: each is made by hand, is one finding, and its remedy ends it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, KeyPair, SerialNumber};

use super::*;
use crate::exposed::{company_ca, count};
use crate::lab::{eventually, started};
use crate::shell::Shell;
use sandbox::Environment;

const ENTRIES: &str = "dnsentries.dns.gardener.cloud";
const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";

/// Runs every command of a remedy that names more than one, in their order.
fn pastes_all_commands(exposed: &Exposed, finding: &Value) {
    let remedy = finding["remedy"].as_str().unwrap();
    let commands: Vec<&str> = remedy.split('`').skip(1).step_by(2).collect();
    assert!(commands.len() > 1, "{remedy}");
    for command in commands {
        Shell::new(&exposed.desk).runs(command);
    }
}

#[test]
fn a_record_without_the_class_that_a_shoot_needs() {
    let exposed = broken("classless", |exposed| {
        let class = "dns.gardener.cloud/class-";
        exposed.own(&["annotate", ENTRIES, &exposed.names.certificate, class]);
    });
    // What was published before is still answered.
    let finding = exposed.finds("dns/class-missing", "warning");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_record_that_leads_to_another_machine() {
    let exposed = broken("misled", |exposed| {
        let targets = json!({"spec": {"targets": ["203.0.113.99"]}});
        let namespace = &exposed.desk.namespace;
        exposed.patch(namespace, ENTRIES, &exposed.names.certificate, &targets);
    });
    let finding = exposed.finds("dns/wrong-target", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_resolver_that_answers_another_address() {
    let exposed = Exposed::prepared("astray");
    let expose = ["expose", "httpbin", "--host", &exposed.host];
    let without = [&expose[..], &["--dns-entry=false"]].concat();
    exposed.desk.run(&without).exits(0);
    let other = "203.0.113.98".parse().unwrap();
    let stand_ins = exposed.desk.instance.stand_ins();
    stand_ins.publish(&exposed.host, other);
    let finding = exposed.finds("dns/other-address", "error");
    // The record is not the cluster's: whoever made it follows these words.
    let remedy = finding["remedy"].as_str().unwrap();
    let (record, target) = remedy.split_once(" lead to ").unwrap();
    assert!(record.contains(&exposed.host), "{remedy}");
    stand_ins.publish(&exposed.host, target.parse().unwrap());
    exposed.is_healthy();
    count("remedy", "dns/other-address");
}

#[test]
fn a_domain_that_no_provider_serves() {
    let instance = started(Environment::KymaDefault);
    let mut exposed = Exposed::of(crate::lab::own_namespace_on(&instance, "unserved"));
    exposed.host = "unserved.example.org".to_owned();
    let expose = ["expose", "httpbin", "--host", &exposed.host];
    let without = [&expose[..], &["--dns-entry=false"]].concat();
    exposed.desk.run(&without).exits(0);
    let entry = json!({
        "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSEntry",
        "metadata": {
            "name": "by-hand", "namespace": exposed.desk.namespace,
            "annotations": {"dns.gardener.cloud/class": "garden"},
        },
        "spec": {"dnsName": exposed.host, "targets": ["203.0.113.10"]},
    });
    instance.create(vec![entry]).unwrap();
    let finding = exposed.finds("dns/provider-missing", "error");
    let remedy = finding["remedy"].as_str().unwrap();
    let command = remedy.split('`').nth(1).unwrap();
    // Whose account it is, and its token, only the user knows.
    let token = exposed.desk.folder.path().join("token");
    std::fs::write(&token, "not-to-be-shown\n").unwrap();
    let account = "--provider cloudflare-dns --from-file token";
    let command = command.replace("--provider TYPE", account);
    Shell::new(&exposed.desk).runs(&command);
    exposed.is_healthy();
    count("remedy", "dns/provider-missing");
}

#[test]
fn the_virtual_service_of_a_ready_rule_deleted_or_edited() {
    let of = |exposed: &Exposed| {
        let list = ["get", VIRTUAL_SERVICES, "-o", "name"];
        let namespace = ["-n", exposed.desk.namespace.as_str()];
        let listed = exposed.desk.kubectl(&[&namespace[..], &list].concat(), "");
        listed.trim().rsplit('/').next().unwrap().to_owned()
    };
    let exposed = Exposed::new("unrouted");
    exposed.own(&["delete", VIRTUAL_SERVICES, &of(&exposed)]);
    let finding = exposed.finds("route/virtual-service-missing", "error");
    exposed.is_repaired_by_remedy(&finding);

    let elsewhere = json!({"spec": {"hosts": ["elsewhere.example.com"]}});
    let namespace = exposed.desk.namespace.clone();
    exposed.patch(&namespace, VIRTUAL_SERVICES, &of(&exposed), &elsewhere);
    let finding = exposed.finds("route/virtual-service-edited", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn a_service_whose_only_endpoint_is_not_ready() {
    let exposed = broken("endless", |exposed| {
        // The echo runs outside of the cluster; the WorkloadEntry of another label serves nobody.
        let labels = json!({"spec": {"labels": {"app": "another"}}});
        let entries = "workloadentries.networking.istio.io";
        exposed.patch(&exposed.desk.namespace, entries, "httpbin", &labels);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "httpbin-1", "namespace": exposed.desk.namespace,
                "labels": {"kubernetes.io/service-name": "httpbin"},
            },
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {"ready": false}}],
        });
        exposed.desk.instance.create(vec![slice]).unwrap();
    });
    let finding = exposed.finds("service/no-endpoints", "error");
    // It shows the Pods; which of them is at fault only its owner can say.
    exposed.pastes_remedy(&finding);
    let labels = json!({"spec": {"labels": {"app": "httpbin"}}});
    let entries = "workloadentries.networking.istio.io";
    exposed.patch(&exposed.desk.namespace, entries, "httpbin", &labels);
    exposed.own(&["delete", "endpointslices", "httpbin-1"]);
    exposed.is_healthy();
}

/// Issues a client and hands over its files: `renew-client` overwrites none that are still there.
fn issues(exposed: &Exposed, name: &str, ttl: &str) {
    let issue = ["issue-client", name, "--format", "pem", "--ttl", ttl];
    exposed.desk.run(&issue).exits(0);
    for suffix in ["crt", "key"] {
        let file = exposed.desk.folder.path().join(format!("{name}.{suffix}"));
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_client_whose_certificate_has_expired() {
    let exposed = broken("brief", |exposed| issues(exposed, "ada", "1s"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let finding = exposed.finds("client/expired", "warning");
    assert!(finding["seen"].as_str().unwrap().contains("`ada`"));
    // The renewed one lasts as long, unless another time is given.
    let longer = format!("{} --ttl 90d", finding["remedy"].as_str().unwrap());
    Shell::new(&exposed.desk).runs(&longer);
    exposed.is_healthy();
    count("remedy", "client/expired");
}

#[test]
fn a_client_whose_certificate_ends_soon() {
    let exposed = broken("ending", |exposed| issues(exposed, "ben", "3m"));
    exposed.is_healthy();
    // The last third of its time.
    std::thread::sleep(std::time::Duration::from_secs(122));
    let finding = exposed.finds("client/ending", "warning");
    assert!(finding["seen"].as_str().unwrap().contains("`ben`"));
    exposed.is_repaired_by_remedy(&finding);
}

/// A list of a CA, with its key, from and until days from now.
fn list_of(ca: &(String, String), from: i64, until: i64) -> String {
    list_by(ca, KeyIdMethod::Sha256, from, until)
}

/// The same of a CA with another way to its key identifier.
fn list_by(ca: &(String, String), key: KeyIdMethod, from: i64, until: i64) -> String {
    let key_identifier_method = key;
    let key = KeyPair::from_pem(&ca.1).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca.0, key).unwrap();
    let at = |days: i64| OffsetDateTime::now_utc() + Duration::days(days);
    let list = CertificateRevocationListParams {
        this_update: at(from),
        next_update: at(until),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method,
    };
    list.signed_by(&issuer).unwrap().pem().unwrap()
}

#[test]
fn revocation_lists_of_a_ca_made_by_hand_that_have_expired_or_are_of_the_future() {
    let ca = company_ca(in_a_year());
    let exposed = Exposed::by_hand("outlived", &ca.0);
    let publishes = |from: i64, until: i64| {
        let name = exposed.names.derived_client_ca();
        let data = json!({"stringData": {"crl": list_of(&ca, from, until)}});
        exposed.patch("istio-system", "secrets", &name, &data);
    };
    for (from, until, id, severity) in [
        (-30, -1, "client-ca/crl-expired", "error"),
        (-29, 1, "client-ca/crl-ending", "warning"),
        (1, 30, "client-ca/crl-not-yet-valid", "error"),
    ] {
        publishes(from, until);
        let finding = exposed.finds_also(id, severity);
        let remedy = finding["remedy"].as_str().unwrap();
        // Its key is not in the cluster: whoever has it publishes the next list.
        let says = if from > 0 {
            "wait until"
        } else {
            "a new revocation list"
        };
        assert!(remedy.contains(says), "{remedy}");
        publishes(-1, 30);
        eventually("the list is told no more", || {
            let (_, findings) = exposed.findings();
            let mut ids = findings.iter().filter_map(|finding| finding["id"].as_str());
            !ids.any(|id| id.starts_with("client-ca/crl-"))
        });
    }
}

/// The revocation list that an authority's own CA signs, from and until days from now.
fn list_of_authority(exposed: &Exposed, from: i64, until: i64) -> String {
    let authority = exposed.names.authority.as_str();
    let data = |kind: &str| exposed.desk.get("kubectl-mtls", kind, authority)["data"].clone();
    let keys = data("secret");
    let mut keys = keys.as_object().unwrap().iter();
    // A CA's key has its key identifier as its name.
    let (id, key) = keys.find(|(name, _)| !name.contains('.')).unwrap();
    let key = String::from_utf8(BASE64.decode(key.as_str().unwrap()).unwrap()).unwrap();
    let bundle = data("configmap")["ca.crt"].as_str().unwrap().to_owned();
    let digits = (0..id.len()).step_by(2).map(|at| &id[at..at + 2]);
    let id = digits
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    list_by(&(bundle, key), KeyIdMethod::PreSpecified(id), from, until)
}

#[test]
fn revocation_lists_of_an_authority_that_have_expired_or_end_soon() {
    let exposed = Exposed::new("lapsed");
    let authority = exposed.names.authority.as_str();
    let pem = ["issue-client", "ada", "--format", "pem"];
    exposed.desk.run(&pem).exits(0);
    exposed.desk.run(&["revoke-client", "ada"]).exits(0);
    exposed.is_healthy();
    // The authority publishes no list that ends soon: somebody replaced it, and revoked clients are let in.
    for (from, until, id, below) in [
        (-30, -1, "client-ca/crl-expired", "authority/lists-edited"),
        (-29, 1, "authority/lists-edited", "client-ca/crl-ending"),
    ] {
        let list = list_of_authority(&exposed, from, until);
        let data = json!({"data": {"ca.crl": list}});
        exposed.patch("kubectl-mtls", "configmaps", authority, &data);
        let finding = exposed.finds(id, "error");
        let consequences = finding["consequences"].as_array().unwrap();
        assert!(
            consequences.iter().any(|one| one["id"] == below),
            "{finding:#}"
        );
        exposed.is_repaired_by_remedy(&finding);
    }
}

#[test]
fn keys_that_are_gone_are_replaced_with_their_ca_or_restored() {
    let exposed = Exposed::new("unkeyed");
    let authority = exposed.names.authority.as_str();
    let saved = exposed.desk.get("kubectl-mtls", "secret", authority);
    let delete = ["-n", "kubectl-mtls", "delete", "secret", authority];
    exposed.kubectl(&delete);
    let finding = exposed.finds("authority/keys-missing", "error");
    pastes_all_commands(&exposed, &finding);
    exposed.is_healthy();
    count("remedy", "authority/keys-missing");
    assert_ne!(
        exposed.desk.get("kubectl-mtls", "secret", authority)["data"],
        saved["data"]
    );

    // From a backup.
    let saved = exposed.desk.get("kubectl-mtls", "secret", authority);
    exposed.kubectl(&delete);
    exposed.finds("authority/keys-missing", "error");
    let copy = json!({
        "apiVersion": "v1", "kind": "Secret", "type": saved["type"], "data": saved["data"],
        "metadata": {
            "name": authority, "namespace": "kubectl-mtls",
            "labels": saved["metadata"]["labels"], "annotations": saved["metadata"]["annotations"],
        },
    });
    exposed.desk.instance.create(vec![copy]).unwrap();
    exposed.is_healthy();
}

#[test]
fn a_service_that_is_gone_is_created_again_or_unexposed() {
    let exposed = broken("abandoned", |exposed| {
        exposed.own(&["delete", "service", "httpbin"]);
    });
    exposed.finds("service/missing", "error");
    let namespace = exposed.desk.namespace.as_str();
    let instance = &exposed.desk.instance;
    instance.deploy_echo(namespace, "httpbin").unwrap();
    exposed.is_healthy();
    exposed.own(&["delete", "service", "httpbin"]);
    let finding = exposed.finds("service/missing", "error");
    exposed.pastes_remedy(&finding);
    // The Gateway stays for the next Service.
    exposed.finds("route/none", "warning");
    count("remedy", "service/missing");
}
