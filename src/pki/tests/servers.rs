//! Server certificates as OpenSSL reads them, and which given ones are refused.

use super::*;
use crate::pki::server::{Error, ServerIdentity, TTL, ca_subject, is_ca_of, is_self_made};

const HOST: &str = "*.mtls.local.kyma.dev";

fn server_ca() -> Authority {
    let request = CaRequest {
        subject: ca_subject("kyma-mtls", [7; 4]).unwrap(),
        ttl: Duration::days(3650),
        key_type: KeyType::P256,
    };
    Authority::generate(&request, NOW, [5; 20]).unwrap()
}

fn server(authority: &Authority) -> ServerIdentity {
    ServerIdentity::generate(authority, HOST, NOW, [6; 20]).unwrap()
}

fn load(chain: &str, key: &str) -> Result<ServerIdentity, Error> {
    ServerIdentity::load(chain, key, NOW)
}

#[test]
fn openssl_takes_our_server_certificate_for_a_server_and_for_nothing_else() {
    let authority = server_ca();
    let identity = server(&authority);
    let bench = Bench::new();
    bench.write("ca.crt", authority.certificate().pem());
    bench.write("leaf.crt", identity.chain_pem());
    let at = NOW.unix_timestamp();
    let verify = |purpose: &str| {
        let arguments = format!(
            "verify -x509_strict -purpose {purpose} -verify_hostname httpbin.mtls.local.kyma.dev -attime {at} -CAfile ca.crt leaf.crt"
        );
        bench.output("openssl", &words(&arguments)).status.success()
    };
    assert!(verify("sslserver"));
    assert!(!verify("sslclient"));
    let own = identity.certificate();
    assert_eq!(own.not_after(), NOW + TTL);
    assert!(is_self_made(own) && !is_self_made(authority_leaf().certificate()));
}

/// One that another CA signed.
fn authority_leaf() -> ServerIdentity {
    server(&authority())
}

#[test]
fn a_host_too_long_for_a_common_name_is_still_covered() {
    let host = format!("*.mtls.{}.example.com", "x".repeat(60));
    let identity = ServerIdentity::generate(&server_ca(), &host, NOW, [6; 20]).unwrap();
    identity.check_host(&host.replacen('*', "a", 1)).unwrap();
}

#[test]
fn given_files_that_a_gateway_could_not_use_are_refused() {
    let authority = server_ca();
    let identity = server(&authority);
    let other = server(&authority);
    let (chain, key) = (identity.chain_pem(), identity.key().to_pem());
    let ca = authority.certificate().pem();
    load(&chain, &key).unwrap();
    load(&format!("{chain}{ca}"), &key).unwrap();

    let mismatch = load(&chain, &other.key().to_pem());
    assert!(matches!(mismatch, Err(Error::KeyMismatch { .. })));
    let turned_round = load(&format!("{ca}{chain}"), &key);
    assert!(matches!(turned_round, Err(Error::IsCa { .. })));
    let stranger = load(
        &format!("{chain}{}", super::authority().certificate().pem()),
        &key,
    );
    assert!(matches!(stranger, Err(Error::Chain { .. })));
    let late = ServerIdentity::load(&chain, key.as_bytes(), NOW + TTL + Duration::days(1));
    assert!(matches!(late, Err(Error::Expired { .. })));
    let early = ServerIdentity::load(&chain, key.as_bytes(), NOW - Duration::days(1));
    assert!(matches!(early, Err(Error::NotYetValid { .. })));
    let (client_key, client) = client(&authority);
    let for_clients = load(&client.pem(), &client_key.to_pem());
    assert!(matches!(for_clients, Err(Error::NotForServers { .. })));
    assert!(matches!(
        identity.check_host("other.example.com"),
        Err(Error::Host { .. })
    ));
}

#[test]
fn the_server_ca_of_an_authority_with_a_long_name_is_known_by_it() {
    let name = "authority-of-the-payments-team-for-all-its-partners-in-europe";
    let request = CaRequest {
        subject: ca_subject(name, [7; 4]).unwrap(),
        ttl: Duration::days(3650),
        key_type: KeyType::P256,
    };
    let authority = Authority::generate(&request, NOW, [5; 20]).unwrap();
    let ca = authority.certificate();
    assert!(is_ca_of(ca, name));
    assert!(!is_ca_of(ca, "authority"));
    assert!(is_ca_of(server_ca().certificate(), "kyma-mtls"));
}
