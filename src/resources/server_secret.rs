//! The server Secret that this plugin writes, and the Secret with the server CA.
//!
//! Both are of type `kubernetes.io/tls` with exactly `tls.crt` and `tls.key`. A `ca.crt` or `cacert` in a server Secret could become the
//! client CA (istiod, `pilot/pkg/credentials/kube`). The facts that a rerun needs are in its annotations, so that nobody has to read the
//! key for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::data::decoded;
use super::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName,
    MANAGED_BY, SERVER_CA_ANNOTATION, SERVER_EXPIRES_ANNOTATION, SERVER_FINGERPRINT_ANNOTATION,
    SERVER_HOST_ANNOTATION,
};
use super::{Kind, Object, ObjectRef, Unreadable};
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::server::ServerIdentity;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const TLS: &str = "kubernetes.io/tls";

/// The reference to a server Secret: a Gateway's credential must be in its proxies' namespace.
pub fn reference(proxy_namespace: &str, credential: &str) -> ObjectRef {
    ObjectRef::new(Kind::Secret, proxy_namespace, credential)
}

/// Whether a manifest contains a key pair, which is never shown.
pub fn holds_key(object: &Object) -> bool {
    object.reference().kind == Kind::Secret && object.text(&["type"]) == TLS
}

/// The server Secret with its annotations, without the key pair.
pub fn outline(reference: ObjectRef, gateway: &GatewayName, host: &str) -> Object {
    Object::new(reference)
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_annotation(GATEWAY_ANNOTATION, &gateway.to_string())
        .with_annotation(SERVER_HOST_ANNOTATION, host)
        .with("type", TLS.into())
}

/// The server Secret with its key pair; `ca` is the fingerprint of the server CA, empty if the certificate was given.
pub fn filled(outline: Object, identity: &ServerIdentity, ca: &str) -> Object {
    let own = identity.certificate();
    let expires = own.not_after().format(&Rfc3339).unwrap_or_default();
    let data = json!({
        CERTIFICATE: BASE64.encode(identity.chain_pem()),
        KEY: BASE64.encode(identity.key().to_pem().as_bytes()),
    });
    outline
        .with_annotation(SERVER_EXPIRES_ANNOTATION, &expires)
        .with_annotation(SERVER_FINGERPRINT_ANNOTATION, &own.fingerprint())
        .with_annotation(SERVER_CA_ANNOTATION, ca)
        .with("data", data)
}

/// The annotations of a server Secret that this plugin wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSecret {
    /// The host, a wildcard or exact.
    pub host: String,
    /// The certificate's end, UTC.
    pub expires: Option<OffsetDateTime>,
    /// The certificate's SHA-256, lower-case hex.
    pub fingerprint: String,
    /// The SHA-256 of the server CA that signed the certificate; empty if the certificate was
    /// given.
    pub ca: String,
}

impl ServerSecret {
    /// Reads the metadata of a server Secret that this plugin wrote.
    pub fn read(object: &Object) -> Self {
        let annotation = |key| object.annotation(key).unwrap_or_default().to_owned();
        Self {
            host: annotation(SERVER_HOST_ANNOTATION),
            expires: OffsetDateTime::parse(&annotation(SERVER_EXPIRES_ANNOTATION), &Rfc3339).ok(),
            fingerprint: annotation(SERVER_FINGERPRINT_ANNOTATION),
            ca: annotation(SERVER_CA_ANNOTATION),
        }
    }
}

/// The reference to the Secret with the CA that signs server certificates.
pub fn ca_reference(authority: &str) -> ObjectRef {
    let name = format!("{authority}-server-ca");
    ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, name)
}

/// The Secret with the CA that signs server certificates. It is created, never applied, because the answer to an apply would show the key.
pub fn ca_object(authority: &str, ca: &Authority) -> Object {
    Object::new(ca_reference(authority))
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_label(AUTHORITY_LABEL, authority)
        .with("type", TLS.into())
        .with(
            "data",
            json!({
                CERTIFICATE: BASE64.encode(ca.certificate().pem()),
                KEY: BASE64.encode(ca.key().to_pem().as_bytes()),
            }),
        )
}

/// Certificate and key of a CA's Secret, as PEM.
pub fn key_pair(object: &Object) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Unreadable> {
    let mut data = decoded(object)?;
    let mut take = |key: &str| {
        data.remove(key)
            .ok_or_else(|| object.unreadable(format!("the Secret has no `{key}`")))
    };
    Ok((take(CERTIFICATE)?, Zeroizing::new(take(KEY)?)))
}

/// The certificate in a CA's Secret.
pub fn certificate(object: &Object) -> Result<Certificate, Unreadable> {
    let (pem, _) = key_pair(object)?;
    Certificate::from_pem(pem).map_err(|error| object.unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::{NOW, authority};

    const HOST: &str = "*.mtls.local.kyma.dev";

    #[test]
    fn a_server_secret_has_a_key_pair_and_nothing_that_could_become_a_client_ca() {
        let authority = authority();
        let identity = ServerIdentity::generate(&authority, HOST, NOW, [3; 20]).unwrap();
        let outline = outline(
            reference("istio-system", "kyma-mtls"),
            &GatewayName::new("shop", "gw"),
            HOST,
        );
        let ca = authority.certificate().fingerprint();
        let object = filled(outline, &identity, &ca);
        let keys: Vec<&String> = object
            .at(&["data"])
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(keys, ["tls.crt", "tls.key"]);
        assert!(object.is_ours() && holds_key(&object));
        let read = ServerSecret::read(&object);
        assert_eq!(read.expires, Some(identity.certificate().not_after()));
        assert_eq!((read.host.as_str(), read.ca), (HOST, ca));
    }

    #[test]
    fn the_ca_reads_back_from_its_secret() {
        let authority = authority();
        let object = ca_object("kyma-mtls", &authority);
        assert_eq!(object.namespace(), "kubectl-mtls");
        assert_eq!(&certificate(&object).unwrap(), authority.certificate());
        let (certificate, key) = key_pair(&object).unwrap();
        Authority::load(certificate, key.as_slice(), NOW).unwrap();
    }
}
