//! Stands in for Gardener's certificate management: the issuer `garden`, which lives outside the cluster, and Certificates.
//!
//! It writes back into the Certificate (`spec.secretRef`, the hash label, the date annotations) as the original does, since
//! whoever owns these fields by mistake would fight with it. Differences: keys are always P-256 in PKCS#8 (a shoot's are
//! RSA-3072, which takes half a second each), `spec.csr` and keystores are not imitated, an Issuer of the cluster signs with the
//! sandbox's CA whatever its type, and a pending challenge is never given up. Without other orders it finds a DNS provider for
//! every domain.

mod authority;
mod controls;
mod decide;
mod domains;
mod issuers;
mod model;
mod secret;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::api::Patch;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::dns::Dns;
use super::journal::Journal;
use super::queue::{Next, Queue};
use super::resources::{Kind, ObjectKey, Originator, unless_missing};
use super::watch::{Event, follow};
pub(super) use authority::{Authority, Issued};
pub use controls::{Answer, CertificateControls};
use decide::{Situation, Step};
use issuers::IssuerType;
use model::{Certificate, HASH, NOT_AFTER, NOT_BEFORE, OPERATION};
pub(super) use model::{Leaf, moment, timestamp};

/// A request for a domain that is being requested is tried again after this time.
const CONCURRENT_RETRY: Duration = Duration::from_secs(30);

/// The running controller.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    authority: Arc<Authority>,
    controls: CertificateControls,
    dns: Dns,
}

impl Issuer {
    /// Makes the CA; challenges are answered in this DNS.
    pub(super) fn new(dns: Dns) -> Result<Self, rcgen::Error> {
        let authority = Arc::new(Authority::generate(OffsetDateTime::now_utc())?);
        Ok(Self {
            authority,
            controls: CertificateControls::default(),
            dns,
        })
    }

    /// The root certificate in PEM.
    pub(super) fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// Certificate and key, PEM, of a customer of the same issuer who may be a TLS client.
    pub(super) fn customer(&self) -> Result<(String, String), rcgen::Error> {
        let issued = self.authority.issue_client(OffsetDateTime::now_utc())?;
        Ok((issued.chain, issued.key))
    }

    pub(super) fn controls(&self) -> &CertificateControls {
        &self.controls
    }

    /// Starts the controller; it ends with the tasks.
    pub(super) fn start(&self, tasks: &mut JoinSet<()>, client: &kube::Client, journal: &Journal) {
        issuers::start(tasks, client, journal);
        let queue = Queue::default();
        let controller = Arc::new(Controller {
            client: client.clone(),
            issuer: self.clone(),
            pending: Mutex::default(),
        });
        let (certificates, gone) = (queue.clone(), Arc::clone(&controller));
        tasks.spawn(follow(
            Kind::Certificate.everywhere(client),
            journal.clone(),
            move |event, object| {
                let key = ObjectKey::of(&object.metadata);
                if event == Event::Deleted {
                    gone.end_request(&key);
                } else {
                    certificates.add(key);
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
    client: kube::Client,
    issuer: Issuer,
    /// What the issuer works on.
    pending: Mutex<HashMap<ObjectKey, Request>>,
}

/// A certificate that the issuer works on.
struct Request {
    since: Instant,
    domains: Vec<String>,
}

impl Controller {
    fn pending(&self) -> MutexGuard<'_, HashMap<ObjectKey, Request>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_request(&self, certificate: &Certificate) {
        let domains = certificate.domains();
        if self.issuer.controls.has_challenges() {
            self.issuer.dns.challenge(&certificate.key, &domains, true);
        }
        let since = Instant::now();
        self.pending()
            .insert(certificate.key.clone(), Request { since, domains });
    }

    fn end_request(&self, key: &ObjectKey) {
        let request = self.pending().remove(key);
        if let Some(request) = request {
            self.issuer.dns.challenge(key, &request.domains, false);
        }
    }

    /// A domain of the Certificate that is being requested for another one.
    fn requested_elsewhere(&self, certificate: &Certificate) -> Option<String> {
        let pending = self.pending();
        let mut others = pending.iter().filter(|(key, _)| **key != certificate.key);
        let domains = certificate.domains();
        others.find_map(|(_, request)| {
            domains
                .iter()
                .find(|domain| request.domains.contains(domain))
                .cloned()
        })
    }

    /// Whether challenges for all domains of the Certificate can be answered.
    async fn has_dns(&self, certificate: &Certificate) -> kube::Result<bool> {
        if self.issuer.controls.wants_dns_provider() {
            for domain in certificate.domains() {
                if !self.issuer.dns.takes(&self.client, &domain).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn reconcile(&self, key: &ObjectKey) -> kube::Result<Next> {
        let api = Kind::Certificate.within(&self.client, &key.namespace);
        let Some(object) = api.get_opt(&key.name).await? else {
            return Ok(Next::Settled);
        };
        if object.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Settled);
        }
        let certificate = Certificate::read(&object).map_err(kube::Error::SerdeError)?;
        let old = object
            .data
            .get("status")
            .cloned()
            .unwrap_or_else(|| json!({}));
        let step = self.decide(&certificate).await?;
        self.take(&certificate, &old, step).await
    }

    async fn decide(&self, certificate: &Certificate) -> kube::Result<Step> {
        let named = certificate.secret().ok().flatten();
        let stored = match &named {
            Some(key) => secret::read(&self.client, key).await?,
            None => None,
        };
        let pending = self
            .pending()
            .get(&certificate.key)
            .map(|request| request.since.elapsed());
        let equals = secret::with_hash(&self.client, &certificate.request_hash()).await?;
        let issuer = issuers::find(&self.client, certificate).await?;
        let has_dns = pending.is_none()
            || issuer != Ok(IssuerType::Acme)
            || self.has_dns(certificate).await?;
        Ok(decide::next(&Situation {
            certificate,
            pending,
            answer: self.issuer.controls.answer_to(&certificate.key),
            stored: stored.as_ref(),
            equals: &equals,
            issuer,
            requested_elsewhere: self.requested_elsewhere(certificate),
            has_dns,
            domains: &self.issuer.controls.domains(),
            now: OffsetDateTime::now_utc(),
        }))
    }

    async fn take(&self, certificate: &Certificate, old: &Value, step: Step) -> kube::Result<Next> {
        let now = OffsetDateTime::now_utc();
        match step {
            Step::ForgetBackOff => {
                self.set_status(certificate, old, json!({ "backoff": null }))
                    .await?;
            }
            Step::TakeMark => {
                self.patch(
                    certificate,
                    json!({ "metadata": { "annotations": { OPERATION: null } } }),
                )
                .await?;
            }
            Step::ForgetHash => {
                self.patch(
                    certificate,
                    json!({ "metadata": { "labels": { HASH: null } } }),
                )
                .await?;
                self.set_status(certificate, old, json!({ "state": "", "message": null }))
                    .await?;
            }
            Step::WantRenewal(after) => {
                self.patch(
                    certificate,
                    json!({ "spec": { "renew": null, "ensureRenewedAfter": after } }),
                )
                .await?;
            }
            Step::Request => {
                self.set_status(certificate, old, status::pending(certificate, old, now))
                    .await?;
                self.begin_request(certificate);
            }
            Step::Postpone(message) => {
                let status = status::waiting(certificate, &message, old, now);
                self.set_status(certificate, old, status).await?;
                return Ok(Next::After(CONCURRENT_RETRY));
            }
            Step::Issue => {
                let names = certificate.domains();
                // A second earlier: a renewal that is asked for within this second must count as later.
                let requested = now - time::Duration::seconds(1);
                let issued = self.issuer.authority.issue(&names, now);
                self.end_request(&certificate.key);
                match issued {
                    Ok(issued) => {
                        self.deliver(certificate, &secret::contents(&issued), requested)
                            .await?;
                    }
                    Err(error) => {
                        self.fail(
                            certificate,
                            old,
                            &format!("obtaining certificate failed: {error}"),
                            now,
                        )
                        .await?;
                    }
                }
            }
            Step::Reuse(stored) => {
                let Some(contents) = secret::copy(&self.client, &stored.key).await? else {
                    return Ok(Next::After(Duration::ZERO));
                };
                self.deliver(certificate, &contents, stored.requested_at.unwrap_or(now))
                    .await?;
            }
            Step::Confirm(leaf) => {
                self.set_status(
                    certificate,
                    old,
                    status::ready(certificate, &leaf, old, now),
                )
                .await?;
                return Ok(Next::Settled);
            }
            Step::Fail { message, fatal } => {
                self.end_request(&certificate.key);
                let status = status::failed(certificate, &message, fatal, old, now);
                let retry = status::retry_in(&status, now);
                self.set_status(certificate, old, status).await?;
                return Ok(retry.map_or(Next::BackOff, Next::After));
            }
            Step::Wait(rest) => return Ok(Next::After(rest)),
        }
        Ok(Next::After(Duration::ZERO))
    }

    async fn fail(
        &self,
        certificate: &Certificate,
        old: &Value,
        message: &str,
        now: OffsetDateTime,
    ) -> kube::Result<()> {
        self.set_status(
            certificate,
            old,
            status::failed(certificate, message, false, old, now),
        )
        .await
    }

    /// Writes the Secret, then into the Certificate where it is and what it holds.
    async fn deliver(
        &self,
        certificate: &Certificate,
        contents: &secret::Contents,
        requested: OffsetDateTime,
    ) -> kube::Result<()> {
        let requested = timestamp(requested);
        let key = secret::write(&self.client, certificate, contents, &requested).await?;
        let is_acme = issuers::find(&self.client, certificate).await? == Ok(IssuerType::Acme);
        if is_acme && self.issuer.controls.has_backups() {
            secret::back_up(&self.client, certificate, contents, &requested).await?;
        }
        let leaf = contents
            .get("tls.crt")
            .and_then(|chain| Leaf::read(&chain.0));
        let dates = leaf.map(|leaf| json!({ NOT_BEFORE: timestamp(leaf.not_before), NOT_AFTER: timestamp(leaf.not_after) }));
        let patch = json!({
            "metadata": { "labels": { HASH: certificate.request_hash() }, "annotations": dates },
            "spec": { "secretRef": { "name": key.name, "namespace": key.namespace } },
        });
        self.patch(certificate, patch).await
    }

    async fn patch(&self, certificate: &Certificate, patch: Value) -> kube::Result<()> {
        let api = Kind::Certificate.within(&self.client, &certificate.key.namespace);
        unless_missing(
            api.patch(
                &certificate.key.name,
                &Originator::Certificates.patching(),
                &Patch::Merge(patch),
            )
            .await,
        )?;
        Ok(())
    }

    /// Writes the status unless it says this already.
    async fn set_status(
        &self,
        certificate: &Certificate,
        old: &Value,
        status: Value,
    ) -> kube::Result<()> {
        if status::merged(old, &status) == *old {
            return Ok(());
        }
        let api = Kind::Certificate.within(&self.client, &certificate.key.namespace);
        let patch = json!({ "status": status });
        unless_missing(
            api.patch_status(
                &certificate.key.name,
                &Originator::Certificates.patching(),
                &Patch::Merge(patch),
            )
            .await,
        )?;
        Ok(())
    }
}
