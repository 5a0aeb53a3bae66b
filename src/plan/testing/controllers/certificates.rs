//! The issuers of server certificates: Gardener's cert-management, and cert-manager.

use super::*;

impl Cluster {
    /// cert-management: fills the Secret, writes the reference and the status back, and leaves the Secret where the Certificate goes.
    pub(super) fn issue_server(&mut self, object: &Object) {
        let certificate = Certificate::read(object).unwrap();
        let (key, value) = RETRY_CERTIFICATE;
        let is_marked = object.annotation(key) == Some(value);
        let secret = ObjectRef::new(Kind::Secret, object.namespace(), &certificate.secret);
        let is_renewed = object.at(&["spec", "renew"]) == Some(&true.into());
        let is_filled = self.objects.contains_key(&secret);
        if certificate.progress.is_ready() && !is_marked && !is_renewed && is_filled {
            return;
        }
        let host = certificate.hosts.first().expect("a name");
        let identity = self.fill(&secret, host, |secret| {
            secret.with_label(ISSUED_LABEL, "true")
        });

        let mut spec = object.at(&["spec"]).cloned().unwrap();
        spec.as_object_mut().unwrap().shift_remove("renew");
        spec["secretRef"] = json!({"name": secret.name, "namespace": secret.namespace});
        let stored = self.put(&object.clone().without_annotation(key).with("spec", spec));
        let status = json!({
            "state": "Ready",
            "message": "certificate valid",
            "observedGeneration": generation(&stored),
            "expirationDate": spoken(identity.certificate().not_after()),
        });
        self.put(&stored.with("status", status));
    }

    /// Writes a new certificate, its key and its CA into the Secret of a Certificate, which is marked.
    pub(super) fn fill(
        &mut self,
        secret: &ObjectRef,
        host: &str,
        mark: impl FnOnce(Object) -> Object,
    ) -> ServerIdentity {
        self.random += 1;
        let issuer = server_issuer();
        let identity = ServerIdentity::generate(issuer, host, self.now, [self.random; 20]);
        let identity = identity.unwrap();
        let issuer = issuer.certificate().pem();
        let data = json!({
            "tls.crt": BASE64.encode(identity.chain_pem() + &issuer),
            "tls.key": BASE64.encode(identity.key().to_pem().as_bytes()),
            "ca.crt": BASE64.encode(issuer),
        });
        let live = self.objects.get(secret).cloned();
        let filled = live.unwrap_or_else(|| {
            Object::new(secret.clone()).with("type", "kubernetes.io/tls".into())
        });
        self.put(&mark(filled).with("data", data));
        identity
    }

    /// cert-manager: waits for its issuer without a word, fails where a policy denies the request, else fills the Secret.
    pub(super) fn issue_with_cert_manager(&mut self, object: &Object) {
        let certificate = Certificate::read(object).unwrap();
        let secret = ObjectRef::new(Kind::Secret, object.namespace(), &certificate.secret);
        let conditions = object
            .at(&["status", "conditions"])
            .and_then(Value::as_array);
        let is_triggered = conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "Issuing" && condition["reason"] == "ManuallyTriggered"
        });
        let is_settled = match certificate.progress.state.as_str() {
            "Ready" => certificate.progress.is_current && self.objects.contains_key(&secret),
            "Error" => true,
            _ => false,
        };
        if is_settled && !is_triggered {
            return;
        }
        let condition = |name: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": name, "status": status, "reason": reason, "message": message,
                "observedGeneration": generation(object),
            })
        };
        let (reason, words) = (
            "DoesNotExist",
            "Issuing certificate as Secret does not exist",
        );
        let unready = condition("Ready", "False", reason, words);
        let name = IssuerName::from(certificate.issuer.as_str());
        let namespace = match name.kind {
            Kind::ClusterIssuer => "",
            _ => object.namespace(),
        };
        let issuer = self
            .objects
            .get(&ObjectRef::new(name.kind, namespace, name.name));
        let can_sign = issuer.is_some_and(|issuer| fault(issuer).unwrap().is_none());
        let status = match self.controllers.denial.clone() {
            _ if !can_sign => {
                json!({"conditions": [unready, condition("Issuing", "True", reason, words)]})
            }
            Some(words) => {
                let words = format!(
                    "The certificate request has failed to complete and will be retried: {words}"
                );
                json!({
                    "conditions": [unready, condition("Issuing", "False", "Denied", &words)],
                    "lastFailureTime": spoken(self.now),
                    "failedIssuanceAttempts": 1,
                })
            }
            None => {
                let host = certificate.hosts.first().expect("a name");
                let identity = self.fill(&secret, host, |secret| {
                    secret.with_annotation(CERTIFICATE_NAME_ANNOTATION, object.name())
                });
                let words = "Certificate is up to date and has not expired";
                json!({
                    "conditions": [condition("Ready", "True", "Ready", words)],
                    "notAfter": spoken(identity.certificate().not_after()),
                    "revision": 1,
                })
            }
        };
        if object.at(&["status"]) != Some(&status) {
            self.put(&object.clone().with("status", status));
        }
    }
}
