//! Other servers of the same Gateway object that serve a host with a different certificate check.

use super::Listener;
use crate::resources::gateway::{Gateway, Server};

/// A server that serves a host without the client certificates that the host's mutual-TLS server requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherServer<'a> {
    /// The server.
    pub server: &'a Server,
    /// Who is accepted by the server: `anybody, without a certificate`.
    pub admits: String,
    /// Whether an intact host guard denies the server's requests.
    pub is_stopped: bool,
    /// The TCP server whose connections a guard would cut if it denied them.
    pub hidden_by: Option<String>,
}

/// The servers of a Gateway that serve a host with another certificate check than `ours`, the host's mutual-TLS server.
///
/// A route is bound to the Gateway object: it is reached through each of its servers whose hosts cover the route's (istiod,
/// `pilot/pkg/networking/core/gateway.go`).
pub fn other_servers<'a>(
    gateway: &'a Gateway,
    ours: &Server,
    host: &str,
    listener: &Listener,
) -> Vec<OtherServer<'a>> {
    let mut is_ours_seen = false;
    let mut others = Vec::new();
    for server in &gateway.servers {
        if !is_ours_seen && server == ours {
            is_ours_seen = true;
            continue;
        }
        if !server.serves(host) || server.forwards_tcp() {
            continue;
        }
        if let Some(admits) = admits(server, ours, listener.passes_redirects) {
            others.push(OtherServer {
                server,
                admits,
                is_stopped: listener.tells_apart(server),
                hidden_by: listener.hides(server).map(str::to_owned),
            });
        }
    }
    others
}

/// Who is accepted by a server; `None` if only clients of `ours` are, or nobody is. With `passes_redirects` a server that
/// redirects to HTTPS counts as open: a client's `X-Forwarded-Proto` bypasses the redirect.
pub fn admits(server: &Server, ours: &Server, passes_redirects: bool) -> Option<String> {
    let anybody = "anybody, without a certificate".to_owned();
    if server.protocol.starts_with("HTTP") && server.protocol != "HTTPS"
        || server.protocol.starts_with("GRPC")
    {
        return match (server.redirects, passes_redirects) {
            (false, _) => Some(anybody),
            (true, true) => Some(format!(
                "{anybody}, who sends `X-Forwarded-Proto: https` (`numTrustedProxies` lets that bypass the redirect)"
            )),
            (true, false) => None,
        };
    }
    match server.mode.as_str() {
        "MUTUAL" if server.skips_verification => {
            Some("anybody with any certificate, whatever name it has".to_owned())
        }
        "MUTUAL" if server.client_ca_source() == ours.client_ca_source() => None,
        "MUTUAL" => Some(format!(
            "clients of the CAs in `{}`",
            server.client_ca_source()
        )),
        "ISTIO_MUTUAL" => Some("every workload of the mesh".to_owned()),
        _ => Some(anybody),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Object;
    use crate::resources::names::GatewayName;
    use serde_json::{Value, json};

    const HOST: &str = "a.mtls.d";

    /// Whether another server is found, and whether a guard stops it.
    fn judge(other: &Value) -> Option<bool> {
        judge_where(other, false)
    }

    /// The same where a header of clients bypasses redirects to HTTPS, or does not.
    fn judge_where(other: &Value, passes_redirects: bool) -> Option<bool> {
        let ours = json!({
            "hosts": ["*.mtls.d"], "port": {"name": "mtls", "number": 443, "protocol": "HTTPS"},
            "tls": {"mode": "MUTUAL", "credentialName": "c"},
        });
        let object = Object::new(GatewayName::new("shop", "gw").reference())
            .with("spec", json!({"servers": [ours, other]}));
        let gateway = Gateway::read(&object).unwrap();
        let gateways = [gateway.clone()];
        let ours = &gateway.servers[0];
        let ports = crate::resources::guard::ProxyPorts {
            service: &[],
            pods: &[],
        };
        let listener = Listener::of([ours], &gateway.ingress, &gateways, &[ports])
            .passing_redirects(passes_redirects);
        let others = other_servers(&gateway, ours, HOST, &listener);
        others.first().map(|other| other.is_stopped)
    }

    fn server(hosts: &[&str], port: u16, protocol: &str, tls: &Value) -> Value {
        json!({"hosts": hosts, "port": {"name": "x", "number": port, "protocol": protocol}, "tls": tls})
    }

    #[test]
    fn every_server_through_which_others_get_in_is_found_and_stopped() {
        let simple = json!({"mode": "SIMPLE", "credentialName": "c"});
        let optional = json!({"mode": "OPTIONAL_MUTUAL", "credentialName": "c"});
        let other_ca = json!({"mode": "MUTUAL", "credentialName": "d"});
        let of_the_mesh = json!({"mode": "ISTIO_MUTUAL"});
        let careless = json!({"mode": "MUTUAL", "credentialName": "c", "insecureSkipVerify": true});
        for other in [
            server(&["*.mtls.d"], 80, "HTTP", &json!(null)),
            server(&["*"], 80, "HTTP", &json!(null)),
            server(&["*.mtls.d"], 80, "HTTP2", &json!(null)),
            server(&["*.mtls.d"], 80, "GRPC", &json!(null)),
            server(&["*.d"], 443, "HTTPS", &of_the_mesh),
            server(&["*.mtls.d"], 8443, "HTTPS", &of_the_mesh),
            server(&["*.d"], 443, "HTTPS", &careless),
            server(&["*.d"], 443, "HTTPS", &simple),
            server(&["*"], 443, "HTTPS", &simple),
            server(&["*.d"], 443, "HTTPS", &optional),
            server(&["*.d"], 443, "HTTPS", &other_ca),
            server(&["*.mtls.d"], 8443, "HTTPS", &other_ca),
            server(&["*.mtls.d"], 8443, "HTTPS", &simple),
        ] {
            assert_eq!(judge(&other), Some(true), "{other}");
        }
    }

    #[test]
    fn servers_with_the_same_trust_and_those_that_lead_elsewhere_are_no_others() {
        let same = json!({"mode": "MUTUAL", "credentialName": "c"});
        for other in [
            server(&["*.mtls.d"], 8443, "HTTPS", &same),
            server(&["b.d"], 443, "HTTPS", &json!({"mode": "SIMPLE"})),
            server(&["*.mtls.d"], 80, "HTTP", &json!({"httpsRedirect": true})),
            server(&["*.mtls.d"], 9443, "TLS", &json!({"mode": "PASSTHROUGH"})),
            server(&["*"], 5432, "TCP", &json!(null)),
        ] {
            assert_eq!(judge(&other), None, "{other}");
        }
    }

    #[test]
    fn a_redirect_that_a_header_bypasses_is_another_server() {
        let redirect = json!({"httpsRedirect": true});
        for protocol in ["HTTP", "HTTP2", "GRPC"] {
            let other = server(&["*.mtls.d"], 80, protocol, &redirect);
            assert_eq!(judge_where(&other, true), Some(true), "{protocol}");
            assert_eq!(judge_where(&other, false), None, "{protocol}");
        }
    }

    #[test]
    fn no_guard_stops_a_second_server_with_the_same_host_string_and_port() {
        let simple = json!({"mode": "SIMPLE", "credentialName": "c"});
        let other = server(&["*.mtls.d"], 443, "HTTPS", &simple);
        assert_eq!(judge(&other), Some(false));
    }
}
