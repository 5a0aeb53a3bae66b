//! A cluster in memory, on which the same [`reconcile`] runs as in the command.

mod faults;
mod guards;
mod hostile;
mod hosts;
mod objects;
mod probes;
mod unprotected;
mod unseen;

use crate::plan::{Blocked, Event};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use objects::{broken_rule, certificate, certificates, kymas_policy, pod, rule};
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::{Finding, HostReport, Link, Mark, Report, Request, Severity, reconcile, states};
use crate::error::Failure;
use crate::pki::authority::{Authority, CaRequest, default_subject};
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::plan::probe::{IngressProxies, Observation, Outcome, ingress_service, pods};
use crate::plan::testing::unseen;
use crate::plan::{Effect, Observed, Query, Seen};
use crate::resources::api_rule::{self, ApiRule, Route};
use crate::resources::authority::AuthorityState;
use crate::resources::certificate::ServerCertificate;
use crate::resources::client_ca::{ClientCa, secret as trust_secret};
use crate::resources::environment;
use crate::resources::gateway::{Gateway, MutualGateway, Server};
use crate::resources::guard::{Clients, HeaderGuard, HostGuard, host_reference};
use crate::resources::ingress::IngressGateway;
use crate::resources::ingress::default_selector;
use crate::resources::names::{AUTHORITY_LABEL, CredentialNames, GatewayName, INGRESS_NAMESPACE};
use crate::resources::{Kind, Object, ObjectRef, fail_closed};

pub(super) const NOW: OffsetDateTime = datetime!(2026-09-01 12:00 UTC);
pub(super) const PATTERN: &str = "*.mtls.example.com";
pub(super) const HOST: &str = "httpbin.mtls.example.com";
/// What a Gateway names that reads the authority, and the Secret of one that was not moved.
pub(super) const FIELD: &str = "configmap://kubectl-mtls/kyma-mtls";
pub(super) const SECRET: &str = "kyma-mtls-clients-cacert";

/// What the API server, DNS and the gateway would answer.
pub(super) struct Cluster {
    pub observed: Observed,
    pub authority: Authority,
    /// What every handshake shows.
    pub observation: Observation,
}

impl Cluster {
    /// One Service behind mutual TLS on Kyma, with nothing wrong.
    pub fn healthy() -> Self {
        let nobody = authority([9; 4]);
        let authority = authority([1; 4]);
        let mut cluster = Self {
            observed: Observed::default(),
            observation: refusal(&[authority.certificate()], server(PATTERN, 60)),
            authority,
        };
        let state = cluster.state();
        cluster.list(
            Query::everywhere(Kind::Gateway),
            [gateway("kyma-mtls-gateway")],
        );
        cluster.list(Query::everywhere(Kind::ApiRule), [rule("httpbin", HOST)]);
        cluster.list(certificates(), [certificate("Ready")]);
        cluster.publish(&state);
        cluster.get(fallback(nobody.certificate()));
        let server = Object::new(trust_secret("istio-system", "kyma-mtls"));
        let query = Query::GetMetadataIfAllowed(server.reference().clone());
        cluster.observed.saw(query, Seen::Found(vec![server]));
        cluster.get(
            Object::new(ingress_service())
                .with(
                    "spec",
                    json!({"ports": [{"name": "https", "port": 443, "targetPort": 8443}]}),
                )
                .with(
                    "status",
                    json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}),
                ),
        );
        cluster.list(pods(&IngressGateway::default()), [pod("gw-1"), pod("gw-2")]);
        let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
        let service = Object::new(service).with("spec", json!({"ports": [{"port": 8000}]}));
        cluster.list(Query::within(Kind::Service, "shop"), [service]);
        let slice = ObjectRef::new(Kind::EndpointSlice, "shop", "httpbin-abc");
        let slice = Object::new(slice)
            .with_label("kubernetes.io/service-name", "httpbin")
            .with("endpoints", json!([{"addresses": ["10.0.0.1"]}]))
            .with("ports", json!([{"name": "", "port": 8000}]));
        cluster.list(Query::within(Kind::EndpointSlice, "shop"), [slice]);
        let here = Seen::Found(vec!["192.0.2.1".to_owned()]);
        cluster.observed.resolved_to(HOST, here);
        cluster.list(crate::plan::probe::kubernetes_gateways(), []);
        let mesh = Query::Get(environment::mesh_config());
        cluster.observed.saw(mesh, Seen::Missing);
        cluster.policies([]);
        cluster
    }

    /// The same with a Gateway that reads a Secret in the place of the authority.
    pub fn unmoved() -> Self {
        let mut cluster = Self::healthy();
        let state = cluster.unmoved_state();
        cluster.publish(&state);
        cluster.get(secret(&state));
        let gateways = [gateway_reading("kyma-mtls-gateway", SECRET)];
        cluster.list(Query::everywhere(Kind::Gateway), gateways);
        cluster
    }

    pub fn unmoved_state(&self) -> AuthorityState {
        AuthorityState {
            client_ca_secret: Some(SECRET.to_owned()),
            ..self.state()
        }
    }

    /// The authority as it stands now.
    pub fn publish(&mut self, state: &AuthorityState) {
        self.list(states(), [state.object()]);
        self.get(state.object());
    }

    /// Policies beside the proxies, and the header guard of the Gateway.
    pub fn policies(&mut self, more: impl IntoIterator<Item = Object>) {
        let [_, headers] = self.guards(&Clients::Any);
        self.list(
            super::policies("istio-system"),
            more.into_iter().chain([headers]),
        );
    }

    /// The host guard and the header guard, as `expose` writes them among the Gateways that are there.
    pub fn guards(&self, clients: &Clients) -> [Object; 2] {
        let all = self.observed.list(&Query::everywhere(Kind::Gateway));
        let all = all.unwrap().iter();
        let gateways: Vec<Gateway> = all.map(|object| Gateway::read(object).unwrap()).collect();
        let ingress = IngressGateway::default();
        let proxies = IngressProxies::of(&self.observed, &ingress).unwrap();
        let listener = |servers: &[&Server]| proxies.listener(servers.iter().copied(), &gateways);
        let mutual = gateways[0]
            .tls_servers()
            .filter(|server| server.is_mutual());
        let mutual: Vec<&Server> = mutual.collect();
        let name = GatewayName::new("shop", "kyma-mtls-gateway");
        let host = HostGuard {
            host: HOST,
            clients,
            headers: &[].into(),
            gateway: &name,
            ingress: &ingress,
            listener: &listener(&mutual[..1]),
        };
        let headers = HeaderGuard {
            gateway: &name,
            ingress: &ingress,
            listeners: &[listener(&mutual)],
        };
        [
            host.object(host_reference("istio-system", "shop", "httpbin")),
            headers.object(),
        ]
    }

    /// The state of the authority, as it is published.
    pub fn state(&self) -> AuthorityState {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        AuthorityState::new(
            "kyma-mtls",
            self.authority.certificate().clone(),
            "kyma-mtls",
        )
        .serving(&gateway)
    }

    pub fn list(&mut self, query: Query, objects: impl IntoIterator<Item = Object>) {
        let mut objects: Vec<Object> = objects.into_iter().collect();
        let [rules, services] = [Kind::ApiRule, Kind::VirtualService].map(Query::everywhere);
        if query == services {
            objects.extend(self.made());
        }
        let are_rules = query == rules;
        self.observed.saw(query, Seen::Found(objects));
        if are_rules {
            let made = self.made();
            self.observed.saw(services, Seen::Found(made));
        }
    }

    /// What Kyma made of the `APIRules`.
    fn made(&self) -> Vec<Object> {
        let rules = self
            .observed
            .already_listed(&Query::everywhere(Kind::ApiRule));
        let rules = rules
            .and_then(|seen| seen.found().copied())
            .unwrap_or_default();
        let made = rules.iter().filter_map(|object| {
            let rule = ApiRule::read(object).ok()?;
            let (namespace, name, port) = rule.service?;
            let name = format!("{name}.{namespace}.svc.cluster.local");
            let destination = json!({"host": name, "port": {"number": port}});
            let headers = rule.options?.headers;
            let spec = json!({
                "hosts": rule.hosts, "gateways": [rule.gateway],
                "http": [{
                    "route": [{"destination": destination}],
                    "headers": {"request": {"set": headers}},
                }],
            });
            let name = format!("{}-x7k2p", object.name());
            let made = ObjectRef::new(Kind::VirtualService, object.namespace(), name);
            let made =
                Object::new(made).with_label("apirule.gateway.kyma-project.io/name", object.name());
            Some(made.with("spec", spec))
        });
        made.collect()
    }

    pub fn get(&mut self, object: Object) {
        let query = Query::Get(object.reference().clone());
        self.observed.saw(query, Seen::Found(vec![object]));
    }

    pub fn deny(&mut self, query: Query) {
        self.unseen(query, &Seen::Denied("you may not read it".to_owned()));
    }

    fn unseen(&mut self, query: Query, seen: &Seen<()>) {
        let answer = unseen(&query, seen);
        self.observed.apply(Event::Read(vec![(query, answer)]));
    }

    pub fn report(&mut self) -> Report {
        self.report_on(&Request::default()).unwrap()
    }

    /// Answers what was not given: lists are empty, objects missing, names unknown.
    pub fn report_on(&mut self, request: &Request) -> Result<Report, Failure> {
        for _ in 0..20 {
            let effect = match reconcile(request, &self.observed, NOW) {
                Ok(report) => return Ok(report),
                Err(Blocked::Failed(failure)) => return Err(failure),
                Err(Blocked::On(effect)) => *effect,
            };
            match effect {
                Effect::Read(queries) => queries.into_iter().for_each(|query| self.nothing(query)),
                Effect::Probe(wanted) => {
                    let probes = wanted.probes.into_iter();
                    let probed = probes.map(|probe| (probe, vec![self.observation.clone()]));
                    self.observed.apply(Event::Probed(probed.collect()));
                }
                effect => panic!("status only reads and probes: {effect:?}"),
            }
        }
        panic!("status does not end");
    }

    fn nothing(&mut self, query: Query) {
        match query {
            Query::Inventory | Query::Proxy(..) => self.unseen(query, &Seen::NotServed),
            Query::GetMetadataIfAllowed(name) if name.name == "kyma-mtls" => {
                let query = Query::GetMetadataIfAllowed(name.clone());
                self.observed
                    .saw(query, Seen::Found(vec![Object::new(name)]));
            }
            Query::Resolve(host) => self.observed.resolved_to(&host, Seen::Missing),
            query if query == super::policies("shop") => self.list(query, [kymas_policy()]),
            query @ Query::List { .. } => self.list(query, []),
            query => self.observed.saw(query, Seen::Missing),
        }
    }
}

/// The link of the first host by its name.
pub(super) fn link<'a>(report: &'a Report, name: &str) -> &'a Link {
    let HostReport { links, .. } = &report.hosts[0];
    links.iter().find(|link| link.name == name).unwrap()
}

/// All findings, with those that stand under others.
fn all(report: &Report) -> impl Iterator<Item = &Finding> {
    let findings = report.findings.iter();
    findings.flat_map(|finding| std::iter::once(finding).chain(&finding.consequences))
}

/// The marks and words of all findings.
pub(super) fn findings(report: &Report) -> Vec<(Mark, &str)> {
    all(report)
        .map(|finding| (finding.severity.into(), finding.seen.as_str()))
        .collect()
}

/// The one finding of this check.
pub(super) fn check<'a>(report: &'a Report, id: &str) -> &'a Finding {
    let matching: Vec<&Finding> = all(report)
        .filter(|finding| finding.check.id == id)
        .collect();
    let [finding] = matching.as_slice() else {
        panic!("`{id}` in {:#?}", report.findings);
    };
    finding
}

/// The one finding whose words hold `part`.
pub(super) fn found(report: &Report, mark: Mark, part: &str) {
    let matching = findings(report)
        .into_iter()
        .filter(|(_, says)| says.contains(part))
        .map(|(mark, _)| mark)
        .collect::<Vec<_>>();
    assert_eq!(matching, [mark], "`{part}` in {:#?}", findings(report));
}

pub(super) fn authority(generation: [u8; 4]) -> Authority {
    let request = CaRequest {
        subject: default_subject("kyma-mtls", generation).unwrap(),
        ttl: Duration::days(1825),
        key_type: KeyType::P256,
    };
    Authority::generate(&request, NOW - Duration::days(365), [generation[0]; 20]).unwrap()
}

/// A server certificate that ends in `days`, of a life of ninety.
pub(super) fn server(name: &str, days: i64) -> Certificate {
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.not_after = NOW + Duration::days(days);
    params.not_before = params.not_after - Duration::days(90);
    let key = rcgen::KeyPair::generate().unwrap();
    Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
}

/// A handshake as it must be: refused for want of a certificate of these CAs.
pub(super) fn refusal(cas: &[&Certificate], server: Certificate) -> Observation {
    Observation {
        offered: Some(cas.iter().map(|ca| ca.subject_der().to_vec()).collect()),
        server: Some(server),
        chain: Vec::new(),
        outcome: Outcome::Refused("certificate_required".to_owned()),
        proxy_protocol: false,
    }
}

/// The Secret that a Gateway reads in the place of the authority, up to date.
pub(super) fn secret(state: &AuthorityState) -> Object {
    let client_ca = ClientCa::of(state).unwrap();
    let mut data = json!({"cacert": STANDARD.encode(client_ca.bundle.to_pem())});
    if let Some(crl) = client_ca.crl {
        data["crl"] = STANDARD.encode(crl).into();
    }
    Object::new(trust_secret("istio-system", SECRET))
        .with_label(AUTHORITY_LABEL, &state.authority)
        .with("data", data)
}

/// The Secret that lets nobody in.
pub(super) fn fallback(ca: &Certificate) -> Object {
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    let authority = CredentialNames::first().state();
    fail_closed::object(
        trust_secret("istio-system", "kyma-mtls-cacert"),
        &gateway,
        ca,
        &authority,
    )
}

pub(super) fn gateway(name: &str) -> Object {
    gateway_reading(name, FIELD)
}

pub(super) fn gateway_reading(name: &str, client_ca: &str) -> Object {
    MutualGateway {
        name: &GatewayName::new("shop", name),
        host: PATTERN,
        ingress: &IngressGateway::default(),
        credential: "kyma-mtls",
        client_ca,
    }
    .object()
}

#[test]
fn a_host_with_nothing_wrong_has_no_finding_and_only_good_marks() {
    let report = Cluster::healthy().report();
    assert_eq!(findings(&report), []);
    assert!(report.is_healthy(false));
    let marks: Vec<Mark> = report.hosts[0].links.iter().map(|link| link.mark).collect();
    assert_eq!(marks, [Mark::Ok; 8]);
}
