//! Faults of the CAs above the server certificate, and the certificates of these tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::dns::edit;
use super::server::{SECRET, certificate, pattern};
use super::{PLAIN_HOST, findings, kyma, only, only_until_repaired, plain};
use crate::pki::inspect;
use crate::pki::tests::NOW;
use crate::plan::check::Severity;
use crate::plan::testing::Cluster;
use crate::resources::client_ca::secret;

/// A CA, and what signs with it.
pub(super) struct Ca {
    pub certificate: inspect::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

pub(super) fn day(days: i64) -> OffsetDateTime {
    NOW + Duration::days(days)
}

fn signed(params: &CertificateParams, key: &KeyPair, above: Option<&Ca>) -> inspect::Certificate {
    let signed = match above {
        Some(above) => params.signed_by(key, &above.issuer),
        None => params.self_signed(key),
    };
    inspect::Certificate::from_der(signed.unwrap().der()).unwrap()
}

/// A CA that ends in so many days.
pub(super) fn ca(name: &str, above: Option<&Ca>, days: i64) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (day(-900), day(days));
    let key = KeyPair::generate().unwrap();
    Ca {
        certificate: signed(&params, &key, above),
        issuer: Issuer::new(params, key),
    }
}

/// A server certificate that is valid between these days.
pub(super) fn leaf(
    host: &str,
    ca: &Ca,
    from: i64,
    to: i64,
    more: Vec<CustomExtension>,
) -> inspect::Certificate {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (day(from), day(to));
    params.custom_extensions = more;
    signed(&params, &KeyPair::generate().unwrap(), Some(ca))
}

/// Puts these certificates into the server Secret, as the issuer does; every proxy that does not lag loads them.
pub(super) fn show(cluster: &mut Cluster, chain: &[&inspect::Certificate]) {
    let pem: String = chain.iter().map(|certificate| certificate.pem()).collect();
    let name = secret("istio-system", SECRET);
    edit(cluster, &name, |body| {
        body["data"]["tls.crt"] = BASE64.encode(pem).into();
    });
    if cluster.objects.contains_key(&certificate()) {
        let end = chain[0].not_after().format(&Rfc3339).unwrap();
        edit(cluster, &certificate(), |body| {
            body["status"]["expirationDate"] = end.into();
        });
    }
    cluster.load();
}

#[test]
fn a_certificate_of_an_acme_server_without_its_issuers_is_incomplete() {
    let mut cluster = kyma();
    let root = ca("Root", None, 900);
    let issuing = ca("Issuing", Some(&root), 900);
    let own = leaf(&pattern(), &issuing, -9, 81, Vec::new());
    show(&mut cluster, &[&own]);
    only(
        &mut cluster,
        "server-certificate/chain-incomplete",
        Severity::Error,
    );
}

/// A host on a cluster without Gardener whose server certificate somebody keeps in a Secret.
fn given(chain: &[&inspect::Certificate]) -> Cluster {
    let mut cluster = plain();
    edit(&mut cluster, &secret("istio-system", SECRET), |body| {
        body["metadata"]["labels"] = json!({});
        body["metadata"]["annotations"] = json!({});
    });
    show(&mut cluster, chain);
    cluster
}

#[test]
fn an_expired_ca_above_a_certificate_of_gardener_is_renewed_away() {
    let mut cluster = kyma();
    let root = ca("Root", None, 900);
    let issuing = ca("Issuing", Some(&root), -1);
    let own = leaf(&pattern(), &issuing, -9, 81, Vec::new());
    show(&mut cluster, &[&own, &issuing.certificate]);
    let id = "server-certificate/chain-expired";
    let finding = only_until_repaired(&mut cluster, id, Severity::Error);
    assert!(
        finding.remedy.contains(r#"{"renew":true}"#),
        "{}",
        finding.remedy
    );
}

fn extension(oid: &[u64], content: &[u8]) -> Vec<CustomExtension> {
    vec![CustomExtension::from_oid_content(oid, content.to_vec())]
}

#[test]
fn what_is_not_known_of_an_issuer_is_no_fault() {
    let root = ca("Root", None, 900);
    let alone = |more| leaf(PLAIN_HOST, &root, -9, 81, more);
    // A root that signs servers itself is known to its clients.
    let own = alone(Vec::new());
    assert_eq!(findings(&mut given(&[&own])), []);
    assert_eq!(findings(&mut given(&[&own, &root.certificate])), []);
    // One that says where its certificate is may be an intermediate.
    let address = b"\x30\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x08http://x";
    let addressed = alone(extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], address));
    let id = "server-certificate/chain-incomplete";
    only(&mut given(&[&addressed]), id, Severity::Note);
    // One with the timestamps of public logs always is.
    let timestamps = extension(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], b"\x04\x02\x00\x00");
    only(&mut given(&[&alone(timestamps)]), id, Severity::Error);
    // And one below which other CAs are shown is not one of them.
    let other = ca("Other", None, 900);
    only(&mut given(&[&own, &other.certificate]), id, Severity::Error);
}

#[test]
fn an_expired_ca_above_is_an_error_where_every_client_needs_it() {
    let old_root = ca("Root", None, -1);
    let issuing = ca("Issuing", Some(&old_root), -1);
    let id = "server-certificate/chain-expired";
    let own = leaf(PLAIN_HOST, &issuing, -9, 81, Vec::new());
    only(
        &mut given(&[&own, &issuing.certificate]),
        id,
        Severity::Error,
    );
    let issuing = ca("Issuing", Some(&old_root), 900);
    let cross = ca("Cross", Some(&old_root), -1);
    let below = ca("Below", Some(&cross), 900);
    let own = leaf(PLAIN_HOST, &below, -9, 81, Vec::new());
    only(
        &mut given(&[&own, &below.certificate, &cross.certificate]),
        id,
        Severity::Warning,
    );
    let own = leaf(PLAIN_HOST, &issuing, -9, 81, Vec::new());
    only(
        &mut given(&[&own, &issuing.certificate, &old_root.certificate]),
        id,
        Severity::Error,
    );
}
