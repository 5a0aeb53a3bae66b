//! External DNS management, and a resolver that sees its records.

use super::*;

impl Cluster {
    /// DNS management: logs in to the account of a new DNSProvider.
    pub(super) fn log_in(&mut self, object: &Object) {
        let in_shoot = self.objects.contains_key(&shoot_info());
        if object.at(&["status"]).is_some() || !is_looked_at(object, in_shoot) {
            return;
        }
        let status = json!({
            "state": "Ready",
            "message": "provider operational",
            "observedGeneration": generation(object),
            "lastUpdateTime": spoken(self.now),
        });
        self.put(&object.clone().with("status", status));
    }

    /// DNS management: publishes a record, and takes it away again.
    pub(super) fn publish_record(&mut self, object: &Object) {
        if is_leaving(object) {
            self.objects.remove(object.reference());
            return;
        }
        let entry = DnsEntry::read(object).unwrap();
        let shoot = self.objects.get(&shoot_info()).cloned();
        if !is_looked_at(object, shoot.is_some()) {
            self.controllers.published.remove(object.reference());
            return;
        }
        let shoot = shoot.as_ref().map(|shoot| shoot.text(&["data", "domain"]));
        let (state, message) = match self.provider_fault(&entry.host, shoot) {
            None => ("Ready", "dns entry active".to_owned()),
            // What was published before stays.
            Some((_, message)) if self.controllers.published.contains_key(object.reference()) => {
                ("Stale", message)
            }
            Some(fault) => fault,
        };
        if state == "Ready" {
            let record = (entry.host.clone(), entry.targets.clone());
            self.controllers
                .published
                .insert(object.reference().clone(), record);
        }
        if (entry.progress.is_current, entry.progress.state.as_str()) == (true, state) {
            return;
        }
        let mut status = json!({
            "state": state,
            "message": message,
            "observedGeneration": generation(object),
        });
        if state == "Ready" {
            status["zone"] = "example.com".into();
            status["provider"] = "kube-system/default".into();
        }
        let held = object.clone().with_finalizer(ENTRY_FINALIZER);
        self.put(&held.with("status", status));
    }

    /// Why no provider takes a record, where there is none for its domain; in a shoot Gardener itself has one for the shoot's own.
    pub(super) fn provider_fault(
        &self,
        host: &str,
        shoot: Option<&str>,
    ) -> Option<(&'static str, String)> {
        if shoot.is_some_and(|domain| is_within(host, domain)) {
            return None;
        }
        let objects = self.of_kind(Kind::DnsProvider);
        let known = objects
            .iter()
            .filter(|object| is_looked_at(object, shoot.is_some()));
        let known = known.filter_map(|object| Some((object, DnsProvider::read(object).ok()?)));
        let mut covering: Vec<_> = known.filter(|(_, known)| known.covers(host)).collect();
        covering.sort_by_key(|(_, known)| !known.is_ready(None));
        match covering.first() {
            None => Some(("Error", "no matching DNS provider found".to_owned())),
            Some((_, known)) if known.is_ready(None) => None,
            Some((object, known)) => {
                let (namespace, name) = (object.namespace(), object.name());
                let said = known.progress.said();
                Some((
                    "Stale",
                    format!("provider {namespace}/{name} has status {said}"),
                ))
            }
        }
    }

    /// What a resolver answers for a host.
    pub(in crate::plan::testing) fn resolve(&self, host: &str) -> Seen<Vec<String>> {
        if !self.controllers.dns {
            return Seen::Found(Vec::new());
        }
        let mut records = self.controllers.records.clone();
        let published = self.controllers.published.iter();
        let published = published.filter(|(entry, _)| self.objects.contains_key(entry));
        records.extend(published.map(|(_, record)| record.clone()));
        let covering = records.into_iter().filter(|(name, _)| covers(name, host));
        let found = covering
            .filter(|(name, _)| !self.is_hidden(host, name))
            .max_by_key(|(name, _)| specificity(name));
        found.map_or(Seen::Missing, |(_, addresses)| Seen::Found(addresses))
    }

    /// Whether the challenge of a pending Certificate, which makes its domain exist, ends what a wildcard above covers (RFC 4592).
    pub(super) fn is_hidden(&self, host: &str, record: &str) -> bool {
        let Some(above) = record.strip_prefix("*.") else {
            return false;
        };
        let certificates = self.of_kind(Kind::Certificate);
        let read = certificates
            .iter()
            .filter_map(|object| Certificate::read(object).ok());
        let mut challenged = read
            .filter(|certificate| certificate.progress.state == "Pending")
            .flat_map(|certificate| certificate.hosts)
            .map(|name| name.trim_start_matches("*.").to_owned());
        challenged
            .any(|domain| is_within(host, &domain) && is_within(&domain, above) && domain != above)
    }
}
