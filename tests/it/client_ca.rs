//! `expose --client-ca`: what may stand in the file, and what is refused before anything is asked of the cluster.

use kubectl_mtls::resources::client_ca::ClientCa;
use kubectl_mtls::resources::{Kind, Object};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair};
use time::{Duration, OffsetDateTime};

use crate::lab::{Desk, let_in, main_job, own_namespace, requests};

/// The name of a CA with a critical extension that no gateway knows.
const CRITICAL: &str = "critical";

/// A CA of somebody else that ends at a time.
fn ca(name: &str, key: &KeyPair, not_after: OffsetDateTime) -> String {
    certificate(
        name,
        key,
        not_after,
        IsCa::Ca(BasicConstraints::Unconstrained),
    )
}

fn certificate(name: &str, key: &KeyPair, not_after: OffsetDateTime, is_ca: IsCa) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    if name == CRITICAL {
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0x0c, 1, b'x']);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    }
    params.not_before = OffsetDateTime::now_utc() - Duration::days(10);
    params.not_after = not_after;
    params.self_signed(key).unwrap().pem()
}

fn in_a_year() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(365)
}

fn write(desk: &Desk, content: impl AsRef<[u8]>) {
    std::fs::write(desk.folder.path().join("given.crt"), content).unwrap();
}

#[test]
fn a_file_that_cannot_be_trusted_is_refused_with_the_reason_and_nothing_is_written() {
    let instance = &main_job().desk.instance;
    let desk = Desk::new(instance, "shop");
    let key = KeyPair::generate().unwrap();
    let good = ca("company", &key, in_a_year());
    let ended = OffsetDateTime::now_utc() - Duration::days(1);
    let expired = ca("old company", &key, ended);
    let leaf = certificate("a server", &key, in_a_year(), IsCa::ExplicitNoCa);
    let cut = good.replace("-----END CERTIFICATE-----", "");
    let damaged = good.replacen("MII", "AAA", 1);
    let request = good.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    let critical = ca(CRITICAL, &key, in_a_year());
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("nothing", Vec::new(), "is empty"),
        (
            "garbage",
            b"not a certificate\n".to_vec(),
            "no PEM block found",
        ),
        (
            "binary",
            vec![0x30, 0x82, 0xff, 0x00, 0x01],
            "no PEM block found",
        ),
        (
            "a block without end",
            cut.into_bytes(),
            "PEM block 1 is damaged or cut off",
        ),
        ("damaged base64", damaged.into_bytes(), "block 1"),
        (
            "a leaf",
            leaf.into_bytes(),
            "`CN=a server` in the trust bundle is not a CA",
        ),
        (
            "a CA that no client would pass",
            critical.into_bytes(),
            "critical extension `1.2.3.4`",
        ),
        ("expired ones only", expired.into_bytes(), "has expired"),
        (
            "a private key",
            format!("{good}{}", key.serialize_pem()).into_bytes(),
            "holds a private key (`PRIVATE KEY`); remove it",
        ),
        (
            "a request",
            request.into_bytes(),
            "only certificates belong there",
        ),
        (
            "a leaf behind a CA",
            format!("{good}{}", certificate("x", &key, in_a_year(), IsCa::NoCa)).into_bytes(),
            "is not a CA certificate",
        ),
    ];
    let mark = instance.audit_mark().unwrap();
    for (what, content, says) in cases {
        write(&desk, content);
        let run = desk.run(&["expose", "httpbin", "--client-ca", "given.crt"]);
        assert_eq!(run.code, 2, "{what}: {run:#?}");
        assert!(run.stderr.contains(says), "{what}: {run:#?}");
        assert!(
            run.stderr.contains("`--client-ca given.crt`"),
            "{what}: {run:#?}"
        );
        assert!(!run.stderr.contains("MI"), "{what}: {run:#?}");
    }
    desk.run(&["expose", "httpbin", "--client-ca", "absent.crt"])
        .exits(2)
        .says("absent.crt");
    let log = instance.audit_log(mark).unwrap();
    let events = requests(&log);
    let written = events
        .iter()
        .filter(|event| event.is_write() && event.namespace == "shop");
    assert_eq!(written.count(), 0);
}

#[test]
fn line_ends_of_windows_text_around_and_a_missing_last_newline_change_nothing() {
    let (desk, host) = own_namespace("windows");
    desk.run(&["issue-client", "dora", "--ca-dir", "ca"])
        .exits(0);
    let pem = desk.read("ca/ca.crt");
    let ended = OffsetDateTime::now_utc() - Duration::days(1);
    let expired = ca("old company", &KeyPair::generate().unwrap(), ended);
    let text = format!("subject=CN = company\n{pem}# the old one\n{expired}{pem}");
    write(&desk, text.trim_end().replace('\n', "\r\n"));
    let arguments = [
        "expose",
        "httpbin",
        "--host",
        &host,
        "--client-ca",
        "given.crt",
    ];
    let run = desk.run(&arguments).exits(0);
    let_in(&desk.client("dora"), &host);
    let authority = run
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("client CA"));
    let name = authority.unwrap().trim().rsplit('/').next().unwrap();
    let live = desk.get("kubectl-mtls", "configmap", name);
    let trusted = ClientCa::read(&Object::from_server(Kind::ConfigMap, live).unwrap()).unwrap();
    assert_eq!(
        trusted.bundle.to_pem(),
        pem,
        "re-encoded, once, without the expired one"
    );
    // The same file again is no change.
    let again = desk.run(&arguments).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}

#[test]
fn a_thousand_cas_are_trusted_and_offered() {
    let (desk, host) = own_namespace("thousand");
    desk.run(&["issue-client", "dora", "--ca-dir", "ca"])
        .exits(0);
    let key = KeyPair::generate().unwrap();
    let mut many: String = (1..1000)
        .map(|number| ca(&format!("c{number}"), &key, in_a_year()))
        .collect();
    many.push_str(&desk.read("ca/ca.crt"));
    write(&desk, many);
    let arguments = [
        "expose",
        "httpbin",
        "--host",
        &host,
        "--client-ca",
        "given.crt",
    ];
    desk.run(&arguments).exits(0);
    let_in(&desk.client("dora"), &host);
}
