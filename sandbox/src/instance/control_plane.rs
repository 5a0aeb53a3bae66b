//! Starts etcd, the API server, istiod and the port-forward end.

use std::path::Path;
use std::time::Duration;

use super::addresses::Addresses;
use super::credentials::Credentials;
use super::mesh::Mesh;
use super::probe;
use crate::error::Result;
use crate::parts::{Part, Parts};
use crate::process::Process;
use crate::run_dir::RunDirectory;

const PATIENCE: Duration = Duration::from_secs(180);

/// Everything is logged once: when it is answered, and a stream when its answer begins. The cluster's own chatter is left
/// out.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:apiserver, istiod, port-forward]
- level: None
  nonResourceURLs: [/readyz*, /livez*, /healthz*]
- level: Metadata
  verbs: [watch]
  omitStages: [ResponseComplete]
- level: Metadata
  resources: [{resources: [pods/portforward, pods/exec, pods/attach]}]
  omitStages: [ResponseComplete]
- level: Metadata
";

/// What the processes of a control plane share.
#[derive(Clone, Copy)]
pub(crate) struct ControlPlane<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) directory: &'a RunDirectory,
    pub(crate) addresses: &'a Addresses,
    pub(crate) credentials: &'a Credentials,
    pub(crate) mesh: Mesh,
}

impl ControlPlane<'_> {
    /// Starts etcd and waits until it accepts connections.
    pub(crate) async fn start_etcd(self) -> Result<Process> {
        let clients = format!("http://{}", self.addresses.etcd());
        let peers = format!("http://{}", self.addresses.etcd_peers());
        let mut process = self.start(Part::Etcd, "etcd", |etcd| {
            etcd.arg("--unsafe-no-fsync")
                .arg("--data-dir")
                .arg(self.directory.file("etcd"));
            etcd.args([
                "--name",
                "sandbox",
                "--initial-cluster",
                &format!("sandbox={peers}"),
            ]);
            etcd.args([
                "--listen-client-urls",
                &clients,
                "--advertise-client-urls",
                &clients,
            ]);
            etcd.args([
                "--listen-peer-urls",
                &peers,
                "--initial-advertise-peer-urls",
                &peers,
            ]);
        })?;
        let health = || probe::answers(self.addresses.etcd(), "/health");
        self.wait(&mut process, "etcd answering", health).await?;
        Ok(process)
    }

    /// Starts the API server; it does not answer yet.
    pub(crate) fn start_api_server(self) -> Result<Process> {
        let policy = self
            .directory
            .write("audit-policy.yaml", AUDIT_POLICY.as_bytes())?;
        let audit_log = self.directory.log("audit");
        self.start(Part::KubeApiserver, "kube-apiserver", |server| {
            server.arg(format!("--etcd-servers=http://{}", self.addresses.etcd()));
            server.arg("--bind-address=127.0.0.1");
            server.arg(format!(
                "--secure-port={}",
                self.addresses.api_server().port()
            ));
            server
                .arg("--endpoint-reconciler-type=none")
                .arg("--service-cluster-ip-range=10.0.0.0/16,fd00:10::/112");
            server.args([
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
            ]);
            server.arg("--service-account-issuer=https://kubernetes.default.svc");
            server.arg("--api-audiences=https://kubernetes.default.svc,istio-ca");
            server.args([
                "--kubelet-preferred-address-types=InternalIP",
                "--audit-log-maxsize=10000",
            ]);
            let credentials = self.credentials;
            let files: [(&str, &Path); 8] = [
                ("cert-dir", self.directory.path()),
                ("tls-cert-file", &credentials.certificate),
                ("tls-private-key-file", &credentials.key),
                ("service-account-key-file", &credentials.account_public_key),
                ("service-account-signing-key-file", &credentials.account_key),
                ("token-auth-file", &credentials.token_file),
                ("audit-policy-file", &policy),
                ("audit-log-path", &audit_log),
            ];
            for (flag, file) in files {
                server.arg(format!("--{flag}={}", file.display()));
            }
        })
    }

    /// Waits until the API server is ready for requests.
    pub(crate) async fn await_api_server(
        self,
        process: &mut Process,
        client: &kube::Client,
    ) -> Result<()> {
        let ready = || async {
            let request = http::Request::get("/readyz").body(Vec::new());
            match request {
                Ok(request) => client.request_text(request).await.is_ok(),
                Err(_) => false,
            }
        };
        self.wait(process, "the API server being ready", ready)
            .await
    }

    /// Starts istiod; its namespace and definitions exist already.
    pub(crate) fn start_istiod(self, kubeconfig: &Path) -> Result<Process> {
        let mesh = self
            .directory
            .write(&self.mesh.file(), self.mesh.config().as_bytes())?;
        let number = self.mesh.number;
        self.start(Part::Istiod, &self.mesh.process(), |istiod| {
            istiod
                .arg("discovery")
                .arg("--kubeconfig")
                .arg(kubeconfig)
                .arg("--meshConfig")
                .arg(mesh);
            let addresses = [
                ("--grpcAddr", self.addresses.istiod_discovery(number)),
                ("--secureGRPCAddr", self.addresses.istiod_secure(number)),
                ("--httpAddr", self.addresses.istiod_http(number)),
                ("--monitoringAddr", self.addresses.istiod_monitoring(number)),
            ];
            for (flag, address) in addresses {
                istiod.arg(flag).arg(address.to_string());
            }
            istiod.args(["--httpsAddr", "", "--ctrlz_port", "0"]);
            istiod.args(["--clusterID", "Kubernetes", "--registries", "Kubernetes"]);
            istiod.envs(self.mesh.variables());
            istiod.env("POD_NAME", self.mesh.process());
            istiod.envs([
                ("ENABLE_LEADER_ELECTION", "false"),
                ("XDS_AUTH_PLAINTEXT", "true"),
                ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
                ("PILOT_ENABLE_ALPN_FILTER", "false"),
                ("INJECT_ENABLED", "false"),
                // Nothing here runs the proxies that istiod would deploy.
                ("PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER", "false"),
            ]);
            let gateway_api = self.mesh.serves_gateway_api.to_string();
            istiod.env("PILOT_ENABLE_GATEWAY_API", gateway_api);
        })
    }

    /// Waits until istiod serves proxies.
    pub(crate) async fn await_istiod(self, process: &mut Process) -> Result<()> {
        let page = self.addresses.istiod_http(self.mesh.number);
        let ready = || probe::answers(page, "/ready");
        let what = format!("{} being ready", self.mesh.process());
        self.wait(process, &what, ready).await
    }

    /// Starts the kubelet end of port-forwards.
    pub(crate) fn start_port_forward(self) -> Result<Process> {
        let credentials = self.credentials;
        self.start(Part::PortForward, "port-forward", |program| {
            program
                .arg("-listen")
                .arg(self.addresses.port_forward().to_string());
            program
                .arg("-server")
                .arg(format!("https://{}", self.addresses.api_server()));
            program
                .arg("-cert")
                .arg(&credentials.certificate)
                .arg("-key")
                .arg(&credentials.key);
            program.arg("-ca").arg(&credentials.authority_file);
            program
                .arg("-token-file")
                .arg(&credentials.port_forward_token);
        })
    }

    /// Starts a part in the run directory, with the log file of that name.
    pub(crate) fn start(
        self,
        part: Part,
        name: &str,
        describe: impl FnOnce(&mut std::process::Command),
    ) -> Result<Process> {
        Process::start(
            name,
            self.parts.path(part)?,
            &self.directory.log(name),
            |command| {
                command.current_dir(self.directory.path());
                describe(command);
            },
        )
    }

    /// Asks every 25 ms until the answer is yes; fails as soon as the process has ended.
    pub(crate) async fn wait<Answer: Future<Output = bool>>(
        self,
        process: &mut Process,
        what: &str,
        ask: impl Fn() -> Answer,
    ) -> Result<()> {
        let waiting = async {
            while !ask().await {
                process.check()?;
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            Ok(())
        };
        probe::within(PATIENCE, what, &self.directory.logs(), waiting).await
    }
}
