//! The fail-closed Secret, which trusts nobody, under the name that istiod uses for the client CA if a Gateway names none.
//!
//! istiod up to 1.27, which does not support `configmap://`, and every istiod once the field is removed from the Gateway, falls back to
//! `<credentialName>-cacert`, and without that to `ca.crt` of the server's own Secret (`pilot/pkg/credentials/kube`, `GetCaCert`): anyone
//! with a certificate of the server's issuer would get in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use time::Duration;

use super::client_ca::ClientCa;
use super::names::{
    AUTHORITY_NAMESPACE, CLIENT_CA_IN_ANNOTATION, FAIL_CLOSED_ANNOTATION, FIELD_MANAGER,
    GATEWAY_ANNOTATION, GatewayName, MANAGED_BY,
};
use super::{Object, ObjectRef};
use crate::pki::inspect::Certificate;

/// Lifetime of the CA in the Secret, which never changes.
pub const TTL: Duration = Duration::days(50 * 365);

/// The Secret with this CA, whose key nobody has. An annotation says where the client CA is, since readers of Kyma's tutorial look here.
pub fn object(
    reference: ObjectRef,
    gateway: &GatewayName,
    ca: &Certificate,
    client_ca: &ObjectRef,
) -> Object {
    Object::new(reference)
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_annotation(GATEWAY_ANNOTATION, &gateway.to_string())
        .with_annotation(FAIL_CLOSED_ANNOTATION, &ca.fingerprint())
        .with_annotation(CLIENT_CA_IN_ANNOTATION, &client_ca.to_string())
        .with("type", "Opaque".into())
        .with("data", json!({"cacert": BASE64.encode(ca.pem())}))
}

/// The authority that such a Secret names.
pub fn client_ca_in(secret: &Object) -> Option<&str> {
    let told = secret.annotation(CLIENT_CA_IN_ANNOTATION)?;
    let reference = told.strip_prefix("ConfigMap ")?;
    let (namespace, name) = reference.split_once('/')?;
    (namespace == AUTHORITY_NAMESPACE).then_some(name)
}

/// The state of a possible fail-closed Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The Secret trusts nobody.
    Closed,
    /// The Secret was a fail-closed one, and somebody changed its CA.
    Changed,
    /// The Secret is not a fail-closed one.
    Another,
}

/// The state of a Secret, compared with those that this plugin writes.
pub fn standing(secret: &Object) -> Standing {
    let Some(made) = secret.annotation(FAIL_CLOSED_ANNOTATION) else {
        return Standing::Another;
    };
    if !secret.is_ours() {
        return Standing::Another;
    }
    let is_alone = ClientCa::read(secret)
        .is_ok_and(|client_ca| client_ca.bundle.fingerprints() == [made.to_owned()]);
    if is_alone {
        Standing::Closed
    } else {
        Standing::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::authority;
    use crate::resources::client_ca;
    use crate::resources::names::CredentialNames;

    #[test]
    fn it_is_known_again_and_so_is_what_somebody_made_of_it() {
        let names = CredentialNames::first();
        let reference = client_ca::secret("istio-system", &names.derived_client_ca());
        let gateway = GatewayName::new("shop", "gateway");
        let ca = authority();
        let closed = object(reference, &gateway, ca.certificate(), &names.state());
        assert_eq!(standing(&closed), Standing::Closed);
        let told = closed.annotation(CLIENT_CA_IN_ANNOTATION);
        assert_eq!(told, Some("ConfigMap kubectl-mtls/kyma-mtls"));
        assert_eq!(client_ca_in(&closed), Some("kyma-mtls"));
        let other = BASE64.encode(authority().certificate().pem());
        let changed = closed.clone().with("data", json!({"cacert": other}));
        assert_eq!(standing(&changed), Standing::Changed);
        let theirs = closed.without_label(MANAGED_BY);
        assert_eq!(standing(&theirs), Standing::Another);
    }
}
