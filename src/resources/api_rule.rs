//! Kyma's `APIRule` v2: the route from the Gateway to the Service.

use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::names::{FIELD_MANAGER, GatewayName, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};

/// Who called: set by Envoy on every request from the client's certificate, in the tutorial's headers.
pub const IDENTITY_HEADERS: [(&str, &str); 3] = [
    ("X-CLIENT-SSL-CN", "%DOWNSTREAM_PEER_SUBJECT%"),
    ("X-CLIENT-SSL-SAN", "%DOWNSTREAM_PEER_URI_SAN%"),
    ("X-CLIENT-SSL-ISSUER", "%DOWNSTREAM_PEER_ISSUER%"),
];
/// All methods that `APIRule` v2 knows but CONNECT and TRACE; others are answered with 404.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
const TIMEOUT_SECONDS: u32 = 300;
/// The name becomes the value of a label of the `VirtualService`.
pub const LONGEST_NAME: usize = 63;

/// What our `APIRule` must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// The Service's namespace.
    pub namespace: &'a str,
    /// Its own name.
    pub name: &'a str,
    /// The one host.
    pub host: &'a str,
    /// The Gateway in front.
    pub gateway: &'a GatewayName,
    /// The Service behind.
    pub service: &'a str,
    /// The Service's port number.
    pub port: u16,
}

impl Route<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let headers: serde_json::Map<_, _> = IDENTITY_HEADERS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        let spec = json!({
            "gateway": self.gateway.to_string(),
            "hosts": [self.host],
            "service": {"name": self.service, "namespace": self.namespace, "port": self.port},
            "rules": [{
                "path": "/*",
                "methods": METHODS,
                "noAuth": true,
                "timeout": TIMEOUT_SECONDS,
                "request": {"headers": headers},
            }],
        });
        Object::new(reference(self.namespace, self.name))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with("spec", spec)
    }
}

/// Names an `APIRule`.
pub fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ApiRule, namespace, name)
}

/// An `APIRule` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRule {
    /// Its hosts; exactly one when valid.
    pub hosts: Vec<String>,
    /// The Gateway as `namespace/name`.
    pub gateway: String,
    /// The Service behind as `(namespace, name, port)`; the rule's own where the spec has none.
    pub service: Option<(String, String, u16)>,
    /// Whether every rule sets the three identity headers.
    pub passes_identity: bool,
    /// `Processing`, `Ready`, `Warning`, `Error`, `Deleting`; empty before the controller has seen it.
    pub state: String,
    /// The controller's own words.
    pub description: String,
    /// When the controller last looked at it, to the second.
    pub processed: Option<OffsetDateTime>,
}

impl ApiRule {
    /// Whether the controller accepted it after it was `written`, when its status was of the time `before`.
    ///
    /// The status has no observedGeneration, only a time in whole seconds by the controller's own clock. So a changed time
    /// counts, whatever it says; and an unchanged one where it is not older than the write.
    pub fn is_ready_since(&self, written: OffsetDateTime, before: Option<OffsetDateTime>) -> bool {
        let whole_second = written.replace_nanosecond(0).unwrap_or(written);
        let is_fresh = |processed| Some(processed) != before || processed >= whole_second;
        self.state == "Ready" && self.processed.is_some_and(is_fresh)
    }

    /// Reads an `APIRule`.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let status: Status = object.read("status")?;
        let own = spec
            .service
            .or_else(|| spec.rules.iter().find_map(|rule| rule.service.clone()));
        Ok(Self {
            hosts: spec.hosts,
            gateway: spec.gateway,
            service: own.map(|service| {
                let namespace = service
                    .namespace
                    .unwrap_or_else(|| object.namespace().to_owned());
                (namespace, service.name, service.port)
            }),
            passes_identity: !spec.rules.is_empty() && spec.rules.iter().all(Rule::passes_identity),
            state: status.state,
            description: status.description,
            processed: OffsetDateTime::parse(&status.last_processed_time, &Rfc3339).ok(),
        })
    }
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    gateway: String,
    service: Option<Backend>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize, Clone)]
struct Backend {
    name: String,
    namespace: Option<String>,
    port: u16,
}

#[derive(Deserialize)]
struct Rule {
    service: Option<Backend>,
    #[serde(default)]
    request: Request,
}

#[derive(Deserialize, Default)]
struct Request {
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

impl Rule {
    fn passes_identity(&self) -> bool {
        IDENTITY_HEADERS.iter().all(|(name, value)| {
            let mut headers = self.request.headers.iter();
            headers.any(|(known, set)| known.eq_ignore_ascii_case(name) && set.contains(value))
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    state: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    last_processed_time: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn rule(status: serde_json::Value) -> ApiRule {
        let gateway = GatewayName::new("shop", "gw");
        let route = Route {
            namespace: "shop",
            name: "httpbin-mtls",
            host: "httpbin.mtls.example.com",
            gateway: &gateway,
            service: "httpbin",
            port: 8000,
        };
        ApiRule::read(&route.object().with("status", status)).unwrap()
    }

    #[test]
    fn what_we_write_passes_the_identity_to_the_service() {
        let rule = rule(json!({}));
        assert!(rule.passes_identity);
        assert_eq!(rule.service, Some(("shop".into(), "httpbin".into(), 8000)));
    }

    #[test]
    fn ready_counts_only_when_it_was_said_after_the_write() {
        let rule = rule(json!({"state": "Ready", "lastProcessedTime": "2026-01-01T10:00:05Z"}));
        let then = Some(datetime!(2026-01-01 10:00:05 UTC));
        assert!(rule.is_ready_since(datetime!(2026-01-01 10:00:05.4 UTC), None));
        assert!(!rule.is_ready_since(datetime!(2026-01-01 10:00:06 UTC), then));
        let earlier = Some(datetime!(2026-01-01 09:00 UTC));
        assert!(
            rule.is_ready_since(datetime!(2026-01-01 10:00:07 UTC), earlier),
            "a slow clock"
        );
    }
}
