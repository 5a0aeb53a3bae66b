//! `issue-client`: what a certificate says of its client, as OpenSSL reads it, and the names that nobody gets.

use crate::ca_dir::{Offline, openssl};
use crate::lab::Desk;
use crate::stage::{NAMESPACE, stage};

/// One extension, or field, as openssl prints it.
fn printed(offline: &Offline, file: &str, what: &str) -> String {
    let text = format!("x509 -noout -nameopt RFC2253,utf8,-esc_msb {what} -in");
    let mut arguments: Vec<&str> = text.split(' ').collect();
    arguments.push(file);
    openssl(&offline.path(""), &arguments)
}

#[test]
fn a_subject_keeps_its_order_its_repeats_and_its_letters() {
    let offline = Offline::new();
    for (name, subject) in [
        ("repeats", "CN=alice,OU=a,OU=b,OU=a,DC=example,DC=com"),
        (
            "letters",
            "CN=Jürgen\\, der \\\"Erste\\\",O=日本 \\+ Söhne,C=DE",
        ),
        (
            "device",
            "serialNumber=17,UID=x1,emailAddress=a@example.com,L=Łódź,O=Example",
        ),
        ("last", "O=Example,CN=alice"),
    ] {
        offline.issue(&[name, "--subject", subject]).exits(0);
        let read = printed(&offline, &format!("{name}.crt"), "-subject");
        assert_eq!(read.trim_end(), format!("subject={subject}"));
    }
}

#[test]
fn every_kind_of_alternative_name_is_there_and_always_a_uri() {
    let offline = Offline::new();
    let sans = |file: &str| {
        let text = printed(&offline, file, "-ext subjectAltName");
        text.lines().nth(1).unwrap().trim().to_owned()
    };
    let all = "--uri urn:a --uri https://a.example/b --dns a.example --dns b_c.example --email a@example.com --ip 10.0.0.1 --ip fd00::1";
    let arguments: Vec<&str> = std::iter::once("full").chain(all.split(' ')).collect();
    offline.issue(&arguments).exits(0);
    assert_eq!(
        sans("full.crt"),
        "URI:urn:a, URI:https://a.example/b, DNS:a.example, DNS:b_c.example, email:a@example.com, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1"
    );
    offline
        .issue(&["Alice Müller", "--dns", "a.example"])
        .exits(0);
    assert_eq!(
        sans("Alice Müller.crt"),
        "URI:spiffe://kyma-mtls-clients/Alice%20M%C3%BCller, DNS:a.example"
    );
    offline
        .issue(&["carol", "--trust-domain", "example.org"])
        .exits(0);
    assert_eq!(sans("carol.crt"), "URI:spiffe://example.org/carol");
}

#[test]
fn a_certificate_is_a_clients_and_nothing_else() {
    let offline = Offline::new();
    for name in ["alice", "bob"] {
        offline.issue(&[name]).exits(0);
    }
    let text = openssl(
        &offline.path(""),
        &["x509", "-noout", "-text", "-in", "alice.crt"],
    );
    for line in [
        "Version: 3 (0x2)",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "CA:FALSE",
        "X509v3 Subject Key Identifier",
    ] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    let identifier = |file: &str, what: &str| {
        let text = printed(&offline, file, &format!("-ext {what}"));
        text.lines().nth(1).unwrap().trim().to_owned()
    };
    assert_eq!(
        identifier("alice.crt", "authorityKeyIdentifier"),
        identifier("ca/ca.crt", "subjectKeyIdentifier")
    );
    let serials = ["alice.crt", "bob.crt"].map(|file| printed(&offline, file, "-serial"));
    assert_ne!(serials[0], serials[1]);
    for serial in serials {
        let digits = serial.trim_end().trim_start_matches("serial=").len();
        assert!(digits >= 32, "{serial}: fewer than 128 bits");
    }
}

#[test]
fn an_identity_of_the_mesh_or_of_another_client_is_nobodys() {
    let offline = Offline::new();
    for (uri, words) in [
        ("spiffe://cluster.local/ns/shop/sa/admin", "cluster.local"),
        ("spiffe://CLUSTER.local/ns/shop/sa/admin", "lower-case"),
        ("spiffe://kyma-mtls-clients/bob", "bob"),
        ("urn:a,URI=spiffe://x/y", "URI SAN"),
        ("urn:*", "percent-encode"),
        ("no uri", "URI SAN"),
        ("", "URI SAN"),
    ] {
        offline.refuses(&["alice", "--uri", uri], words);
        // Nor beside a good one.
        offline.refuses(&["alice", "--uri", "urn:a", "--uri", uri], words);
    }
    for domain in ["cluster.local", "a,b", "UPPER", ""] {
        offline.refuses(&["alice", "--trust-domain", domain], "URI SAN");
    }
}

#[test]
fn an_identity_in_the_meshs_own_trust_domain_is_refused() {
    let stage = stage();
    stage.clear();
    let desk = Desk::new(&stage.desk.instance, NAMESPACE);
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: mesh.example'}\n";
    desk.kubectl(&["apply", "-f", "-"], mesh);
    let refused = desk.run(&[
        "issue-client",
        "alice",
        "--uri",
        "spiffe://mesh.example/ns/a/sa/b",
    ]);
    let fine = desk.run(&["issue-client", "alice", "--uri", "spiffe://other.example/a"]);
    desk.kubectl(&["-n", "istio-system", "delete", "configmap", "istio"], "");
    refused.exits(2).says("mesh.example");
    fine.exits(0);
}

#[test]
fn names_that_no_certificate_can_hold_are_refused() {
    let offline = Offline::new();
    let long = format!("CN={}", "x".repeat(65));
    for (flag, value, words) in [
        ("--subject", "", "subject"),
        ("--subject", "alice", "no `=`"),
        ("--subject", "CN=a+UID=b", "multi-valued"),
        ("--subject", "X=a", "is unknown"),
        ("--subject", "C=de", "two capital letters"),
        ("--subject", "CN=a\nb", "control characters"),
        ("--subject", &long, "65 characters"),
        ("--dns", "*.example.com", "DNS SAN"),
        ("--dns", "exämple.com", "DNS SAN"),
        ("--dns", "", "DNS SAN"),
        ("--email", "alice", "e-mail SAN"),
        ("--email", "a@b, c@d", "e-mail SAN"),
        ("--ip", "10.0.0.300", "--ip"),
    ] {
        offline.refuses(&["alice", flag, value], words);
    }
}
