//! The answers: those of httpbin for `/headers`, `/get` and `/status/<code>`, the whole request for anything else.

use std::convert::Infallible;
use std::net::IpAddr;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::{Bytes, Incoming};
use serde_json::{Map, Value, json};

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    origin: IpAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(Collected::to_bytes)
        .unwrap_or_default();
    let headers = headers(&parts.headers);
    let host = parts
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let url = format!("http://{host}{}", parts.uri);
    let path = parts.uri.path();
    let code = path
        .strip_prefix("/status/")
        .and_then(|code| code.parse::<StatusCode>().ok());
    let content = match path {
        "/headers" => Some(json!({ "headers": headers })),
        "/get" => Some(json!({ "args": {}, "headers": headers, "origin": origin, "url": url })),
        _ if code.is_some() => None,
        _ => Some(json!({
            "method": parts.method.as_str(),
            "path": parts.uri.to_string(),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
        })),
    };
    let text = content
        .map(|content| format!("{content:#}\n"))
        .unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code.unwrap_or(StatusCode::OK);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Names as httpbin writes them (`X-Client-Ssl-Cn`); several values of one name are joined by commas.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let name = |name: &str| {
        let words = name.split('-').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + rest
        });
        words.collect::<Vec<_>>().join("-")
    };
    headers
        .keys()
        .map(|key| {
            let values: Vec<_> = headers
                .get_all(key)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (name(key.as_str()), json!(values.join(",")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_as_in_httpbin() {
        let mut given = HeaderMap::new();
        given.append("x-client-ssl-cn", HeaderValue::from_static("alice"));
        given.append("x-twice", HeaderValue::from_static("a"));
        given.append("x-twice", HeaderValue::from_static("b"));
        assert_eq!(
            json!(headers(&given)),
            json!({ "X-Client-Ssl-Cn": "alice", "X-Twice": "a,b" })
        );
    }
}
