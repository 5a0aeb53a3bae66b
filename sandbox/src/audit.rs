//! The API server's audit log: who asked for what, and what was answered.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Error, Result, Trying};

/// Path of the requests by which we see that the log is complete.
const BARRIER: &str = "/version?audit-barrier=";

/// A place in the audit log; events after it are those of later requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(crate) u64);

/// One answered request. Watches and other streams count from their first answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Authenticated user; for an impersonated request still the one who sent it.
    pub user: String,
    /// Name that the request acts under with `--as`.
    pub impersonated: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group and for paths that are no resource.
    pub group: String,
    /// Plural name, or empty for paths like `/version`.
    pub resource: String,
    /// `status`, `portforward` and so on, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name of the object, or empty.
    pub name: String,
    /// Whether nothing was to be stored (`dryRun=All`).
    pub dry_run: bool,
    /// HTTP status; 0 when the connection ended before one.
    pub code: u16,
    /// Path and query.
    pub request_uri: String,
}

impl AuditEvent {
    /// Whether the request asked for a change, dry runs included. A review of who one is asks by a POST, and changes nothing.
    pub fn is_write(&self) -> bool {
        let is_review = self.group == "authentication.k8s.io";
        !is_review && !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: LineUser,
    impersonated_user: Option<LineUser>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct LineUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

/// Reads the events since a mark, and marks the end.
///
/// An event is written only after its answer was sent. So a request of our own follows; once that one is in the log, all
/// that were answered before it are.
pub(crate) async fn read(
    client: &kube::Client,
    log: &Path,
    since: Mark,
) -> Result<(Vec<AuditEvent>, Mark)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let barrier = format!("{BARRIER}{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let request = http::Request::get(&barrier).body(Vec::new());
    let request = request.map_err(|error| Error::Malformed(error.to_string()))?;
    client
        .request_text(request)
        .await
        .trying(|| "ask the API server for its version".to_owned())?;
    let written = format!("\"requestURI\":\"{barrier}\"");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let bytes = std::fs::read(log).trying(|| format!("read {}", log.display()))?;
        let end = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |last| last + 1);
        let begin = usize::try_from(since.0).unwrap_or(usize::MAX).min(end);
        let text = String::from_utf8_lossy(&bytes[begin..end]);
        if text.contains(&written) {
            let mut events = parse(&text)?;
            events.retain(|event| !event.request_uri.starts_with(BARRIER));
            return Ok((events, Mark(end as u64)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(Error::Malformed(
        "the API server does not write its audit log".to_owned(),
    ))
}

/// Reads audit events (JSON, one a line) in the order of their answers. A last line without its end is left out.
pub(crate) fn parse(log: &str) -> Result<Vec<AuditEvent>> {
    let lines = log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<AuditEvent> {
    let event: Line = serde_json::from_str(line).map_err(|error| {
        Error::Malformed(format!(
            "the audit log has a line that is no event: {error}"
        ))
    })?;
    Ok(event.into())
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        let query = line
            .request_uri
            .split_once('?')
            .map_or("", |(_, query)| query);
        Self {
            user: line.user.username,
            impersonated: line.impersonated_user.map(|user| user.username),
            user_agent: line.user_agent,
            verb: line.verb,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            dry_run: query.split('&').any(|pair| pair == "dryRun=All"),
            code: line.response_status.code,
            request_uri: line.request_uri,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = concat!(
        r#"{"kind":"Event","auditID":"1","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=1","verb":"watch","user":{"username":"user-1"},"userAgent":"kubectl-mtls/0.1","objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200}}"#,
        "\n",
        r#"{"kind":"Event","auditID":"2","stage":"ResponseComplete","requestURI":"/apis/networking.istio.io/v1/namespaces/a/gateways/g?dryRun=All&fieldManager=m","verb":"patch","user":{"username":"admin"},"impersonatedUser":{"username":"ada"},"objectRef":{"resource":"gateways","namespace":"a","name":"g","apiGroup":"networking.istio.io"},"responseStatus":{"code":403}}"#,
        "\n",
        r#"{"kind":"Event","audit"#,
    );

    #[test]
    fn an_unfinished_line_is_no_event_yet() {
        let events = parse(LOG).unwrap();
        let verbs: Vec<&str> = events.iter().map(|event| event.verb.as_str()).collect();
        assert_eq!(verbs, ["watch", "patch"]);
    }

    #[test]
    fn a_dry_run_is_told_from_a_write() {
        let event = &parse(LOG).unwrap()[1];
        assert!(event.dry_run && event.is_write());
        assert_eq!(
            (event.group.as_str(), event.name.as_str(), event.code),
            ("networking.istio.io", "g", 403)
        );
        assert_eq!(event.impersonated.as_deref(), Some("ada"));
    }
}
