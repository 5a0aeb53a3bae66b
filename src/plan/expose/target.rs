//! Where a Service will be reachable: its port, host and Gateway.

use std::collections::BTreeMap;

use super::environment::Environment;
use super::existing::{self, Existing};
use super::{Request, RouteChoice, ServerChoice, get};
use super::{names, service};
use crate::error::Failure;
use crate::plan::authority::namespaces;
use crate::plan::reconcile::tolerate;
use crate::plan::{Observed, Query, Reconciled, Seen, external_routes};
use crate::resources::api_rule::{IdentityHeaders, RouteOptions};
use crate::resources::domain::Domain;
use crate::resources::gateway::{DEFAULT_SELECTOR, Gateway};
use crate::resources::names::{CredentialNames, GATEWAY, GatewayName, route};
use crate::resources::route::{LiveRoute, Routing};
use crate::resources::{
    Kind, Object, ObjectRef, access_policy, api_rule, certificate, client_ca, environment, guard,
    witness,
};

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
    /// The Gateway where it exists, and its server for the host.
    pub existing: Option<Existing>,
    pub selector: BTreeMap<String, String>,
    pub names: CredentialNames,
    pub options: RouteOptions,
    pub environment: Environment,
    /// Whether a Gardener Certificate is, or may be, to fill the server Secret.
    pub wants_certificate: bool,
    /// All Gateways that could be read.
    pub gateways: Vec<Gateway>,
    /// Why some Gateways could not be read.
    pub gateways_unseen: Option<String>,
}

impl Target {
    pub fn route(&self) -> ObjectRef {
        self.environment
            .routing
            .reference(&self.namespace, &self.service)
    }

    /// The policy that lets only the gateway call the Service.
    pub fn policy(&self) -> ObjectRef {
        access_policy::reference(&self.namespace, &self.service)
    }

    pub fn host_guard(&self) -> ObjectRef {
        guard::host_reference(&self.namespace, &self.service)
    }

    pub fn header_guard(&self) -> ObjectRef {
        guard::headers_reference(&self.gateway)
    }

    /// What the gateway may read the client CA from, but for the authority itself, which has another form.
    pub fn client_ca_sources(&self) -> Vec<ObjectRef> {
        let in_force = self.existing.as_ref();
        let in_force = in_force.map(|existing| existing.server.client_ca_source());
        let ours = [
            self.names.earlier_client_ca(),
            self.names.derived_client_ca(),
        ]
        .map(|name| client_ca::secret(&name));
        let others = ours
            .into_iter()
            .filter(|source| Some(source) != in_force.as_ref());
        let all = in_force.clone().into_iter().chain(others);
        // What another Gateway reads, whose authority it is, is none of this one's.
        let theirs = self
            .names
            .is_shared()
            .then(|| client_ca::secret(&self.names.earlier_client_ca()));
        all.filter(|source| *source != self.names.state() && Some(source) != theirs.as_ref())
            .collect()
    }
}

fn all_gateways() -> Query {
    Query::everywhere(Kind::Gateway)
}

/// Everything that can be read at once, on the guess that this is the cluster's first mutual-TLS Gateway.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let names = CredentialNames::first();
    let mut queries = vec![
        get(service::reference(request)),
        all_gateways(),
        Query::everywhere(Kind::VirtualService),
        get(environment::shoot_info()),
        get(guard::host_reference(&request.namespace, &request.service)),
        get(guard::headers_reference(&gateway_name(request, None))),
        get(Routing::ApiRule.reference(&request.namespace, &request.service)),
    ];
    queries.extend(super::dns_record::queries(request));
    queries.extend(external_routes::queries(&service::reference(request)));
    queries.extend(of_names(&names));
    queries.extend(
        request
            .authority
            .iter()
            .map(|name| get(CredentialNames::of_authority(name).state())),
    );
    queries.extend(namespaces().map(get));
    queries
}

/// What is read of the objects that bear a Gateway's names.
fn of_names(names: &CredentialNames) -> [Query; 6] {
    [
        get(witness::reference(&names.authority)),
        get(client_ca::secret(&names.earlier_client_ca())),
        get(client_ca::secret(&names.derived_client_ca())),
        Query::GetMetadata(client_ca::secret(names.credential())),
        get(certificate::reference(&names.certificate)),
        get(names.state()),
    ]
}

/// The same, once the Gateway is known: nothing new where the guess was right.
pub(super) fn of_target(target: &Target) -> Vec<Query> {
    let client_cas = target.client_ca_sources().into_iter().map(get);
    of_names(&target.names)
        .into_iter()
        .chain(client_cas)
        .chain([get(target.header_guard())])
        .collect()
}

/// Decides port, host and Gateway, or says why it cannot. What the user does not say stays as an earlier run made it.
pub(super) fn decide(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<Target> {
    let route = route(&request.service);
    if route.len() > api_rule::LONGEST_NAME {
        return Err(Failure::refused(format!(
            "the Service's name `{}` is too long",
            request.service
        ))
        .hint(format!(
            "its route `{route}` may have {} characters",
            api_rule::LONGEST_NAME
        ))
        .into());
    }
    let (live_options, kept) = known_route(request, environment, observed)?;
    let kept_port = kept
        .as_ref()
        .and_then(LiveRoute::service)
        .map(|service| service.2);
    let port = service::port(request, kept_port, observed)?;
    let gateway = gateway_name(request, kept.as_ref());
    if gateway.is_kymas_own() {
        return Err(Failure::refused(format!("`{gateway}` is Kyma's own Gateway"))
            .hint("a further server on it would stop every APIRule of the cluster; choose another one with `--gateway`")
            .into());
    }
    let (gateways, gateways_unseen) = seen_gateways(&gateway, observed)?;
    let options = choose_options(&request.route, live_options.unwrap_or_default());
    let kept_host = kept.and_then(|route| route.hosts().first().cloned());
    if environment.routing == Routing::ApiRule {
        refuse_idle_controller(&gateways)?;
    }
    let said = request
        .host
        .clone()
        .or_else(|| super::dns_record::host(request));
    let is_kept = said.is_none() && kept_host.is_some();
    let host = match said.or(kept_host) {
        Some(host) => host,
        None => default_host(request, &gateways, observed)?,
    };
    let is_exact = request.host.is_some() || (is_kept && !is_default_form(request, &host));
    let new_gateway_host = if is_exact {
        host.clone()
    } else {
        wildcard_over(&host)
    };
    let object = listed_gateway(&gateway, observed)?;
    let existing = existing::find(
        &gateway,
        &host,
        &new_gateway_host,
        &gateways,
        object.as_ref(),
        observed,
    )?;
    let gateway_host = match &existing {
        Some(existing) => existing
            .server
            .pattern_for(&host)
            .unwrap_or(&host)
            .to_owned(),
        None => new_gateway_host,
    };
    if gateway_host.starts_with('*') && wildcard_over(&host) != gateway_host {
        return Err(Failure::refused(format!("a certificate for `{gateway_host}` does not cover `{host}`"))
            .hint("a certificate's wildcard stands for one label only; choose a host with one label in its place")
            .into());
    }
    let names = names::of(
        request,
        &gateway,
        &host,
        existing.as_ref(),
        &gateways,
        observed,
    )?;
    let wants_certificate = match &request.server {
        ServerChoice::Auto => environment.has_gardener,
        ServerChoice::Gardener => true,
        _ => false,
    };
    Ok(Target {
        namespace: request.namespace.clone(),
        service: request.service.clone(),
        port,
        host,
        gateway_host,
        selector: match (&existing, &request.selector) {
            (Some(existing), _) => existing.gateway.selector.clone(),
            (None, Some(selector)) => selector.clone(),
            (None, None) => default_selector(),
        },
        existing,
        gateway,
        names,
        options,
        environment,
        wants_certificate,
        gateways,
        gateways_unseen,
    })
}

/// What is said replaces what was there; a header takes the place of the one of its name.
fn choose_options(said: &RouteChoice, mut options: RouteOptions) -> RouteOptions {
    if let Some(paths) = &said.paths {
        options.paths.clone_from(paths);
    }
    if !said.methods.is_empty() {
        options.methods.clone_from(&said.methods);
    }
    options.timeout = said.timeout.unwrap_or(options.timeout);
    let identity = said
        .identity
        .map(IdentityHeaders::headers)
        .unwrap_or_default();
    options.headers.extend(identity);
    options.headers.extend(said.headers.clone());
    options
}

/// What the Service's route does with requests, whoever made it, and that route where an earlier run did: one that somebody
/// else made is no choice of the user's.
fn known_route(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<(Option<RouteOptions>, Option<LiveRoute>)> {
    let reference = environment
        .routing
        .reference(&request.namespace, &request.service);
    let object = observed.try_get(&reference)?.found().copied();
    let route = object.and_then(|object| Some((object, LiveRoute::read(object).ok()?)));
    let options = route
        .as_ref()
        .and_then(|(_, route)| route.options().cloned());
    let kept = route.filter(|(object, _)| object.is_ours());
    Ok((options, kept.map(|(_, route)| route)))
}

fn gateway_name(request: &Request, kept: Option<&LiveRoute>) -> GatewayName {
    let kept = kept.and_then(|route| route.gateway().parse().ok());
    let chosen = request.gateway.clone().or(kept);
    chosen.unwrap_or_else(|| GatewayName::new(&request.namespace, GATEWAY))
}

fn kymas_gateway(gateways: &[Gateway]) -> Option<&Gateway> {
    let reference = environment::kyma_gateway();
    gateways
        .iter()
        .find(|gateway| gateway.name.reference() == reference)
}

/// `<service>.mtls.<default domain>`
fn default_host(
    request: &Request,
    gateways: &[Gateway],
    observed: &Observed,
) -> Reconciled<String> {
    let shoot_info = observed.try_get(&environment::shoot_info())?;
    let domain = environment::default_domain(kymas_gateway(gateways), shoot_info.found().copied());
    let Some(domain) = domain else {
        return Err(Failure::refused(
            "Kyma's own Gateway does not tell the default domain: it has no host that begins with `*.`",
        )
        .hint("give the whole host with `--host`, or a domain with `--domain`")
        .into());
    };
    let host = format!("{}.mtls.{domain}", request.service);
    host.parse::<Domain>().map_err(|fault| {
        Failure::refused(format!("`{host}` cannot be a host: {fault}"))
            .hint("give another one with `--host`")
    })?;
    Ok(host)
}

/// An `APIRule` would be written, and never looked at.
fn refuse_idle_controller(gateways: &[Gateway]) -> Result<(), Failure> {
    let kymas = kymas_gateway(gateways);
    match kymas.and_then(|kymas| Some((kymas, environment::kyma_gateway_fault(kymas)?))) {
        None => Ok(()),
        Some((kymas, fault)) => Err(Failure::refused(format!(
            "Kyma's own Gateway `{}` has another shape than Kyma's: {fault}",
            kymas.name
        ))
        .hint("while it has, Kyma's controller takes no APIRule of the whole cluster, without a word")
        .hint("give it one HTTPS server with one host that begins with `*.`; others belong on Gateways of their own")),
    }
}

/// Whether a host is one of those for which a wildcard server is made.
fn is_default_form(request: &Request, host: &str) -> bool {
    host.starts_with(&format!("{}.mtls.", request.service))
}

/// A Gateway of the list, or what this run made of it since.
fn listed_gateway(name: &GatewayName, observed: &Observed) -> Reconciled<Option<Object>> {
    let listed = observed.list(&all_gateways())?;
    let reference = name.reference();
    let object = listed
        .iter()
        .find(|object| *object.reference() == reference);
    Ok(object.map(|object| as_written(object, observed).clone()))
}

/// What tells the former names of a Gateway that is gone while its route is there.
pub(super) fn former_names(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<Vec<Query>> {
    let (_, kept) = known_route(request, environment, observed)?;
    let name = gateway_name(request, kept.as_ref());
    let route = environment
        .routing
        .reference(&request.namespace, &request.service);
    // What this run itself wrote tells nothing.
    let is_gone = kept.is_some()
        && observed.change_of(&route).is_none()
        && tolerate(listed_gateway(&name, observed))?.is_ok_and(|found| found.is_none());
    let names = CredentialNames::further(&name);
    let told = [names.state(), client_ca::secret(&names.derived_client_ca())];
    Ok(told.into_iter().filter(|_| is_gone).map(get).collect())
}

/// `*.mtls.example.com` for `a.mtls.example.com`.
fn wildcard_over(host: &str) -> String {
    host.split_once('.')
        .map_or_else(|| host.to_owned(), |(_, rest)| format!("*.{rest}"))
}

pub(super) fn default_selector() -> BTreeMap<String, String> {
    DEFAULT_SELECTOR
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// An object of a list, or what this run made of it since.
fn as_written<'a>(object: &'a Object, observed: &'a Observed) -> &'a Object {
    let written = observed.change_of(object.reference());
    written.map_or(object, |written| &written.answer)
}

/// All Gateways, and why some could not be read.
fn seen_gateways(
    ours: &GatewayName,
    observed: &Observed,
) -> Reconciled<(Vec<Gateway>, Option<String>)> {
    if let Seen::Denied(denial) = observed.try_list(&all_gateways())? {
        return Err(Failure::refused(format!(
            "the Gateways of all namespaces must be read first, and may not be: {denial}"
        ))
        .hint("a Gateway elsewhere with the same host would take it over without a word")
        .hint("`kubectl mtls rbac expose` prints the Roles that `expose` needs")
        .into());
    }
    let objects = observed.list(&all_gateways())?;
    let mut unreadable = None;
    let mut readable = Vec::new();
    for object in objects {
        match Gateway::read(as_written(object, observed)) {
            Ok(gateway) => readable.push(gateway),
            Err(error) if ours.reference() == *object.reference() => {
                return Err(Failure::refused(error.to_string()).into());
            }
            Err(error) => unreadable = Some(error.to_string()),
        }
    }
    Ok((readable, unreadable))
}
