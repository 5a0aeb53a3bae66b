//! A proxy's own view of its configuration, read from its administration page through a port-forward.

use std::collections::BTreeSet;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

use super::cluster::Cluster;
use super::handshake::forward::{self, Unforwarded};
use crate::error::plain;
use crate::plan::Seen;
use crate::resources::ObjectRef;
use crate::resources::proxy_config::Part;

/// Envoy's administration page in Istio's Pods, open on their loopback only.
const ADMIN: u16 = 15_000;
const LIMIT: Duration = Duration::from_secs(20);

/// A part of the configuration, from the proxy's administration page.
pub async fn read(cluster: &Cluster, pod: &ObjectRef, part: &Part) -> Seen<BTreeSet<String>> {
    let asked = tokio::time::timeout(LIMIT, ask(cluster, pod, &part.path())).await;
    let failed = |reason: String| Seen::Failed(format!("the configuration of {pod}: {reason}"));
    match asked {
        Ok(Ok(body)) => match part.read(&body) {
            Some(lines) => Seen::Found(lines),
            None => failed("not JSON".to_owned()),
        },
        Ok(Err(Unasked(Unforwarded::Denied(denial)))) => Seen::Denied(denial),
        Ok(Err(Unasked(Unforwarded::Failed(reason)))) => failed(reason),
        Err(_) => failed(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

/// Removes the white space between the tokens of a JSON text as it arrives: three quarters of what Envoy prints.
#[derive(Default)]
struct Compact {
    json: Vec<u8>,
    is_in_string: bool,
    is_escaped: bool,
}

impl Compact {
    fn push(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            if !self.is_in_string {
                let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace());
                text = &text[blank.count()..];
            }
            let is_blank = |&byte: &u8| {
                let (is_in_string, is_escaped) = (self.is_in_string, self.is_escaped);
                self.is_escaped = is_in_string && byte == b'\\' && !is_escaped;
                self.is_in_string ^= byte == b'"' && !is_escaped;
                !self.is_in_string && byte.is_ascii_whitespace()
            };
            let end = text.iter().position(is_blank).unwrap_or(text.len());
            self.json.extend_from_slice(&text[..end]);
            text = &text[end..];
        }
    }
}

struct Unasked(Unforwarded);

impl Unasked {
    fn broken(reason: impl Into<String>) -> Self {
        Self(Unforwarded::Failed(reason.into()))
    }
}

impl<E: std::error::Error> From<E> for Unasked {
    fn from(error: E) -> Self {
        Self::broken(plain(&error))
    }
}

async fn ask(cluster: &Cluster, pod: &ObjectRef, path: &str) -> Result<Vec<u8>, Unasked> {
    let forwarded = forward::open(cluster, pod, ADMIN).await.map_err(Unasked)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(forwarded.stream)).await?;
    let request = http::Request::get(path)
        .header(http::header::HOST, "localhost")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut compact = Compact::default();
        while let Some(frame) = body.frame().await {
            frame?
                .data_ref()
                .into_iter()
                .for_each(|data| compact.push(data));
        }
        if status.is_success() {
            Ok(compact.json)
        } else {
            Err(Unasked::broken(format!("HTTP {}", status.as_u16())))
        }
    };
    // The connection ends with an error where the server closes first, although the answer is whole.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange => answer,
        () = drive => Err(Unasked::broken("the connection ended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_between_tokens_only_wherever_the_text_is_cut() {
        let value =
            serde_json::json!({"a b": [" \"c\" \\", "\\\" d\n", {"e": 1.5, "f": null}], "g": "\\"});
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for at in 0..pretty.len() {
            let mut compact = Compact::default();
            let (first, second) = pretty.as_bytes().split_at(at);
            compact.push(first);
            compact.push(second);
            assert_eq!(compact.json, value.to_string().into_bytes(), "cut at {at}");
        }
    }
}
