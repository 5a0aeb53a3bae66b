//! The order of writes that keeps a host closed: authority, fail-closed Secret, guards, DNS record, Certificate or server Secret,
//! Gateway, route; and what was made is removed in the opposite order.

use std::collections::{BTreeMap, BTreeSet};

use super::Cluster;
use super::kyma::{AKS_NAMESPACE, HELM_NAMESPACE, SECOND_NAMESPACE};
use crate::resources::gateway::Gateway;
use crate::resources::ingress::noted_namespaces;
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CLIENTS_ANNOTATION, INGRESS_ANNOTATION, INGRESS_NAMESPACE,
};
use crate::resources::{Kind, Object, ObjectRef, certificate, guard};

/// A write as [`Cluster::writes`] tells it: `apply Gateway shop/kyma-mtls-gateway`.
struct Written<'a> {
    verb: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    text: &'a str,
}

/// The namespaces in which tests have proxies.
const PROXIES: [&str; 4] = [
    INGRESS_NAMESPACE,
    HELM_NAMESPACE,
    SECOND_NAMESPACE,
    AKS_NAMESPACE,
];

impl<'a> Written<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (verb, object) = text.split_once(' ')?;
        let (kind, name) = object.split_once(' ')?;
        let (namespace, name) = name.split_once('/')?;
        Some(Self {
            verb,
            kind,
            namespace,
            name,
            text: object,
        })
    }

    /// Its place in the order; `None` for what has none.
    fn place(&self) -> Option<u8> {
        let is_beside_proxies = PROXIES.contains(&self.namespace);
        Some(match self.kind {
            "ConfigMap" if self.namespace == AUTHORITY_NAMESPACE => 1,
            "Secret" if is_beside_proxies && self.name.ends_with("-cacert") => 2,
            "AuthorizationPolicy" if is_beside_proxies => 3,
            "DNSEntry" => 4,
            "Certificate" => 5,
            "Secret" if is_beside_proxies => 5,
            "Gateway" => 6,
            "AuthorizationPolicy" => 7,
            "APIRule" | "VirtualService" => 8,
            _ => return None,
        })
    }

    /// Its place among deletions, the last to go first.
    fn place_of_removal(&self) -> Option<u8> {
        let is_beside_proxies = PROXIES.contains(&self.namespace);
        Some(match self.kind {
            "Secret" if is_beside_proxies && self.name.ends_with("-cacert") => 1,
            "Secret" if is_beside_proxies => 2,
            "AuthorizationPolicy" if self.name.contains("-mtls-headers-") => 3,
            "DNSEntry" | "Certificate" => 3,
            "Gateway" => 6,
            "AuthorizationPolicy" => 7,
            "APIRule" | "VirtualService" => 8,
            _ => return None,
        })
    }

    /// Whether it is the end of a move: the authority tells the old Secret nothing any more, and that one goes.
    fn retires(&self) -> bool {
        matches!(self.verb, "replace" | "delete") && self.place().is_some_and(|place| place <= 2)
    }
}

/// Asserts that a run of `expose` wrote nothing after something new that must come later; `before` is what stood before it.
pub fn made(before: &BTreeMap<ObjectRef, Object>, writes: &[String]) {
    let mut standing: BTreeSet<String> = before.keys().map(ToString::to_string).collect();
    let mut new: Vec<(u8, &str)> = Vec::new();
    for written in writes.iter().filter_map(|text| Written::read(text)) {
        let Some(place) = written.place() else {
            continue;
        };
        if written.verb == "delete" || written.retires() {
            standing.remove(written.text);
            continue;
        }
        if let Some((_, later)) = new.iter().find(|(made, _)| *made > place) {
            panic!("{} was written after {later}: {writes:#?}", written.text);
        }
        if standing.insert(written.text.to_owned()) {
            new.push((place, written.text));
        }
    }
}

/// Asserts that a run of `unexpose` deleted in the opposite order.
pub fn removed(writes: &[String]) {
    let deleted = writes.iter().filter_map(|text| Written::read(text));
    let mut last = u8::MAX;
    for deleted in deleted.filter(|written| written.verb == "delete") {
        let Some(place) = deleted.place_of_removal() else {
            continue;
        };
        assert!(place <= last, "{} too late: {writes:#?}", deleted.text);
        last = place;
    }
}

impl Cluster {
    /// Asserts that whatever could let somebody in stands only together with all that keeps it closed.
    pub fn assert_order_stands(&self) {
        let objects = self.objects.values();
        let ours = objects.filter(|object| object.is_ours());
        for object in ours {
            match object.reference().kind {
                Kind::Gateway => self.assert_gateway_is_closed(object),
                Kind::ApiRule | Kind::VirtualService => self.assert_route_is_closed(object),
                _ => {}
            }
        }
    }

    fn assert_stands(&self, needed: &ObjectRef, by: &Object) {
        let stands = self.objects.contains_key(needed);
        assert!(stands, "{} stands without {needed}", by.reference());
    }

    fn assert_gateway_is_closed(&self, object: &Object) {
        let gateway = Gateway::read(object).unwrap();
        for part in gateway.ingress.parts() {
            self.assert_part_is_closed(&gateway.clone().configuring(part), object);
        }
    }

    fn assert_part_is_closed(&self, gateway: &Gateway, object: &Object) {
        let proxies = gateway.ingress.namespace.as_str();
        self.assert_stands(&guard::headers_reference(proxies, &gateway.name), object);
        for server in gateway.tls_servers() {
            let source = server.client_ca_source();
            self.assert_stands(&source, object);
            let names = gateway.names(server);
            let fallback = crate::resources::client_ca::secret(proxies, &names.derived_client_ca());
            if source.kind == Kind::ConfigMap {
                self.assert_stands(&fallback, object);
            }
            let mut certificates = certificate::KINDS
                .map(|kind| certificate::reference(kind, proxies, &names.certificate))
                .into_iter();
            let secret = crate::resources::client_ca::secret(proxies, names.credential());
            assert!(
                certificates.any(|one| self.objects.contains_key(&one))
                    || self.objects.contains_key(&secret),
                "{} stands without a server certificate",
                object.reference()
            );
        }
    }

    fn assert_route_is_closed(&self, object: &Object) {
        let route = crate::resources::route::LiveRoute::read(object).unwrap();
        let gateway: crate::resources::names::GatewayName = route.gateway().parse().unwrap();
        self.assert_stands(&gateway.reference(), object);
        if object.annotation(CLIENTS_ANNOTATION).is_some() {
            let service = object.name().trim_end_matches("-mtls");
            let noted = noted_namespaces(object.annotation(INGRESS_ANNOTATION));
            for proxies in noted {
                let guard = guard::host_reference(&proxies, object.namespace(), service);
                self.assert_stands(&guard, object);
            }
        }
    }
}
