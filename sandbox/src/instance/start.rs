//! The order in which an instance comes to life.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::addresses::Addresses;
use super::balancer::Balancer;
use super::control_plane::ControlPlane;
use super::credentials::{Account, client};
use super::discovery::Way;
use super::gateway::IngressGateway;
use super::mesh::Mesh;
use super::replica::Replica;
use super::{Settings, create, envoy, gateway_objects, objects, probe, proxy_filter};
use crate::environment::Environment;
use crate::error::{Error, Result, Trying};
use crate::parts::Part;
use crate::process::{Process, Stack};
use crate::progress::report;
use crate::proxy_protocol::{ANONYMOUS, ProxyProtocol};
use crate::stand_in::{self, Controller, Gardener, StandIns};

/// What runs once the start is complete. Fields are dropped in this order.
pub(crate) struct Started {
    /// The replicas of all gateways, by their numbers; `None` where a number is free.
    pub(crate) proxies: Vec<Option<Proxy>>,
    /// What the gateways share among their replicas, in the order of the gateways.
    pub(crate) shared: Vec<Shared>,
    /// All other parts.
    pub(crate) processes: Stack,
    /// An administrator's client of the instance's own runtime.
    pub(crate) client: Client,
    /// PEM of the CA of kyma-gateway's certificate, where there is that gateway.
    pub(crate) authority: Option<String>,
}

/// A replica that an instance has, running or stopped.
pub(crate) struct Proxy {
    pub(crate) replica: Replica,
    /// Number of its gateway.
    pub(crate) gateway: usize,
    /// Its Envoy; `None` while stopped.
    pub(crate) envoy: Option<Process>,
    /// Its way to istiod.
    pub(crate) way: Way,
}

/// What the replicas of one gateway have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Their token for istiod.
    pub(crate) token: String,
    pub(crate) balancer: Balancer,
    /// The end of the next Pod's name.
    pub(crate) next_ordinal: usize,
}

impl Started {
    /// The replica with this number, running or stopped.
    pub(crate) fn proxy(&mut self, number: usize) -> Result<&mut Proxy> {
        let proxy = self.proxies.get_mut(number).and_then(Option::as_mut);
        proxy.ok_or_else(|| no_replica(number))
    }

    /// Ends everything, what depends on others first.
    pub(crate) fn end(&mut self) {
        self.proxies.clear();
        self.processes = Stack::default();
    }
}

pub(crate) fn no_replica(number: usize) -> Error {
    Error::Name(format!("no gateway has a replica {number}"))
}

/// Starts everything; on a failure what was started is ended again, last first.
pub(crate) async fn start(
    plane: ControlPlane<'_>,
    settings: &Settings,
    domain: &str,
    gateways: &[IngressGateway],
) -> Result<(Started, StandIns)> {
    let mesh = plane.mesh;
    let (environment, proxy_protocol) = (settings.environment, settings.proxy_protocol);
    let mut watch = StopWatch::start();
    let mut processes = Stack::default();
    let admin =
        plane
            .credentials
            .write_kubeconfig(plane.directory, "kubeconfig", Account::Admin)?;
    let own = plane.credentials.write_kubeconfig(
        plane.directory,
        "stand-ins.kubeconfig",
        Account::StandIns,
    )?;
    let (client, own) = (client(&admin)?, client(&own)?);
    let folder = plane.parts.path(Part::Crds)?;
    let definitions = objects::definitions(environment, settings.cert_manager, folder)?;

    processes.push(plane.start_etcd().await?);
    let mut server = plane.start_api_server()?;
    let ready = plane.await_api_server(&mut server, &own).await;
    processes.push(server);
    ready?;
    processes.push(plane.start_port_forward()?);
    watch.lap("API server");

    let istio = async {
        create::all(&own, objects::namespaces(environment, mesh, gateways)).await?;
        let kubeconfig = plane.credentials.write_kubeconfig(
            plane.directory,
            "istiod.kubeconfig",
            Account::Istiod,
        )?;
        let meshes = Mesh::all(environment).into_iter();
        let mut objects: Vec<Value> = meshes.flat_map(Mesh::objects).collect();
        objects.push(objects::node(plane.addresses.port_forward().port()));
        for gateway in gateways {
            objects.extend(gateway_objects::all(gateway));
        }
        create::all(&own, objects).await?;
        let tokens = gateways.iter().map(|gateway| gateway.request_token(&own));
        Ok::<_, Error>((kubeconfig, try_join_all(tokens).await?))
    };
    let ((kubeconfig, tokens), ()) =
        tokio::try_join!(istio, create::definitions(&own, definitions))?;
    let mut filters = vec![gateway_objects::loopback_only(mesh, plane.addresses.pods())];
    filters.extend(proxy_filter::envoy_filters(proxy_protocol, mesh, gateways));
    create::all(&own, filters).await?;
    watch.lap("objects");

    let mut istiod = plane.start_istiod(&kubeconfig)?;
    let kyma = async {
        let stand_ins = StandIns::start(
            own.clone(),
            stand_in_settings(plane, settings, domain, &gateways[0]),
        )
        .await?;
        create::all(&own, objects::kyma(environment, domain, &gateways[0])).await?;
        Ok(stand_ins)
    };
    let outcome = tokio::try_join!(plane.await_istiod(&mut istiod), kyma);
    processes.push(istiod);
    let ((), stand_ins) = outcome?;
    start_further_istiods(plane, environment, &kubeconfig, &mut processes).await?;
    let has_certificate =
        environment.has_kyma_gateway() && !settings.without.contains(&Controller::Certificate);
    let authority = has_certificate.then(|| stand_ins.root_certificate());
    watch.lap("istiod");

    let (mut proxies, shared) = open_all(plane, gateways, tokens, proxy_protocol).await?;
    let sign = Sign {
        domain,
        authority: authority.as_deref(),
        proxy_protocol,
    };
    for proxy in proxies.iter_mut().flatten() {
        if let Some(envoy) = &mut proxy.envoy {
            await_replica(plane, &proxy.replica, envoy, sign).await?;
        }
    }
    proxies.resize_with(Addresses::REPLICAS, || None);
    watch.lap("gateway");
    watch.report();
    Ok((
        Started {
            proxies,
            shared,
            processes,
            client,
            authority,
        },
        stand_ins,
    ))
}

/// Starts the istiods beside the first one, whose CA they take over.
async fn start_further_istiods(
    plane: ControlPlane<'_>,
    environment: Environment,
    kubeconfig: &Path,
    processes: &mut Stack,
) -> Result<()> {
    for mesh in Mesh::all(environment).into_iter().skip(1) {
        let plane = ControlPlane { mesh, ..plane };
        let mut istiod = plane.start_istiod(kubeconfig)?;
        let ready = plane.await_istiod(&mut istiod).await;
        processes.push(istiod);
        ready?;
    }
    Ok(())
}

/// Starts the load balancers and the replicas of all gateways; the replicas are not ready yet.
async fn open_all(
    plane: ControlPlane<'_>,
    gateways: &[IngressGateway],
    tokens: Vec<String>,
    proxy_protocol: ProxyProtocol,
) -> Result<(Vec<Option<Proxy>>, Vec<Shared>)> {
    let (mut proxies, mut shared) = (Vec::new(), Vec::new());
    for (gateway, token) in gateways.iter().zip(tokens) {
        let balancer = Balancer::default();
        balancer
            .start(&gateway.connect_to, gateway.load_balancer, proxy_protocol)
            .await?;
        for replica in &gateway.replicas {
            balancer.add(replica.tls());
            proxies.push(Some(open(plane, gateway, replica, &token).await?));
        }
        shared.push(Shared {
            token,
            balancer,
            next_ordinal: gateway.replicas.len(),
        });
    }
    Ok((proxies, shared))
}

/// Starts a replica of a gateway with a way to istiod of its own; it is not ready yet.
pub(crate) async fn open(
    plane: ControlPlane<'_>,
    gateway: &IngressGateway,
    replica: &Replica,
    token: &str,
) -> Result<Proxy> {
    let istiod = plane.addresses.istiod_discovery(replica.mesh.number);
    let way = Way::open(replica.discovery, istiod).await?;
    Ok(Proxy {
        replica: replica.clone(),
        gateway: gateway.number,
        envoy: Some(envoy::start(plane, gateway, replica, token)?),
        way,
    })
}

/// How one sees from outside that a replica has its configuration.
#[derive(Clone, Copy)]
pub(crate) struct Sign<'a> {
    /// The default domain.
    pub(crate) domain: &'a str,
    /// PEM of the CA of kyma-gateway's certificate, where there is that gateway.
    pub(crate) authority: Option<&'a str>,
    /// What a connection begins with.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// Waits until a replica has its configuration: with kyma-gateway it presents the certificate of the default domain.
pub(crate) async fn await_replica(
    plane: ControlPlane<'_>,
    replica: &Replica,
    envoy: &mut Process,
    sign: Sign<'_>,
) -> Result<()> {
    let host = format!("ready.{}", sign.domain);
    let prefix = if sign.proxy_protocol.is_understood() {
        ANONYMOUS
    } else {
        &[]
    };
    let answers = || async {
        match sign.authority {
            Some(authority) => {
                probe::presents_certificate(replica.tls(), prefix, &host, authority).await
            }
            None => probe::answers(replica.admin, "/ready").await,
        }
    };
    plane
        .wait(envoy, &format!("{} answering", replica.process()), answers)
        .await
}

/// Writes whether a replica is ready into its Pod's status.
pub(crate) async fn set_ready(client: &Client, replica: &Replica, ready: bool) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &replica.namespace);
    let patch = Patch::Merge(json!({"status": gateway_objects::pod_status(replica, ready)}));
    let patched = pods
        .patch_status(&replica.pod, &PatchParams::default(), &patch)
        .await;
    patched
        .map(drop)
        .trying(|| format!("write the status of Pod `{}`", replica.pod))
}

fn stand_in_settings(
    plane: ControlPlane<'_>,
    settings: &Settings,
    domain: &str,
    gateway: &IngressGateway,
) -> stand_in::Settings {
    let has_kyma = settings.environment.has_kyma();
    stand_in::Settings {
        dns_address: plane.addresses.resolver(),
        kyma: has_kyma,
        cert_manager: settings.cert_manager,
        without: settings.without.clone(),
        gardener: if has_kyma {
            Gardener::Shoot
        } else {
            Gardener::Absent
        },
        log: Some(plane.directory.log("stand-ins")),
        ..stand_in::Settings::new(domain, gateway.load_balancer.into())
    }
}

struct StopWatch {
    started: Instant,
    lap: Instant,
    laps: Vec<(&'static str, Duration)>,
}

impl StopWatch {
    fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            lap: now,
            laps: Vec::new(),
        }
    }

    fn lap(&mut self, what: &'static str) {
        let now = Instant::now();
        self.laps.push((what, now - self.lap));
        self.lap = now;
    }

    fn report(&self) {
        let laps: Vec<String> = self
            .laps
            .iter()
            .map(|(what, took)| format!("{what} {:.1} s", took.as_secs_f64()))
            .collect();
        report(&format!(
            "started in {:.1} s ({})",
            self.started.elapsed().as_secs_f64(),
            laps.join(", ")
        ));
    }
}
