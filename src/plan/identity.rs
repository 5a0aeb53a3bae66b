//! What client certificates say: those of users, and those that the plugin shows itself to look with.

use time::Duration;

use crate::pki::leaf::LeafRequest;
use crate::pki::names::{ClientName, Error, Subject, check_uri_san, default_uri};

/// How long a certificate made only to look with is valid.
const CANARY_TTL: Duration = Duration::minutes(10);
const CANARY: &str = "kubectl-mtls canary";

/// A named client: CN and a URI SAN, which also keeps Envoy from passing a forged SAN header on.
///
/// Refuses a URI that would stand for a workload of the mesh, one of whose `trust_domains` it would lie in.
pub fn client(
    authority: &str,
    name: &ClientName,
    ttl: Duration,
    trust_domains: &[String],
) -> Result<LeafRequest, Error> {
    let uri = default_uri(authority, name);
    check_uri_san(&uri, authority, name, trust_domains)?;
    Ok(LeafRequest {
        subject: Subject::common_name(name.as_str())?,
        uris: vec![uri],
        ttl,
        ..LeafRequest::default()
    })
}

/// A short-lived client that only looks.
pub fn canary(authority: &str) -> Result<LeafRequest, Error> {
    let name: ClientName = CANARY.parse()?;
    client(authority, &name, CANARY_TTL, &[])
}
