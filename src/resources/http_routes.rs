//! The HTTP routes of a `VirtualService` of any shape: the headers that they set, the subsets that they name, and whether they match the
//! `APIRule` for which Kyma made it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::api_rule::{ApiRule, is_guarded, is_identity};
use super::backends;
use super::guard::IDENTITY_HEADERS;
use super::{Kind, Object, ObjectRef, virtual_service::VirtualService};

/// The client's identity in the routes of a `VirtualService`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Whether every route sets the three identity headers.
    pub is_set: bool,
    /// Whether no identity header arrives as a client sent it, whatever its certificate lacks.
    pub is_guarded: bool,
}

/// The entries of `spec.http` that send requests to a Service.
fn entries(object: &Object) -> impl Iterator<Item = &Value> {
    let http = object.at(&["spec", "http"]).and_then(Value::as_array);
    let all = http.into_iter().flatten();
    all.filter(|entry| entry.get("route").is_some())
}

/// The destinations of an entry.
fn ways(entry: &Value) -> impl Iterator<Item = &Value> {
    let ways = entry.get("route").and_then(Value::as_array);
    ways.into_iter().flatten()
}

/// The headers that an entry sets on requests to one of its destinations.
fn set(entry: &Value, way: &Value) -> BTreeMap<String, String> {
    let of = |value: &Value| -> BTreeMap<String, String> {
        let set = value.pointer("/headers/request/set").cloned();
        set.and_then(|set| serde_json::from_value(set).ok())
            .unwrap_or_default()
    };
    of(entry).into_iter().chain(of(way)).collect()
}

/// Whether an entry removes the identity headers before it sets its own, as Envoy does with both.
fn removes(entry: &Value) -> bool {
    let removed = entry.pointer("/headers/request/remove");
    let removed = removed.and_then(Value::as_array);
    let removed = || removed.into_iter().flatten().filter_map(Value::as_str);
    IDENTITY_HEADERS
        .iter()
        .all(|header| removed().any(|name| name.eq_ignore_ascii_case(header)))
}

/// The client's identity in the routes of an object; `None` if no route leads to a Service.
pub fn identity(object: &Object) -> Option<Identity> {
    let each = entries(object).flat_map(|entry| {
        ways(entry).map(move |way| {
            let set = set(entry, way);
            Identity {
                is_set: is_identity(&set),
                is_guarded: is_guarded(&set) || removes(entry),
            }
        })
    });
    each.reduce(|one, other| Identity {
        is_set: one.is_set && other.is_set,
        is_guarded: one.is_guarded && other.is_guarded,
    })
}

/// The subsets that the routes of an object name, each with its Service; of several destinations those that get requests (istiod,
/// `pilot/pkg/networking/core/route/route.go`, leaves out a weight of 0).
pub fn subsets(object: &Object) -> Vec<(ObjectRef, String)> {
    let destinations = entries(object).flat_map(|entry| {
        let is_only_one = ways(entry).count() == 1;
        let weight = |way: &Value| {
            way.get("weight")
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        let used = ways(entry).filter(move |way| is_only_one || weight(way) > 0);
        used.filter_map(|way| way.get("destination"))
    });
    destinations
        .filter_map(|destination| {
            let text = |field: &str| destination.get(field).and_then(Value::as_str);
            let service = backends::of_host(text("host")?, object.namespace());
            let subset = text("subset").filter(|subset| !subset.is_empty())?;
            Some((service, subset.to_owned()))
        })
        .collect()
}

/// How a `VirtualService` differs from the `APIRule` for which Kyma made it, as the end of a sentence.
pub fn deviation(rule: &ApiRule, object: &Object) -> Option<String> {
    let Ok(made) = VirtualService::read(object) else {
        return Some("cannot be read".to_owned());
    };
    // An APIRule may give its first label only, which Kyma completes.
    let is_host = |host: &String| {
        let mut hosts = rule.hosts.iter();
        hosts.any(|own| host == own || !own.contains('.') && host.starts_with(&format!("{own}.")))
    };
    if made.hosts.is_empty() || !made.hosts.iter().all(is_host) {
        return Some(format!("serves the host `{}`", made.hosts.join("`, `")));
    }
    if !rule.gateway.is_empty() && made.gateways != [rule.gateway.clone()] {
        return Some(format!(
            "is attached to the Gateway `{}`",
            made.gateways.join("`, `")
        ));
    }
    let Some(identity) = identity(object) else {
        return Some("leads to no Service".to_owned());
    };
    if let Some(destination) = elsewhere(rule, object) {
        return Some(format!("leads to {destination}"));
    }
    if rule.passes_identity && !identity.is_set {
        return Some("does not set all identity headers".to_owned());
    }
    if rule.guards_identity && !identity.is_guarded {
        return Some("sets the identity headers without a prefix before the value".to_owned());
    }
    detour(object)
}

/// Conditions of `match` by which a route selects paths and methods.
const SELECTING: [&str; 4] = ["name", "uri", "ignoreUriCase", "method"];
/// The shortest timeout for a Service's answer, in seconds.
const SHORTEST: f64 = 1.0;

/// What a `VirtualService` does beside forwarding requests to a Service, as the end of a sentence. Additions to answers and retries do not
/// count.
pub fn detour(object: &Object) -> Option<String> {
    let http = object.at(&["spec", "http"]).and_then(Value::as_array);
    let gateways = object.at(&["spec", "gateways"]);
    let mut entries = http.into_iter().flatten();
    entries.find_map(|entry| {
        let has = |field: &&str| entry.get(field).is_some();
        let instead = ["redirect", "directResponse", "delegate"];
        if let Some(field) = instead.into_iter().find(|field| has(field)) {
            return Some(format!("has an entry with `{field}`"));
        }
        if has(&"fault") {
            return Some("injects faults".to_owned());
        }
        if has(&"rewrite") {
            return Some("rewrites requests".to_owned());
        }
        if has(&"mirror") || has(&"mirrors") {
            return Some("sends a copy of each request elsewhere".to_owned());
        }
        if let Some(header) = added(entry) {
            return Some(format!("adds a value to the header `{header}`"));
        }
        if let Some(condition) = condition(entry, gateways) {
            return Some(format!("accepts only requests that match `{condition}`"));
        }
        let timeout = entry.get("timeout").and_then(Value::as_str)?;
        let is_short = seconds(timeout).is_some_and(|time| time > 0.0 && time < SHORTEST);
        is_short.then(|| format!("gives the Service {timeout} to answer"))
    })
}

/// An identity header to which an entry adds a value, although it also sets the header.
fn added(entry: &Value) -> Option<&str> {
    let all = std::iter::once(entry).chain(ways(entry));
    let mut added = all.filter_map(|value| value.pointer("/headers/request/add")?.as_object());
    added.find_map(|headers| {
        let mut names = headers.keys().map(String::as_str);
        names.find(|name| {
            let mut known = IDENTITY_HEADERS.iter();
            known.any(|header| header.eq_ignore_ascii_case(name))
        })
    })
}

/// A further condition of an entry, beside paths, methods and the Gateways of the route itself.
fn condition(entry: &Value, gateways: Option<&Value>) -> Option<String> {
    let matches = entry.get("match").and_then(Value::as_array)?;
    let further = |one: &Value| {
        let mut fields = one.as_object()?.iter();
        let is_own = |named: &Value| {
            let mut named = named.as_array().into_iter().flatten();
            let own = gateways.and_then(Value::as_array);
            own.is_some_and(|own| named.any(|gateway| own.contains(gateway)))
        };
        let further = fields.find(|(field, value)| {
            !(SELECTING.contains(&field.as_str()) || *field == "gateways" && is_own(value))
        });
        further.map(|(field, _)| field.clone())
    };
    let mut conditions = matches.iter().map(further);
    let first = conditions.next()??;
    conditions.all(|other| other.is_some()).then_some(first)
}

/// A duration in the notation of Istio's objects: `1.5s`, `10ms`, `1m`, `2h`.
fn seconds(text: &str) -> Option<f64> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, unit) = units
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    Some(number.parse::<f64>().ok()? * unit)
}

/// A destination of a route of this plugin that is not the Service in the route's name.
pub fn astray(object: &Object) -> Option<String> {
    let mut destinations = entries(object).flat_map(ways);
    destinations.find_map(|way| {
        let host = way.pointer("/destination/host").and_then(Value::as_str)?;
        let service = backends::of_host(host, object.namespace());
        let is_meant = service.namespace == object.namespace()
            && super::names::route(&service.name) == object.name();
        (!is_meant).then(|| format!("leads to {service}"))
    })
}

/// Whether proxies in a namespace see an object with this `exportTo`; without it every namespace does.
pub fn is_exported<'a>(
    said: impl IntoIterator<Item = &'a str>,
    own: &str,
    namespace: &str,
) -> bool {
    let mut said = said.into_iter().map(str::trim).peekable();
    said.peek().is_none()
        || said.any(|to| to == "*" || to == namespace || (to == "." && own == namespace))
}

/// A destination of the object that is not one of the rule's Services, or has another port.
fn elsewhere(rule: &ApiRule, object: &Object) -> Option<String> {
    let mut destinations = entries(object).flat_map(ways);
    destinations.find_map(|way| {
        let destination = way.get("destination")?;
        let host = destination.get("host").and_then(Value::as_str)?;
        let service = backends::of_host(host, object.namespace());
        let port = destination.pointer("/port/number").and_then(Value::as_u64);
        let is_meant = |(namespace, name, number): &(String, String, u16)| {
            service == ObjectRef::new(Kind::Service, namespace, name)
                && port.is_none_or(|port| port == u64::from(*number))
        };
        let port = port.map_or(String::new(), |port| format!(" port {port}"));
        (!rule.services.iter().any(is_meant)).then(|| format!("{service}{port}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::api_rule::IdentityHeaders;
    use serde_json::json;

    fn service(http: &Value) -> Object {
        let name = ObjectRef::new(Kind::VirtualService, "shop", "a");
        Object::new(name).with("spec", json!({"http": http}))
    }

    fn entry(headers: &Value) -> Value {
        json!({"route": [{"destination": {"host": "httpbin"}}], "headers": {"request": headers}})
    }

    #[test]
    fn headers_that_are_set_or_removed_on_every_route_tell_who_calls() {
        let plain = json!({"set": IdentityHeaders::Plain.headers()});
        let guarded = json!({"set": IdentityHeaders::Guarded.headers()});
        let removing = json!({"set": IdentityHeaders::Plain.headers(), "remove": IDENTITY_HEADERS});
        let of = |http: Value| {
            let identity = identity(&service(&http)).unwrap();
            (identity.is_set, identity.is_guarded)
        };
        assert_eq!(of(json!([entry(&plain)])), (true, false));
        assert_eq!(of(json!([entry(&guarded)])), (true, true));
        assert_eq!(of(json!([entry(&removing)])), (true, true));
        assert_eq!(
            of(json!([entry(&removing), entry(&json!({}))])),
            (false, false)
        );
        let redirect = json!([{"redirect": {"uri": "/"}}]);
        assert_eq!(identity(&service(&redirect)), None);
    }

    #[test]
    fn what_a_route_does_beside_handing_requests_on_is_named() {
        let route = json!([{"destination": {"host": "httpbin"}}]);
        let of = |fields: Value| {
            let mut entry = json!({"route": route});
            let all = entry.as_object_mut().unwrap();
            all.extend(fields.as_object().unwrap().clone());
            let spec = json!({"gateways": ["shop/gw"], "http": [entry]});
            let name = ObjectRef::new(Kind::VirtualService, "shop", "a");
            detour(&Object::new(name).with("spec", spec))
        };
        let canary = json!({"headers": {"x-canary": {"exact": "1"}}});
        for harmful in [
            json!({"redirect": {"uri": "/"}}),
            json!({"directResponse": {"status": 503}}),
            json!({"delegate": {"name": "a"}}),
            json!({"fault": {"abort": {"httpStatus": 503}}}),
            json!({"rewrite": {"uri": "/"}}),
            json!({"mirror": {"host": "spy"}}),
            json!({"timeout": "0.001s"}),
            json!({"timeout": "10ms"}),
            json!({"headers": {"request": {"add": {"x-client-ssl-cn": "CN=admin"}}}}),
            json!({"match": [canary]}),
            json!({"match": [{"gateways": ["shop/other"]}]}),
        ] {
            assert!(of(harmful.clone()).is_some(), "{harmful}");
        }
        for harmless in [
            json!({}),
            json!({"timeout": "0s"}),
            json!({"timeout": "300s"}),
            json!({"retries": {"attempts": 0}}),
            json!({"corsPolicy": {}}),
            json!({"match": [canary, {"uri": {"prefix": "/"}, "method": {"exact": "GET"}}]}),
            json!({"match": [{"gateways": ["shop/gw", "mesh"]}]}),
        ] {
            assert_eq!(of(harmless.clone()), None, "{harmless}");
        }
    }

    #[test]
    fn an_object_is_exported_to_all_unless_it_says_to_whom() {
        let to = |said: &[&str]| is_exported(said.iter().copied(), "shop", "istio-system");
        assert!(to(&[]) && to(&["*"]) && to(&[".", " istio-system"]));
        assert!(!to(&["."]) && !to(&["~"]) && !to(&["team"]));
        assert!(is_exported(["."], "istio-system", "istio-system"));
    }

    #[test]
    fn a_subset_is_named_with_its_service() {
        let http = json!([{"route": [{"destination": {"host": "httpbin.shop.svc.cluster.local", "subset": "v2"}}]}]);
        let named = subsets(&service(&http));
        let httpbin = ObjectRef::new(Kind::Service, "shop", "httpbin");
        assert_eq!(named, [(httpbin, "v2".to_owned())]);
    }

    #[test]
    fn of_several_destinations_only_those_with_a_weight_get_requests() {
        let way = |subset: &str, weight: Value| json!({"destination": {"host": "web", "subset": subset}, "weight": weight});
        let named = |ways: Value| {
            let spec = json!({"http": [{"route": ways}]});
            let object = Object::new(ObjectRef::new(Kind::VirtualService, "shop", "web"));
            let found = subsets(&object.with("spec", spec)).into_iter();
            found.map(|(_, subset)| subset).collect::<Vec<_>>()
        };
        let idle = json!([way("v1", json!(100)), way("v2", json!(0))]);
        assert_eq!(named(idle), ["v1"]);
        assert_eq!(named(json!([way("v2", json!(0))])), ["v2"]);
    }
}
