//! Stands in for cert-manager: its Certificates, Issuers and `ClusterIssuers`.
//!
//! Conditions, reasons, messages, waits and field managers are those of the original
//! (<https://github.com/cert-manager/cert-manager>, `pkg/controller/certificates`). Differences: every issuer signs with the sandbox's
//! CA, a `CertificateRequest` is not kept as an object, keys are always P-256, and nothing is renewed before somebody asks for it.

mod controls;
mod issuers;
mod model;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::certificate::{Authority, Issued, timestamp};
use super::journal::Journal;
use super::queue::{Next, Queue};
use super::resources::{Kind, ObjectKey, Originator, unless_missing};
use super::watch::{Event, follow};
pub use controls::{CertManagerControls, RequestAnswer};
use model::{
    ALT_NAMES, CERTIFICATE_NAME, Certificate, ISSUER_GROUP, ISSUER_KIND, ISSUER_NAME, leaf,
};

/// How soon a request looks again whether its issuer can sign.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A third of its life before its end a certificate is due for renewal.
const RENEWED_AT: i32 = 3;

/// The running controller.
#[derive(Clone, Debug)]
pub(super) struct CertManager {
    authority: Arc<Authority>,
    controls: CertManagerControls,
}

impl CertManager {
    /// Makes the CA of all issuers.
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        Ok(Self {
            authority: Arc::new(Authority::generate(OffsetDateTime::now_utc())?),
            controls: CertManagerControls::default(),
        })
    }

    pub(super) fn controls(&self) -> &CertManagerControls {
        &self.controls
    }

    /// Starts the controller; it ends with the tasks.
    pub(super) fn start(&self, tasks: &mut JoinSet<()>, client: &Client, journal: &Journal) {
        issuers::start(tasks, client, journal);
        let queue = Queue::default();
        let controller = Arc::new(Controller {
            client: client.clone(),
            authority: Arc::clone(&self.authority),
            controls: self.controls.clone(),
            pending: Mutex::default(),
        });
        let (certificates, gone) = (queue.clone(), Arc::clone(&controller));
        tasks.spawn(follow(
            Kind::CertManagerCertificate.everywhere(client),
            journal.clone(),
            move |event, object| {
                let key = ObjectKey::of(&object.metadata);
                if event == Event::Deleted {
                    gone.pending().remove(&key);
                } else {
                    certificates.add(key);
                }
            },
        ));
        let secrets = queue.clone();
        tasks.spawn(follow(
            Kind::Secret.everywhere(client),
            journal.clone(),
            move |_, object| {
                let annotations = object.metadata.annotations.clone().unwrap_or_default();
                if let Some(name) = annotations.get(CERTIFICATE_NAME) {
                    let namespace = object.metadata.namespace.unwrap_or_default();
                    secrets.add(ObjectKey::new(namespace, name));
                }
            },
        ));
        tasks.spawn(queue.work(journal.clone(), move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        }));
    }
}

struct Controller {
    client: Client,
    authority: Arc<Authority>,
    controls: CertManagerControls,
    /// Since when each request waits.
    pending: Mutex<HashMap<ObjectKey, Instant>>,
}

impl Controller {
    fn pending(&self) -> MutexGuard<'_, HashMap<ObjectKey, Instant>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reconcile(&self, key: &ObjectKey) -> kube::Result<Next> {
        let api = Kind::CertManagerCertificate.within(&self.client, &key.namespace);
        let Some(object) = api.get_opt(&key.name).await? else {
            return Ok(Next::Settled);
        };
        if object.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Settled);
        }
        let certificate = Certificate::read(&object).map_err(kube::Error::SerdeError)?;
        let secret = Api::<Secret>::namespaced(self.client.clone(), &key.namespace)
            .get_opt(&certificate.spec.secret_name)
            .await?;
        let violation = certificate.violation(secret.as_ref());
        let readiness = readiness(&certificate, secret.as_ref(), violation.as_ref());
        if self
            .set_status(&certificate, "readiness", readiness)
            .await?
        {
            return Ok(Next::After(Duration::ZERO));
        }
        if certificate.is_issuing() {
            return self.issue(&certificate).await;
        }
        let Some((reason, message)) = violation else {
            return Ok(Next::Settled);
        };
        if let Some(rest) = certificate.back_off(OffsetDateTime::now_utc()) {
            return Ok(Next::After(rest.unsigned_abs()));
        }
        let issuing = certificate.condition("Issuing", true, reason, &message);
        let status = json!({"conditions": certificate.conditions_with("Issuing", Some(issuing))});
        self.set_status(&certificate, "trigger", status).await?;
        Ok(Next::After(Duration::ZERO))
    }

    /// Goes on with a request.
    async fn issue(&self, certificate: &Certificate) -> kube::Result<Next> {
        let since = *self
            .pending()
            .entry(certificate.key.clone())
            .or_insert_with(Instant::now);
        if !issuers::can_sign(&self.client, certificate).await? {
            return Ok(Next::After(LOOK_AGAIN));
        }
        let rest = match self.controls.answer_to(&certificate.key) {
            RequestAnswer::Never => return Ok(Next::After(LOOK_AGAIN)),
            RequestAnswer::Sign => Duration::ZERO,
            RequestAnswer::After(delay) => delay.saturating_sub(since.elapsed()),
            RequestAnswer::Fail { reason, message } => {
                self.pending().remove(&certificate.key);
                self.fail(certificate, &reason, &message).await?;
                return Ok(Next::Settled);
            }
        };
        if !rest.is_zero() {
            return Ok(Next::After(rest.min(LOOK_AGAIN)));
        }
        self.pending().remove(&certificate.key);
        let names = &certificate.spec.dns_names;
        match self.authority.issue(names, OffsetDateTime::now_utc()) {
            Ok(issued) => self.deliver(certificate, &issued).await?,
            Err(error) => self.fail(certificate, "Failed", &error.to_string()).await?,
        }
        Ok(Next::After(Duration::ZERO))
    }

    async fn fail(
        &self,
        certificate: &Certificate,
        reason: &str,
        message: &str,
    ) -> kube::Result<()> {
        let message = format!(
            "The certificate request has failed to complete and will be retried: {message}"
        );
        let issuing = certificate.condition("Issuing", false, reason, &message);
        let status = json!({
            "conditions": certificate.conditions_with("Issuing", Some(issuing)),
            "lastFailureTime": model::now(),
            "failedIssuanceAttempts": certificate.attempts() + 1,
        });
        self.set_status(certificate, "issuing", status).await?;
        Ok(())
    }

    /// Writes the Secret, then into the status that it was issued.
    async fn deliver(&self, certificate: &Certificate, issued: &Issued) -> kube::Result<()> {
        let Certificate { key, spec, .. } = certificate;
        let issuer = &spec.issuer_ref;
        let names = spec.dns_names.join(",");
        let annotations = BTreeMap::from([
            (CERTIFICATE_NAME, key.name.as_str()),
            (ISSUER_NAME, &issuer.name),
            (ISSUER_KIND, issuer.kind()),
            (ISSUER_GROUP, &issuer.group),
            (ALT_NAMES, &names),
        ]);
        let encoded = |pem: &str| BASE64.encode(pem);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {
                "name": spec.secret_name, "namespace": key.namespace, "annotations": annotations,
                "labels": {"controller.cert-manager.io/fao": "true"},
            },
            "data": {
                "tls.crt": encoded(&issued.chain),
                "tls.key": encoded(&issued.key),
                "ca.crt": encoded(&self.authority.root_pem()),
            },
        });
        let manager = PatchParams {
            force: true,
            ..Originator::CertManager("issuing").patching()
        };
        Api::<Secret>::namespaced(self.client.clone(), &key.namespace)
            .patch(&spec.secret_name, &manager, &Patch::Apply(secret))
            .await?;
        let revision = certificate.status["revision"].as_i64().unwrap_or(0) + 1;
        let status = json!({
            "conditions": certificate.conditions_with("Issuing", None),
            "revision": revision,
            "lastFailureTime": null,
            "failedIssuanceAttempts": null,
        });
        self.set_status(certificate, "issuing", status).await?;
        Ok(())
    }

    /// Writes into the status as one of cert-manager's controllers, unless it says this already.
    async fn set_status(
        &self,
        certificate: &Certificate,
        controller: &'static str,
        status: Value,
    ) -> kube::Result<bool> {
        let fields = status.as_object().into_iter().flatten();
        if fields
            .clone()
            .all(|(field, value)| certificate.status[field] == *value)
        {
            return Ok(false);
        }
        let api = Kind::CertManagerCertificate.within(&self.client, &certificate.key.namespace);
        let manager = Originator::CertManager(controller).patching();
        let patch = Patch::Merge(json!({"status": status}));
        unless_missing(
            api.patch_status(&certificate.key.name, &manager, &patch)
                .await,
        )?;
        Ok(true)
    }
}

/// The condition Ready, and the times of the certificate in the Secret.
fn readiness(
    certificate: &Certificate,
    secret: Option<&Secret>,
    violation: Option<&(&'static str, String)>,
) -> Value {
    let ready = match violation {
        None => certificate.condition(
            "Ready",
            true,
            "Ready",
            "Certificate is up to date and has not expired",
        ),
        Some((reason, message)) => certificate.condition("Ready", false, reason, message),
    };
    let mut status = json!({
        "conditions": certificate.conditions_with("Ready", Some(ready)),
        "notBefore": null, "notAfter": null, "renewalTime": null,
    });
    if let Some(leaf) = secret.and_then(leaf) {
        let life = leaf.not_after - leaf.not_before;
        status["notBefore"] = timestamp(leaf.not_before).into();
        status["notAfter"] = timestamp(leaf.not_after).into();
        status["renewalTime"] = timestamp(leaf.not_after - life / RENEWED_AT).into();
    }
    status
}
