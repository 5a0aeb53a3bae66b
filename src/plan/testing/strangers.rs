//! Those who must not get in, asked of every proxy.

use std::sync::OnceLock;

use super::Cluster;
use super::proxies::server_issuer;
use crate::pki::inspect::Certificate;
use crate::plan::probe::Outcome;
use crate::resources::Kind;
use crate::resources::gateway::Gateway;

/// A client certificate of the CA that issues server certificates: it gets in where a server has lost its client CA and istiod
/// takes that of its own certificate.
fn of_the_server_issuer() -> &'static Certificate {
    static CLIENT: OnceLock<Certificate> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let (_, certificate) = crate::pki::tests::client(server_issuer());
        certificate
    })
}

impl Cluster {
    /// The HTTP statuses that the proxies answer a client, or somebody without certificate; none where the handshake failed.
    pub fn statuses(&self, host: &str, client: Option<&Certificate>) -> Vec<Option<u16>> {
        self.statuses_by(host, host, client)
    }

    /// The same under another server name in the handshake.
    pub fn statuses_by(
        &self,
        server_name: &str,
        host: &str,
        client: Option<&Certificate>,
    ) -> Vec<Option<u16>> {
        let shown = self.proxies.show(server_name, host, client, self.now);
        let shown = shown.into_iter();
        shown
            .map(|observation| match observation.outcome {
                Outcome::Answered(status) => Some(status),
                _ => None,
            })
            .collect()
    }

    /// Asserts that no proxy lets anybody in for the host who has no certificate, or one of the server's issuer only. Where no Gateway
    /// but Kyma's own serves the host, that one may answer, but not from the Service.
    #[track_caller]
    pub fn assert_closed(&self, host: &str) {
        let mut gateways = self.objects.values().filter_map(|object| {
            let is_one = object.reference().kind == Kind::Gateway;
            is_one.then(|| Gateway::read(object).unwrap())
        });
        let is_served = gateways
            .any(|gateway| !gateway.name.is_kymas_own() && gateway.server_for(host).is_some());
        for client in [None, Some(of_the_server_issuer())] {
            for status in self.statuses(host, client).into_iter().flatten() {
                let who = client.map_or("nobody", Certificate::subject);
                assert!(status != 200 && !is_served, "{who} is let in: {status}");
            }
        }
    }
}
