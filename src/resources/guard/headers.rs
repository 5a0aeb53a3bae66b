//! The header guard: no client sends an identity header through a Gateway's mutual-TLS server.
//!
//! Envoy sets the identity headers after authorization, so a rule on them sees the client's own headers. A route that only sets headers
//! (Kyma's `APIRule`) leaves a client's own header if the certificate lacks the value, and no route removes `X_CLIENT_SSL_CN`, which CGI
//! and WSGI applications read as the same variable.

use serde_json::{Value, json};

use super::listener::Listener;
use super::{denying, headers_reference};
use crate::resources::Object;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::GatewayName;

/// The headers with the caller's identity in routes of this plugin, in lower case.
pub const IDENTITY_HEADERS: [&str; 3] =
    ["x-client-ssl-cn", "x-client-ssl-san", "x-client-ssl-issuer"];
/// The header that Envoy itself sets from the client's certificate (`x-forwarded-client-cert`), in this spelling only.
const FORWARDED: &str = "x-forwarded-client-cert";
/// The most `-` and `_` in a header that can be guarded: each doubles the number of spellings, and of rules.
pub const MOST_SEPARATORS: usize = 6;

/// Whether a header has few enough spellings for rules against all of them.
pub fn has_few_spellings(header: &str) -> bool {
    header.matches(['-', '_']).count() <= MOST_SEPARATORS
}

/// Every spelling of a header with `-` and `_`, in lower case, the one with `-` only first.
pub fn spellings(header: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for character in header.to_lowercase().chars() {
        let choices: &[char] = match character {
            '-' | '_' => &['-', '_'],
            _ => &[character],
        };
        all = choices
            .iter()
            .flat_map(|choice| all.iter().map(move |begun| format!("{begun}{choice}")))
            .collect();
    }
    all
}

/// Rules that deny a request through the listener with one of these headers, in any spelling.
pub(super) fn rules<'a>(
    headers: impl IntoIterator<Item = &'a str>,
    listener: &Listener,
) -> Vec<Value> {
    let spelled = headers.into_iter().flat_map(spellings);
    spelled
        .flat_map(|header| denying_header(&header, listener))
        .collect()
}

fn denying_header(header: &str, listener: &Listener) -> Vec<Value> {
    let present = json!({"key": format!("request.headers[{header}]"), "values": ["*"]});
    listener.own_rules(&json!({}), &[present])
}

/// The header guard of a Gateway. Its rules change only if the Gateway's mutual-TLS servers do, or TCP servers beside them.
#[derive(Debug)]
pub struct HeaderGuard<'a> {
    /// The Gateway.
    pub gateway: &'a GatewayName,
    /// The Gateway's proxies.
    pub ingress: &'a IngressGateway,
    /// The Gateway's mutual-TLS servers, those of each port.
    pub listeners: &'a [Listener],
}

impl HeaderGuard<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let of_port = |listener| {
            let mut rules = rules(IDENTITY_HEADERS, listener);
            let misspelt = spellings(FORWARDED).into_iter().skip(1);
            rules.extend(misspelt.flat_map(|header| denying_header(&header, listener)));
            rules
        };
        let rules: Vec<Value> = self.listeners.iter().flat_map(of_port).collect();
        denying(
            headers_reference(&self.ingress.namespace, self.gateway),
            self.gateway,
            self.ingress,
            &rules,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_two_spellings_for_each_separator_and_dashes_only_come_first() {
        assert_eq!(spellings("X-A_B"), ["x-a-b", "x_a-b", "x-a_b", "x_a_b"]);
        assert_eq!(spellings(FORWARDED).len(), 8);
        assert_eq!(spellings(FORWARDED)[0], FORWARDED);
    }
}
