//! The order in which an instance comes to life.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::control_plane::ControlPlane;
use super::credentials::{Account, client};
use super::discovery::Way;
use super::gateway::{self, Replica};
use super::{Settings, balancer, create, objects, probe, proxy_filter};
use crate::error::{Error, Result, Trying};
use crate::parts::Part;
use crate::process::{Process, Stack};
use crate::progress::report;
use crate::proxy_protocol::{ANONYMOUS, ProxyProtocol};
use crate::stand_in::{self, Controller, Gardener, StandIns};

/// What runs once the start is complete. Fields are dropped in this order.
pub(crate) struct Started {
    /// The Envoys, by the number of their replica; `None` while stopped.
    pub(crate) envoys: Vec<Option<Process>>,
    /// Their ways to istiod, by the same numbers.
    pub(crate) ways: Vec<Way>,
    /// All other parts.
    pub(crate) processes: Stack,
    /// An administrator's client of the instance's own runtime.
    pub(crate) client: Client,
    /// The gateway's token for istiod.
    pub(crate) token: String,
    /// PEM of the CA of kyma-gateway's certificate, where there is that gateway.
    pub(crate) authority: Option<String>,
}

impl Started {
    /// Ends everything, what depends on others first.
    pub(crate) fn end(&mut self) {
        self.envoys.clear();
        self.processes = Stack::default();
    }
}

/// Starts everything; on a failure what was started is ended again, last first.
pub(crate) async fn start(
    plane: ControlPlane<'_>,
    settings: &Settings,
    domain: &str,
    replicas: &[Replica],
) -> Result<(Started, StandIns)> {
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
    let definitions = objects::definitions(environment, plane.parts.path(Part::Crds)?)?;

    processes.push(plane.start_etcd().await?);
    let mut server = plane.start_api_server()?;
    let ready = plane.await_api_server(&mut server, &own).await;
    processes.push(server);
    ready?;
    processes.push(plane.start_port_forward()?);
    watch.lap("API server");

    let mesh = async {
        create::all(&own, objects::namespaces(environment)).await?;
        let kubeconfig = plane.credentials.write_kubeconfig(
            plane.directory,
            "istiod.kubeconfig",
            Account::Istiod,
        )?;
        let gateway = objects::gateway(replicas, plane.addresses.port_forward().port());
        create::all(&own, gateway).await?;
        let token = gateway::request_token(&own).await?;
        Ok::<_, Error>((kubeconfig, token))
    };
    let ((kubeconfig, token), ()) = tokio::try_join!(mesh, create::definitions(&own, definitions))?;
    let mut filters = vec![gateway::loopback_only(replicas)];
    filters.extend(proxy_filter::envoy_filter(proxy_protocol));
    create::all(&own, filters).await?;
    watch.lap("objects");

    let mut istiod = plane.start_istiod(&kubeconfig)?;
    let kyma = async {
        let stand_ins =
            StandIns::start(own.clone(), stand_in_settings(plane, settings, domain)).await?;
        create::all(&own, objects::kyma(environment, domain)).await?;
        Ok(stand_ins)
    };
    let outcome = tokio::try_join!(plane.await_istiod(&mut istiod), kyma);
    processes.push(istiod);
    let ((), stand_ins) = outcome?;
    let has_certificate =
        environment.has_kyma_gateway() && !settings.without.contains(&Controller::Certificate);
    let authority = has_certificate.then(|| stand_ins.root_certificate());
    watch.lap("istiod");

    balancer::start(
        plane.addresses.balancer(),
        replicas.iter().map(Replica::tls).collect(),
        proxy_protocol,
    )
    .await?;
    let (mut envoys, mut ways) = (Vec::new(), Vec::new());
    for replica in replicas {
        ways.push(Way::open(replica.discovery, plane.addresses.istiod_discovery()).await?);
        envoys.push(Some(replica.start(plane, &token)?));
    }
    let sign = Sign {
        domain,
        authority: authority.as_deref(),
        proxy_protocol,
    };
    for (replica, envoy) in replicas.iter().zip(&mut envoys) {
        if let Some(envoy) = envoy {
            await_replica(plane, replica, envoy, sign).await?;
        }
    }
    watch.lap("gateway");
    watch.report();
    Ok((
        Started {
            envoys,
            ways,
            processes,
            client,
            token,
            authority,
        },
        stand_ins,
    ))
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
        .wait(envoy, &format!("{} answering", replica.pod), answers)
        .await
}

/// Writes whether a replica is ready into its Pod's status.
pub(crate) async fn set_ready(client: &Client, replica: &Replica, ready: bool) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), gateway::NAMESPACE);
    let patch = Patch::Merge(json!({"status": objects::pod_status(replica, ready)}));
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
) -> stand_in::Settings {
    let has_kyma = settings.environment.has_kyma();
    stand_in::Settings {
        dns_address: plane.addresses.resolver(),
        kyma: has_kyma,
        without: settings.without.clone(),
        gardener: if has_kyma {
            Gardener::Shoot
        } else {
            Gardener::Absent
        },
        log: Some(plane.directory.log("stand-ins")),
        ..stand_in::Settings::new(domain, objects::LOAD_BALANCER.into())
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
