//! Istio's `VirtualService`: which hosts are taken, and the route that this plugin writes in a cluster without Kyma.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::api_rule::{Route, RouteOptions};
use super::guard::{has_few_spellings, spellings};
use super::names::{FIELD_MANAGER, MANAGED_BY};
use super::paths::Paths;
use super::{Kind, Object, ObjectRef, Unreadable};

/// The labels that Kyma's controller sets on objects for an `APIRule`.
pub const RULE_NAME: &str = "apirule.gateway.kyma-project.io/name";
const RULE_NAMESPACE: &str = "apirule.gateway.kyma-project.io/namespace";

/// The namespace and name of the `APIRule` for which Kyma's controller made an object.
pub fn made_for(object: &Object) -> Option<(String, String)> {
    let name = object.label(RULE_NAME)?;
    let namespace = object.label(RULE_NAMESPACE);
    let namespace = namespace.unwrap_or_else(|| object.namespace());
    Some((namespace.to_owned(), name.to_owned()))
}

/// `APIRule`'s path operators, and the regular expressions for them: any number of segments, and one.
const OPERATORS: [(&str, &str); 2] = [("{**}", ".*"), ("{*}", "[^/]+")];

/// The reference to a `VirtualService`.
pub fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::VirtualService, namespace, name)
}

/// The manifest of the route.
///
/// Envoy removes headers before it sets them: a client's own identity header, in any spelling with `-` and `_`, never arrives, even if a
/// certificate lacks the value and nothing is set.
pub fn object(route: &Route<'_>) -> Object {
    let options = route.options;
    let destination = format!("{}.{}.svc.cluster.local", route.service, route.namespace);
    let removed: BTreeSet<String> = options
        .headers
        .keys()
        .flat_map(|header| removable(header))
        .collect();
    let method = method(&options.methods);
    let matches: Vec<Value> = options
        .paths
        .iter()
        .map(|path| json!({"uri": uri(path), "method": method}))
        .collect();
    let spec = json!({
        "hosts": [route.host],
        "gateways": [route.gateway.to_string()],
        "http": [{
            "match": matches,
            "route": [{"destination": {"host": destination, "port": {"number": route.port}}}],
            "timeout": format!("{}s", options.timeout),
            "headers": {"request": {"remove": removed, "set": options.headers}},
        }],
    });
    Object::new(reference(route.namespace, route.name))
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with("spec", spec)
}

/// The spellings under which a header is removed: all of them. `expose` writes no other header, but keeps one of an earlier version's
/// route, or of somebody who edited it, which is removed in its plain spellings.
fn removable(header: &str) -> Vec<String> {
    if has_few_spellings(header) {
        spellings(header)
    } else {
        vec![header.replace('_', "-"), header.replace('-', "_")]
    }
}

fn uri(path: &str) -> Value {
    if OPERATORS
        .iter()
        .any(|(operator, _)| path.contains(operator))
    {
        json!({"regex": expression(path)})
    } else if let Some(prefix) = path
        .strip_suffix('*')
        .filter(|prefix| prefix.ends_with('/'))
    {
        json!({"prefix": prefix})
    } else {
        json!({"exact": path})
    }
}

fn method(methods: &[String]) -> Value {
    match methods {
        [one] => json!({"exact": one}),
        several => json!({"regex": several.join("|")}),
    }
}

fn expression(path: &str) -> String {
    let mut expression = String::new();
    let mut rest = path;
    while let Some(character) = rest.chars().next() {
        if let Some((operator, meaning)) = OPERATORS.iter().find(|(op, _)| rest.starts_with(op)) {
            expression.push_str(meaning);
            rest = &rest[operator.len()..];
            continue;
        }
        if r"\.+*?()|[]{}^$".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
        rest = &rest[character.len_utf8()..];
    }
    expression
}

/// The path from which [`expression`] was made.
fn path_of(expression: &str) -> String {
    let mut path = String::new();
    let mut rest = expression;
    while let Some(character) = rest.chars().next() {
        if let Some((operator, meaning)) = OPERATORS.iter().find(|(_, is)| rest.starts_with(is)) {
            path.push_str(operator);
            rest = &rest[meaning.len()..];
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if character == '\\'
            && let Some(escaped) = rest.chars().next()
        {
            path.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        } else {
            path.push(character);
        }
    }
    path
}

/// A `VirtualService` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualService {
    /// The hosts in lower case, as Envoy compares them (`RouteMatcher` in `source/common/router/config_impl.cc`).
    pub hosts: Vec<String>,
    /// The Gateways as `namespace/name`; a bare name is in the object's own namespace.
    pub gateways: Vec<String>,
    /// The `APIRule` `(namespace, name)` for which Kyma made it.
    pub made_for: Option<(String, String)>,
    /// The Service behind the route as `(namespace, name, port)`, if there is one.
    pub service: Option<(String, String, u16)>,
    /// How the route treats requests, if it has the form that this plugin writes.
    pub options: Option<RouteOptions>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    gateways: Vec<String>,
}

/// The part of the spec that is read only in this plugin's form: others use other forms in it.
#[derive(Deserialize)]
struct OwnForm {
    http: [Http; 1],
}

#[derive(Deserialize)]
struct Http {
    #[serde(rename = "match")]
    matches: Vec<Match>,
    route: [Way; 1],
    timeout: String,
    headers: Headers,
}

#[derive(Deserialize)]
struct Match {
    uri: Text,
    method: Text,
}

#[derive(Deserialize)]
struct Way {
    destination: Destination,
}

#[derive(Deserialize)]
struct Destination {
    host: String,
    port: DestinationPort,
}

#[derive(Deserialize)]
struct DestinationPort {
    number: u16,
}

#[derive(Deserialize)]
struct Headers {
    request: RequestHeaders,
}

#[derive(Deserialize)]
struct RequestHeaders {
    set: BTreeMap<String, String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Text {
    Exact(String),
    Prefix(String),
    Regex(String),
}

impl Match {
    fn path(&self) -> Option<String> {
        match &self.uri {
            Text::Exact(path) => Some(path.clone()),
            Text::Prefix(prefix) if prefix.ends_with('/') => Some(format!("{prefix}*")),
            Text::Prefix(_) => None,
            Text::Regex(expression) => Some(path_of(expression)),
        }
    }
}

impl Http {
    fn options(self) -> Option<RouteOptions> {
        let first = self.matches.first()?;
        if self
            .matches
            .iter()
            .any(|other| other.method != first.method)
        {
            return None;
        }
        let paths: Option<Vec<String>> = self.matches.iter().map(Match::path).collect();
        let methods = match &first.method {
            Text::Exact(method) => vec![method.clone()],
            Text::Regex(methods) => methods.split('|').map(str::to_owned).collect(),
            Text::Prefix(_) => return None,
        };
        Some(RouteOptions {
            paths: Paths::of_route(paths?),
            methods,
            timeout: self.timeout.strip_suffix('s')?.parse().ok()?,
            headers: self.headers.request.set,
        })
    }

    /// The Service of a destination `name.namespace.svc.…`.
    fn service(&self) -> Option<(String, String, u16)> {
        let [Way { destination }] = &self.route;
        let mut labels = destination.host.split('.');
        let (name, namespace) = (labels.next()?, labels.next()?);
        Some((
            namespace.to_owned(),
            name.to_owned(),
            destination.port.number,
        ))
    }
}

impl VirtualService {
    /// Reads a `VirtualService`.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let qualified = |gateway: &String| {
            if gateway.contains('/') {
                gateway.clone()
            } else {
                format!("{}/{gateway}", object.namespace())
            }
        };
        let own = object.read::<OwnForm>("spec").ok();
        let [http] = own.map_or([None], |form| form.http.map(Some));
        Ok(Self {
            hosts: spec.hosts.iter().map(|host| host.to_lowercase()).collect(),
            gateways: spec.gateways.iter().map(qualified).collect(),
            made_for: made_for(object),
            service: http.as_ref().and_then(Http::service),
            options: http.and_then(Http::options),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::names::GatewayName;

    fn written(options: &RouteOptions) -> Object {
        object(&Route {
            namespace: "shop",
            name: "httpbin-mtls",
            host: "httpbin.mtls.local.kyma.dev",
            gateway: &GatewayName::new("shop", "gw"),
            service: "httpbin",
            port: 8000,
            options,
        })
    }

    #[test]
    fn what_we_write_reads_back() {
        for path in ["/*", "/a/*", "/a.b", "/a/{*}/b.c/{**}", "/(a)", "/a/"] {
            for methods in [vec!["GET"], vec!["GET", "POST"]] {
                let options = RouteOptions {
                    paths: Paths::under(path).unwrap(),
                    methods: methods.into_iter().map(str::to_owned).collect(),
                    ..RouteOptions::default()
                };
                let read = VirtualService::read(&written(&options)).unwrap();
                assert_eq!(read.options, Some(options));
                let backend = ("shop".to_owned(), "httpbin".to_owned(), 8000);
                assert_eq!(read.service, Some(backend));
                assert_eq!(read.gateways, ["shop/gw"]);
            }
        }
    }

    #[test]
    fn a_path_and_all_below_it_are_two_matches_and_an_exact_path_of_before_stays_alone() {
        let matches = |paths: Paths| {
            let options = RouteOptions {
                paths,
                ..RouteOptions::default()
            };
            let spec: Value = written(&options).read("spec").unwrap();
            let matches = spec["http"][0]["match"].as_array().unwrap().clone();
            matches.into_iter().map(|each| each["uri"].clone())
        };
        let both = [json!({"exact": "/api"}), json!({"prefix": "/api/"})];
        assert!(matches(Paths::under("/api").unwrap()).eq(both));
        let before = Paths::of_route(["/api".to_owned()]);
        assert!(matches(before).eq([json!({"exact": "/api"})]));
    }

    #[test]
    fn every_header_that_is_set_is_removed_first_in_every_spelling() {
        let object = written(&RouteOptions::default());
        let read: Value = object.read("spec").unwrap();
        let request = &read["http"][0]["headers"]["request"];
        let removed = request["remove"].as_array().unwrap();
        for header in request["set"].as_object().unwrap().keys() {
            for spelling in spellings(header) {
                assert!(removed.contains(&json!(spelling)), "{spelling}");
            }
        }
        assert_eq!(removed.len(), 24);
    }

    #[test]
    fn a_header_of_ones_own_is_removed_in_every_spelling_too() {
        let mut options = RouteOptions::default();
        let value = "%DOWNSTREAM_PEER_DNS_SAN%".to_owned();
        options
            .headers
            .insert("X-CLIENT_DNS-a-b-c-d".to_owned(), value);
        let read: Value = written(&options).read("spec").unwrap();
        let removed = &read["http"][0]["headers"]["request"]["remove"];
        let removed = removed.as_array().unwrap();
        assert_eq!(removed.len(), 24 + 64);
        for spelling in ["x-client-dns-a-b-c-d", "x_client-dns_a-b_c-d"] {
            assert!(removed.contains(&json!(spelling)), "{spelling}");
        }
    }

    #[test]
    fn an_operator_stands_for_an_expression_and_the_rest_for_itself() {
        assert_eq!(expression("/a.b/{*}/{**}"), r"/a\.b/[^/]+/.*");
    }

    #[test]
    fn somebody_elses_route_has_no_options_that_could_be_kept() {
        let spec = json!({"hosts": ["a.x.org"], "gateways": ["gw"], "http": [{"route": []}]});
        let object = Object::new(reference("shop", "other")).with("spec", spec);
        let read = VirtualService::read(&object).unwrap();
        assert_eq!((read.options, read.service), (None, None));
        assert_eq!(read.gateways, ["shop/gw"]);
    }
}
