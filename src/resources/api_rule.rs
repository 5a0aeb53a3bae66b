//! Kyma's `APIRule` v2: the route from the Gateway to the Service.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::names::{FIELD_MANAGER, GatewayName, MANAGED_BY};
use super::paths::Paths;
use super::{Kind, Object, ObjectRef, Unreadable};

/// The caller's identity: the tutorial's headers, which Envoy sets on every request from the client's certificate, each with its value and
/// the prefix of a guarded value.
const IDENTITY_HEADERS: [(&str, &str, &str); 3] = [
    ("X-CLIENT-SSL-CN", "%DOWNSTREAM_PEER_SUBJECT%", "SUBJECT="),
    ("X-CLIENT-SSL-SAN", "%DOWNSTREAM_PEER_URI_SAN%", "URI="),
    ("X-CLIENT-SSL-ISSUER", "%DOWNSTREAM_PEER_ISSUER%", "ISSUER="),
];
/// The methods that `APIRule` v2 allows; others are answered with 404.
pub const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
/// The default methods: all but the two that have no use behind a gateway.
const DEFAULT_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
/// What the description of an `APIRule` holds whose Pods have no sidecar (Kyma's api-gateway, `internal/validation/injection.go`).
pub const NO_SIDECAR: &str = "istio sidecar";
/// The longest timeout of an `APIRule`, in seconds.
pub const LONGEST_TIMEOUT: u32 = 3900;

/// The format of the identity headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityHeaders {
    /// The value without a prefix. If a certificate lacks the value, Envoy leaves a client's own header untouched; certificates of this
    /// plugin never lack it.
    Plain,
    /// A prefix before the value, so that the header is always set: for clients of external CAs.
    Guarded,
}

impl IdentityHeaders {
    /// The three identity headers with their values.
    pub fn headers(self) -> BTreeMap<String, String> {
        let header = |(name, value, word): (&str, &str, &str)| {
            let word = if self == Self::Guarded { word } else { "" };
            (name.to_owned(), format!("{word}{value}"))
        };
        IDENTITY_HEADERS.map(header).into()
    }
}

/// How a route treats requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOptions {
    /// The admitted paths.
    pub paths: Paths,
    /// The admitted methods.
    pub methods: Vec<String>,
    /// How long the Service may take to answer, in seconds.
    pub timeout: u32,
    /// The headers set on every request, the identity among them.
    pub headers: BTreeMap<String, String>,
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            paths: Paths::default(),
            methods: DEFAULT_METHODS.map(str::to_owned).into(),
            timeout: 300,
            headers: IdentityHeaders::Plain.headers(),
        }
    }
}

/// The longest name of a route, because it becomes a label's value on the `VirtualService`.
pub const LONGEST_NAME: usize = 63;

/// The route that this plugin writes, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// The Service's namespace.
    pub namespace: &'a str,
    /// The route's name.
    pub name: &'a str,
    /// The only host.
    pub host: &'a str,
    /// The Gateway in front.
    pub gateway: &'a GatewayName,
    /// The Service behind the route.
    pub service: &'a str,
    /// The Service's port number.
    pub port: u16,
    /// How the route treats requests.
    pub options: &'a RouteOptions,
}

impl Route<'_> {
    /// The manifest of an `APIRule`.
    pub fn object(&self) -> Object {
        let options = self.options;
        let rule = |path: &str| {
            json!({
                "path": in_rule(path),
                "methods": options.methods,
                "noAuth": true,
                "timeout": options.timeout,
                "request": {"headers": options.headers},
            })
        };
        let rules: Vec<Value> = options.paths.iter().map(rule).collect();
        let spec = json!({
            "gateway": self.gateway.to_string(),
            "hosts": [self.host],
            "service": {"name": self.service, "namespace": self.namespace, "port": self.port},
            "rules": rules,
        });
        Object::new(reference(self.namespace, self.name))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with("spec", spec)
    }
}

/// A path in the notation of an `APIRule`, which only has `/*` for every path.
fn in_rule(path: &str) -> String {
    match path.strip_suffix("/*") {
        Some(above) if !above.is_empty() => format!("{above}/{{**}}"),
        _ => path.to_owned(),
    }
}

/// The reference to an `APIRule`.
pub fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ApiRule, namespace, name)
}

/// An `APIRule` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRule {
    /// The rule's hosts; exactly one if it is valid.
    pub hosts: Vec<String>,
    /// The Gateway as `namespace/name`.
    pub gateway: String,
    /// The Service behind the first rule as `(namespace, name, port)`: its own, or that of the spec.
    pub service: Option<(String, String, u16)>,
    /// All Services that the rules lead to.
    pub services: Vec<(String, String, u16)>,
    /// How the rule treats requests, if its rules differ in their paths only.
    pub options: Option<RouteOptions>,
    /// Whether every rule sets the three identity headers.
    pub passes_identity: bool,
    /// Whether every rule sets the identity headers with a prefix, so that they are set whatever a certificate lacks.
    pub guards_identity: bool,
    /// What a rule demands of every request instead of nothing (`noAuth`): `jwt` or `extAuth`.
    pub demand: Option<&'static str>,
    /// `Processing`, `Ready`, `Warning`, `Error`, `Deleting`; empty before the controller has seen it.
    pub state: String,
    /// The controller's message.
    pub description: String,
    /// When the controller last reconciled the rule, to the second.
    pub processed: Option<OffsetDateTime>,
}

impl ApiRule {
    /// Whether the controller accepted the rule after it was `written`; `before` is the time in its earlier status.
    ///
    /// The status has no observedGeneration, only a time in whole seconds by the controller's own clock. So a changed time counts, whatever
    /// it is; and an unchanged one if it is not older than the write.
    pub fn is_ready_since(&self, written: OffsetDateTime, before: Option<OffsetDateTime>) -> bool {
        self.state == "Ready" && self.was_processed_since(written, before)
    }

    /// Whether the status was written after the rule was, whatever it says.
    pub fn was_processed_since(
        &self,
        written: OffsetDateTime,
        before: Option<OffsetDateTime>,
    ) -> bool {
        let whole_second = written.replace_nanosecond(0).unwrap_or(written);
        let is_fresh = |processed| Some(processed) != before || processed >= whole_second;
        self.processed.is_some_and(is_fresh)
    }

    /// A Service that the rule leads to and that is not the one in its name, as in a rule of this plugin.
    pub fn astray(&self, reference: &ObjectRef) -> Option<ObjectRef> {
        let is_meant = |(namespace, name, _): &&(String, String, u16)| {
            *namespace == reference.namespace && super::names::route(name) == reference.name
        };
        let (namespace, name, _) = self.services.iter().find(|service| !is_meant(service))?;
        Some(ObjectRef::new(Kind::Service, namespace, name))
    }

    /// Reads an `APIRule`.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let status: Status = object.read("status")?;
        let shared = spec.service.as_ref();
        // A rule's own Service without a namespace is in that of the spec's
        // (<https://github.com/kyma-project/api-gateway>, `apis/gateway/v2alpha1/service.go`, `FindServiceNamespace`).
        let namespace = shared.and_then(|service| service.namespace.as_deref());
        let namespace = namespace.unwrap_or_else(|| object.namespace());
        let of_rules = spec
            .rules
            .iter()
            .map(|rule| rule.service.as_ref().or(shared));
        let mut services = Vec::new();
        for service in of_rules
            .chain(shared.filter(|_| spec.rules.is_empty()).map(Some))
            .flatten()
        {
            let namespace = service.namespace.as_deref().unwrap_or(namespace);
            let service = (namespace.to_owned(), service.name.clone(), service.port);
            if !services.contains(&service) {
                services.push(service);
            }
        }
        Ok(Self {
            hosts: spec.hosts,
            gateway: spec.gateway,
            service: services.first().cloned(),
            services,
            options: options(&spec.rules),
            passes_identity: !spec.rules.is_empty() && spec.rules.iter().all(Rule::passes_identity),
            guards_identity: !spec.rules.is_empty() && spec.rules.iter().all(Rule::guards_identity),
            demand: spec.rules.iter().find_map(Rule::demand),
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

#[derive(Deserialize)]
struct Backend {
    name: String,
    namespace: Option<String>,
    port: u16,
}

#[derive(Deserialize)]
struct Rule {
    service: Option<Backend>,
    #[serde(default)]
    path: String,
    #[serde(default)]
    methods: Vec<String>,
    timeout: Option<u32>,
    jwt: Option<Value>,
    #[serde(rename = "extAuth")]
    ext_auth: Option<Value>,
    #[serde(default)]
    request: Request,
}

#[derive(Deserialize, Default)]
struct Request {
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn options(rules: &[Rule]) -> Option<RouteOptions> {
    let mut each = rules.iter().map(Rule::options);
    let first = each.next()?;
    let is_alike = |other: RouteOptions| {
        let paths = first.paths.clone();
        RouteOptions { paths, ..other } == first
    };
    if !each.all(is_alike) {
        return None;
    }
    let paths = Paths::of_route(rules.iter().map(|rule| rule.path.clone()));
    Some(RouteOptions { paths, ..first })
}

impl Rule {
    fn options(&self) -> RouteOptions {
        RouteOptions {
            paths: Paths::of_route([self.path.clone()]),
            methods: self.methods.clone(),
            timeout: self.timeout.unwrap_or(RouteOptions::default().timeout),
            headers: self.request.headers.clone(),
        }
    }

    fn demand(&self) -> Option<&'static str> {
        let ext_auth = self.ext_auth.as_ref().map(|_| "extAuth");
        self.jwt.as_ref().map(|_| "jwt").or(ext_auth)
    }

    fn passes_identity(&self) -> bool {
        is_identity(&self.request.headers)
    }

    fn guards_identity(&self) -> bool {
        is_guarded(&self.request.headers)
    }
}

/// Whether these headers set the identity.
pub fn is_identity(headers: &BTreeMap<String, String>) -> bool {
    sets_identity(headers, |set, value| set.contains(value))
}

/// The headers with the identity headers that are missing, or set to something else.
pub fn with_identity(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut headers = headers;
    for (name, value, _) in IDENTITY_HEADERS {
        let is_set = headers
            .iter()
            .any(|(known, set)| known.eq_ignore_ascii_case(name) && set.contains(value));
        if !is_set {
            headers.retain(|known, _| !known.eq_ignore_ascii_case(name));
            headers.insert(name.to_owned(), value.to_owned());
        }
    }
    headers
}

/// Whether these headers set the identity with a prefix before each value.
pub fn is_guarded(headers: &BTreeMap<String, String>) -> bool {
    sets_identity(headers, |set, value| set.contains(value) && set != value)
}

fn sets_identity(headers: &BTreeMap<String, String>, how: impl Fn(&str, &str) -> bool) -> bool {
    IDENTITY_HEADERS.iter().all(|(name, value, _)| {
        let mut headers = headers.iter();
        headers.any(|(known, set)| known.eq_ignore_ascii_case(name) && how(set, value))
    })
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
