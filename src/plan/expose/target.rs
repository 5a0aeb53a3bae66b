//! Where a Service will be reachable: its port, host and Gateway.

use std::collections::BTreeMap;

use super::{Request, get};
use crate::error::Failure;
use crate::plan::authority::namespaces;
use crate::plan::{Query, Step, World};
use crate::resources::gateway::{DEFAULT_SELECTOR, Gateway, Server};
use crate::resources::names::{CredentialNames, GATEWAY, GatewayName, route};
use crate::resources::service::{Port, Service};
use crate::resources::{Kind, ObjectRef, api_rule, certificate, client_ca, environment};

/// What `expose` works towards.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub namespace: String,
    pub service: String,
    pub port: u16,
    /// The host that clients use.
    pub host: String,
    /// The Gateway's own host string: a wildcard over the host, or the host itself.
    pub gateway_host: String,
    pub gateway: GatewayName,
    /// The Gateway's server for the host, where it exists.
    pub existing: Option<(Gateway, Server)>,
    pub selector: BTreeMap<String, String>,
    pub names: CredentialNames,
    /// All Gateways that could be seen.
    pub gateways: Vec<Gateway>,
    /// Why other Gateways could not be seen.
    pub gateways_unseen: Option<String>,
}

impl Target {
    pub fn route(&self) -> ObjectRef {
        api_rule::reference(&self.namespace, &route(&self.service))
    }
}

fn service(request: &Request) -> ObjectRef {
    ObjectRef::new(Kind::Service, &request.namespace, &request.service)
}

fn gateway_name(request: &Request) -> GatewayName {
    request
        .gateway
        .clone()
        .unwrap_or_else(|| GatewayName::new(&request.namespace, GATEWAY))
}

fn gateways() -> Query {
    Query::everywhere(Kind::Gateway)
}

/// Everything that can be read at once, on the guess that this is the cluster's first mutual-TLS Gateway.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let names = CredentialNames::first();
    let mut queries = vec![
        get(service(request)),
        gateways(),
        Query::everywhere(Kind::VirtualService),
        get(environment::shoot_info()),
        get(api_rule::reference(
            &request.namespace,
            &route(&request.service),
        )),
    ];
    queries.extend(of_names(&names));
    queries.extend(namespaces().map(get));
    queries
}

/// What is read of the objects that bear a Gateway's names.
pub(super) fn of_names(names: &CredentialNames) -> [Query; 6] {
    [
        get(client_ca::reference(&names.fail_closed_client_ca())),
        get(client_ca::reference(&names.derived_client_ca())),
        Query::GetMetadata(client_ca::reference(&names.forbidden_secret())),
        Query::GetMetadata(client_ca::reference(names.credential())),
        get(certificate::reference(&names.certificate)),
        get(names.state()),
    ]
}

/// Where the Service does not exist: reads what does, and says so.
pub(super) fn explain_missing_service<R>(
    request: &Request,
    world: &World,
) -> Result<Option<Step<R>>, Failure> {
    let service = service(request);
    if world.required(&service)?.is_some() {
        return Ok(None);
    }
    let others = Query::within(Kind::Service, &request.namespace);
    let namespace = ObjectRef::namespace(&request.namespace);
    if let Some(step) = world.read_first([others.clone(), get(namespace.clone())]) {
        return Ok(Some(step));
    }
    if matches!(world.seen(&namespace), crate::plan::Seen::Missing) {
        return Err(Failure::refused(format!(
            "the namespace `{}` does not exist",
            request.namespace
        ))
        .hint("`-n` names the Service's namespace"));
    }
    let found = world.list(&others);
    let names: Vec<&str> = found
        .found()
        .copied()
        .unwrap_or_default()
        .iter()
        .map(|object| object.name())
        .collect();
    let hint = if names.is_empty() {
        "there are no Services in it; `-n` names another namespace".to_owned()
    } else {
        format!("these Services exist there: {}", names.join(", "))
    };
    let missing = format!(
        "the Service `{}` does not exist in the namespace `{}`",
        service.name, service.namespace
    );
    Err(Failure::refused(missing).hint(hint))
}

/// Decides port, host and Gateway, or says why it cannot.
pub(super) fn decide(request: &Request, world: &World) -> Result<Target, Failure> {
    let port = choose_port(request, world)?;
    let (gateways, gateways_unseen) = seen_gateways(request, world)?;
    let kyma_gateway = environment::kyma_gateway();
    let of_kyma = gateways
        .iter()
        .find(|gateway| gateway.name.reference() == kyma_gateway);
    let shoot_info = world.seen(&environment::shoot_info());
    let domain = environment::default_domain(of_kyma, shoot_info.found().copied());
    let host = request
        .host
        .clone()
        .unwrap_or_else(|| format!("{}.mtls.{domain}", request.service));

    let gateway = gateway_name(request);
    let existing = gateways.iter().find(|known| known.name == gateway);
    let server =
        existing.and_then(|known| known.servers.iter().find(|server| server.serves(&host)));
    if let (Some(known), None) = (existing, server) {
        return Err(serves_other_hosts(known, &host));
    }
    let gateway_host = match (server, &request.host) {
        (Some(server), _) => matching_host(server, &host),
        (None, Some(exact)) => exact.clone(),
        (None, None) => format!("*.mtls.{domain}"),
    };
    let names = match server {
        Some(server) if !server.credential.is_empty() => {
            CredentialNames::of_authority(&server.credential)
        }
        _ => free_names(&gateway, &gateways),
    };
    let selector = existing.map_or_else(default_selector, |known| known.selector.clone());
    Ok(Target {
        namespace: request.namespace.clone(),
        service: request.service.clone(),
        port,
        host,
        gateway_host,
        existing: existing.cloned().zip(server.cloned()),
        gateway,
        selector,
        names,
        gateways,
        gateways_unseen,
    })
}

fn default_selector() -> BTreeMap<String, String> {
    DEFAULT_SELECTOR
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// A cluster's second Gateway gets names of its own; the first has those of the tutorial.
fn free_names(gateway: &GatewayName, gateways: &[Gateway]) -> CredentialNames {
    let first = CredentialNames::first();
    let uses_first = |server: &Server| server.credential == first.credential();
    let is_taken = gateways
        .iter()
        .any(|other| &other.name != gateway && other.servers.iter().any(uses_first));
    if is_taken {
        CredentialNames::further(gateway)
    } else {
        first
    }
}

fn matching_host(server: &Server, host: &str) -> String {
    let covering = server
        .hosts
        .iter()
        .find(|pattern| crate::resources::gateway::covers(pattern, host));
    covering.cloned().unwrap_or_else(|| host.to_owned())
}

fn serves_other_hosts(gateway: &Gateway, host: &str) -> Failure {
    let hosts: Vec<&str> = gateway
        .servers
        .iter()
        .flat_map(|server| &server.hosts)
        .map(String::as_str)
        .collect();
    Failure::refused(format!(
        "the Gateway `{}` exists and does not serve `{host}`",
        gateway.name
    ))
    .hint(format!(
        "it serves {}; choose one of these with `--host`, or another Gateway with `--gateway`",
        hosts.join(", ")
    ))
}

/// All Gateways; with fewer rights, those of the namespaces that matter.
fn seen_gateways(
    request: &Request,
    world: &World,
) -> Result<(Vec<Gateway>, Option<String>), Failure> {
    let answer = world.list(&gateways());
    if let crate::plan::Seen::Denied(denial) = &answer {
        return Err(Failure::refused(format!(
            "the Gateways of all namespaces must be read first, and may not be: {denial}"
        ))
        .hint("a Gateway elsewhere with the same host would take it over without a word")
        .hint("`kubectl mtls rbac expose` prints the Roles that `expose` needs"));
    }
    let objects = world.required_list(Kind::Gateway, &gateways())?;
    let mut unreadable = None;
    let mut readable = Vec::new();
    for object in objects {
        match Gateway::read(object) {
            Ok(gateway) => readable.push(gateway),
            Err(error) if gateway_name(request).reference() == *object.reference() => {
                return Err(Failure::refused(error.to_string()));
            }
            Err(error) => unreadable = Some(error.to_string()),
        }
    }
    Ok((readable, unreadable))
}

fn choose_port(request: &Request, world: &World) -> Result<u16, Failure> {
    let Some(object) = world.required(&service(request))? else {
        return Err(Failure::failed("the Service vanished while it was read"));
    };
    let service = Service::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    let name = &request.service;
    if service.selector.is_empty() {
        return Err(Failure::refused(format!(
            "the Service `{name}` has no selector, so no Pods stand behind it"
        ))
        .hint("Kyma's APIRule needs a Service that selects Pods"));
    }
    let ports: Vec<&Port> = service.tcp_ports().collect();
    let list = || {
        ports
            .iter()
            .map(|port| port.describe())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (&request.port, ports.as_slice()) {
        (_, []) => Err(Failure::refused(format!(
            "the Service `{name}` has no TCP port"
        ))),
        (None, [only]) => Ok(only.port),
        (None, _) => Err(
            Failure::usage(format!("the Service `{name}` has several ports"))
                .hint(format!("choose one with `--port`: {}", list())),
        ),
        (Some(wanted), _) => {
            let is_wanted =
                |port: &&&Port| port.name == *wanted || port.port.to_string() == *wanted;
            let chosen = ports.iter().find(is_wanted).map(|port| port.port);
            chosen.ok_or_else(|| {
                Failure::usage(format!("the Service `{name}` has no port `{wanted}`"))
                    .hint(format!("it has {}", list()))
            })
        }
    }
}
