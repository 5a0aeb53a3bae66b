//! The API server in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::controllers::{Controllers, spoken};
use super::faults::unseen;
use super::ownership;
use super::proxies::Proxies;
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::tests::NOW;
use crate::plan::authority::namespaces;
use crate::plan::reconcile::Question;
use crate::plan::{
    Action, Attempt, Delivery, Effect, Event, Observed, Query, QueryResult, Seen, Write,
};
use crate::resources::inventory::Inventory;
use crate::resources::names::{AUTHORITY_LABEL, CLIENTS_NAMESPACE};
use crate::resources::{Kind, Object, ObjectRef};

/// How long one pause takes here.
pub(super) const PAUSE: Duration = Duration::from_secs(20);

/// The kinds of cert-manager.
const CERT_MANAGER: [Kind; 3] = [
    Kind::CertManagerCertificate,
    Kind::CertManagerIssuer,
    Kind::ClusterIssuer,
];

/// A cluster that stores objects, and answers every effect.
#[derive(Clone)]
pub struct Cluster {
    /// What is stored.
    pub objects: BTreeMap<ObjectRef, Object>,
    /// What may not be read.
    pub denied: Vec<ObjectRef>,
    /// Queries that get this answer, whatever is stored.
    pub fixed: BTreeMap<Query, Seen<()>>,
    /// Kinds that are not served.
    pub unserved: BTreeSet<Kind>,
    /// Whether cert-manager is there, with its kinds.
    pub has_cert_manager: bool,
    /// The API server's time.
    pub now: OffsetDateTime,
    /// How far the clock of the user's computer is ahead of it, if the answers tell.
    pub clock_ahead: Option<time::Duration>,
    /// The proxies of the gateway.
    pub proxies: Proxies,
    /// Who else acts in the cluster; nobody by default.
    pub controllers: Controllers,
    /// Queries answered so far, and rounds of them.
    pub reads: usize,
    /// Rounds of parallel reads so far.
    pub rounds: usize,
    /// Writes so far: verb and object.
    pub writes: Vec<String>,
    /// What the user was asked.
    pub asked: Vec<Question>,
    /// Certificates that clients have.
    pub clients: Vec<Certificate>,
    /// Told apart what is generated.
    pub random: u8,
    pub(super) version: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            denied: Vec::new(),
            fixed: BTreeMap::new(),
            unserved: BTreeSet::new(),
            has_cert_manager: false,
            now: NOW,
            clock_ahead: None,
            proxies: Proxies::default(),
            controllers: Controllers::default(),
            reads: 0,
            rounds: 0,
            writes: Vec::new(),
            asked: Vec::new(),
            clients: Vec::new(),
            random: 0,
            version: 0,
        }
    }
}

impl Cluster {
    /// Performs an effect; what it answers.
    pub fn perform(&mut self, effect: Effect, observed: &Observed) -> Result<Vec<Event>, Failure> {
        // Nothing changes by looking at it or by thinking.
        let is_quiet = matches!(
            effect,
            Effect::Read(_)
                | Effect::DryRun(_)
                | Effect::Generate(_)
                | Effect::Ask(_)
                | Effect::Notify(_)
        );
        let events = match effect {
            Effect::Read(queries) => {
                let ahead = self.clock_ahead.map(Event::ClockAhead);
                let read = self.read_all(queries);
                ahead.into_iter().chain([read]).collect()
            }
            Effect::DryRun(dry_run) => {
                let answer = self.dry_run(&dry_run.write)?;
                vec![Event::DryRun {
                    object: dry_run.write.object().reference().clone(),
                    strict: dry_run.strict,
                    answer,
                }]
            }
            Effect::Generate(wanted) => vec![Event::Generated(Box::new(self.generate(wanted)))],
            Effect::Ask(question) => {
                self.asked.push(question.clone());
                vec![Event::Answered(question)]
            }
            Effect::Notify(text) => vec![Event::Notified(text)],
            Effect::Write(write) => vec![match self.write(&write)? {
                Some((object, action)) => Event::Written {
                    object: Box::new(object),
                    action,
                    at: self.now,
                },
                None => Event::Conflict(write.object().reference().clone()),
            }],
            Effect::Attempt(write) => {
                drop(self.write(&write));
                vec![Event::Attempted {
                    object: write.object().reference().clone(),
                    outcome: Attempt::Made,
                }]
            }
            Effect::Wait(wait) => {
                let waited = Event::Waited(observed.waited() + PAUSE);
                vec![waited, self.read_all(wait.reread)]
            }
            Effect::Probe(wanted) => {
                let mut events = Vec::new();
                let is_repeated = |probe| !observed.observations(probe).is_empty();
                if wanted.probes.iter().any(is_repeated) {
                    events.push(Event::Waited(observed.waited() + PAUSE));
                    events.push(self.read_all(wanted.reread));
                }
                self.act();
                self.load();
                let pods = self.proxy_pods();
                let probed = wanted.probes.into_iter().map(|probe| {
                    let observations = self.proxies.observe(&probe, observed, &pods, self.now);
                    (probe, observations)
                });
                events.push(Event::Probed(probed.collect()));
                events
            }
            Effect::Deliver(delivery) => {
                if let Delivery::Credential(credential) = delivery {
                    self.clients.push(credential.identity.certificate);
                }
                vec![Event::Delivered]
            }
        };
        if !is_quiet {
            self.act();
            self.load();
        }
        Ok(events)
    }

    fn read_all(&mut self, queries: Vec<Query>) -> Event {
        self.rounds += 1;
        let answers = queries.into_iter().map(|query| {
            let answer = match &query {
                query if self.fixed.contains_key(query) => unseen(query, &self.fixed[query]),
                Query::WhoAmI => QueryResult::User(Seen::Found("ada".to_owned())),
                Query::Resolve(host) => QueryResult::Addresses(self.resolve(host)),
                Query::Proxy(pod, part) => QueryResult::Proxy(self.dump(pod, part)),
                Query::Inventory => self.inventory(),
                query => self.read(query).into(),
            };
            (query, answer)
        });
        Event::Read(answers.collect())
    }

    fn inventory(&mut self) -> QueryResult {
        let listed = self.read(&Query::List {
            kind: Kind::ConfigMap,
            namespace: Some(CLIENTS_NAMESPACE.to_owned()),
            selector: Some(AUTHORITY_LABEL.to_owned()),
            metadata_only: true,
        });
        let read = |objects: &Vec<Object>| {
            let mut inventory = Inventory::default();
            inventory.extend(objects.iter().cloned());
            inventory
        };
        QueryResult::Inventory(Arc::new(listed.map(read)))
    }

    /// Answers a query for objects.
    pub fn read(&mut self, query: &Query) -> Seen<Vec<Object>> {
        self.reads += 1;
        match query {
            Query::Get(name) | Query::GetMetadata(name) | Query::GetMetadataIfAllowed(name)
                if self.denied.contains(name) =>
            {
                Seen::Denied(format!("`get` {name}"))
            }
            Query::Get(name) | Query::GetMetadata(name) if self.lacks(name.kind) => Seen::NotServed,
            Query::Get(name) => self.found(name, Object::clone),
            Query::GetMetadata(name) | Query::GetMetadataIfAllowed(name) => {
                self.found(name, metadata)
            }
            Query::List { kind, .. } if self.lacks(*kind) => Seen::NotServed,
            Query::List {
                kind,
                namespace,
                selector,
                metadata_only,
            } => {
                let selected = self.objects.values().filter(|object| {
                    object.reference().kind == *kind
                        && namespace
                            .as_deref()
                            .is_none_or(|namespace| namespace == object.namespace())
                        && selector.as_deref().is_none_or(|selector| {
                            selector.split(',').all(|part| object.is_selected_by(part))
                        })
                });
                let view = if *metadata_only {
                    metadata
                } else {
                    Object::clone
                };
                Seen::Found(selected.map(view).collect())
            }
            _ => Seen::NotServed,
        }
    }

    /// Whether a kind is not served.
    fn lacks(&self, kind: Kind) -> bool {
        self.unserved.contains(&kind) || (CERT_MANAGER.contains(&kind) && !self.has_cert_manager)
    }

    fn found(&self, name: &ObjectRef, view: impl Fn(&Object) -> Object) -> Seen<Vec<Object>> {
        let object = self.objects.get(name);
        object.map_or(Seen::Missing, |object| Seen::Found(vec![view(object)]))
    }

    /// Stores an object as somebody else would.
    pub fn put(&mut self, object: &Object) -> Object {
        self.version += 1;
        let mut body = object.body().clone();
        let before = self.objects.get(object.reference());
        let at = |field: &str| before.and_then(|before| before.at(&["metadata", field]).cloned());
        let version = self.version.to_string();
        let generation = at("generation").and_then(|n| n.as_u64()).unwrap_or(0);
        let is_changed = before.is_none_or(|before| before.at(&["spec"]) != object.at(&["spec"]));
        let metadata = &mut body["metadata"];
        metadata["uid"] = at("uid").unwrap_or_else(|| version.clone().into());
        if let Some(created) = at("creationTimestamp") {
            metadata["creationTimestamp"] = created;
        } else if metadata.get("creationTimestamp").is_none() {
            metadata["creationTimestamp"] = spoken(self.now).into();
        }
        metadata["generation"] = (generation + u64::from(is_changed)).into();
        metadata["resourceVersion"] = version.into();
        let stored = Object::from_server(object.reference().kind, body).unwrap();
        let name = stored.reference().clone();
        self.objects.insert(name, stored.clone());
        stored
    }

    /// Performs a write; `None` for a lost race.
    pub fn write(&mut self, write: &Write) -> Result<Option<(Object, Action)>, Failure> {
        let object = write.object();
        let name = object.reference().clone();
        if matches!(write, Write::Create(_)) && self.lacks_namespace_of(&name) {
            let namespace = &name.namespace;
            return Err(Failure::failed(format!(
                "could not create {name}: namespaces `{namespace}` not found"
            )));
        }
        let Some((stored, action)) = self.outcome(write)? else {
            return Ok(None);
        };
        let verb = match write {
            Write::Create(_) => "create",
            Write::Replace(_) => "replace",
            Write::Apply(_) | Write::TakeOver(_) => "apply",
            Write::Delete(_) => "delete",
        };
        self.writes.push(format!("{verb} {name}"));
        assert_pushes_nothing(&stored);
        if action == Action::Deleted {
            match self.objects.get(&name) {
                Some(live) if has_finalizers(live) => {
                    let mut body = live.body().clone();
                    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                    let deleted = Object::from_server(name.kind, body).unwrap();
                    self.put(&deleted);
                }
                _ => drop(self.objects.remove(&name)),
            }
            return Ok(Some((stored, action)));
        }
        let stored = self.put(&stored);
        if stored.at(&["metadata", "deletionTimestamp"]).is_some() && !has_finalizers(&stored) {
            self.objects.remove(&name);
        }
        Ok(Some((stored, action)))
    }

    /// Whether an object's namespace is one of this plugin's, which only it creates, and does not exist.
    fn lacks_namespace_of(&self, name: &ObjectRef) -> bool {
        let own = namespaces().into_iter();
        let mut missing = own.filter(|namespace| !self.objects.contains_key(namespace));
        missing.any(|namespace| namespace.name == name.namespace)
    }

    /// What a write would store; `None` for a lost race.
    fn outcome(&self, write: &Write) -> Result<Option<(Object, Action)>, Failure> {
        let object = write.object();
        let live = self.objects.get(object.reference());
        let is_read = |live: &Object| live.resource_version() == object.resource_version();
        Ok(match (write, live) {
            (Write::Create(_), None) => Some((object.clone(), Action::Created)),
            (Write::Replace(_), Some(live)) if is_read(live) => {
                Some((object.clone(), Action::Configured))
            }
            (Write::Apply(_), _) => Some(ownership::apply(object, live, false)?),
            (Write::TakeOver(_), Some(live))
                if !object.resource_version().is_empty() && !is_read(live) =>
            {
                None
            }
            (Write::TakeOver(_), _) => Some(ownership::apply(object, live, true)?),
            (Write::Delete(_), None) => Some((object.clone(), Action::Deleted)),
            (Write::Delete(_), Some(live)) if is_read(live) => {
                Some((object.clone(), Action::Deleted))
            }
            _ => None,
        })
    }

    fn dry_run(&self, write: &Write) -> Result<Seen<Object>, Failure> {
        let outcome = self.outcome(write)?;
        let object = outcome.map_or_else(|| write.object().clone(), |(object, _)| object);
        Ok(Seen::Found(object))
    }

    /// The reasons of all Events, sorted.
    pub fn events(&self) -> Vec<String> {
        let objects = self.objects.values();
        let events = objects.filter(|object| object.reference().kind == Kind::Event);
        let mut reasons: Vec<String> = events
            .map(|event| event.text(&["reason"]).to_owned())
            .collect();
        reasons.sort();
        reasons
    }
}

/// Asserts that no object of the inventory has a key of which istiod tells the whole mesh: it would do so for every certificate.
fn assert_pushes_nothing(object: &Object) {
    if object.namespace() == CLIENTS_NAMESPACE && object.reference().kind == Kind::ConfigMap {
        for key in ["ca.crt", "cacert", "ca.crl", "crl"] {
            let name = object.reference();
            assert!(object.at(&["data", key]).is_none(), "{name} holds `{key}`");
        }
    }
}

fn has_finalizers(object: &Object) -> bool {
    let finalizers = object.at(&["metadata", "finalizers"]);
    finalizers
        .and_then(Value::as_array)
        .is_some_and(|all| !all.is_empty())
}

/// The object as a request for its metadata shows it.
fn metadata(object: &Object) -> Object {
    let body = json!({
        "apiVersion": object.body()["apiVersion"],
        "kind": object.body()["kind"],
        "metadata": object.body()["metadata"],
    });
    Object::from_server(object.reference().kind, body).unwrap()
}
