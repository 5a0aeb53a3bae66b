//! Stands in for Gardener's DNS management, and for the public DNS that it fills.
//!
//! On a shoot only objects of the class `garden` are looked at, elsewhere only those without a class: the others get no status
//! at all, which is the point. Without other orders a provider's account is taken to have whatever zones its
//! `spec.domains.include` names.

mod controls;
mod copies;
mod entries;
mod entry;
mod provider;
mod providers;
mod selection;
mod server;
mod writes;
mod zone;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::DynamicObject;
use tokio::task::JoinSet;

use super::journal::Journal;
use super::queue::Queue;
use super::resources::{Kind, ObjectKey};
use super::watch::{Event, follow};
pub use controls::DnsControls;
use copies::ProviderCopies;
use server::SharedZone;
use zone::{RecordSet, Target, Zone};

const CLASS: &str = "dns.gardener.cloud/class";
/// An object that waits for another one is looked at this often.
const WAIT: Duration = Duration::from_secs(2);
const DEFAULT_TTL: u32 = 300;
const CHALLENGE_TTL: u32 = 120;
/// What public DNS says of the domain of local Kyma clusters.
const LOCAL: (&str, IpAddr) = ("*.local.kyma.dev", IpAddr::V4(Ipv4Addr::LOCALHOST));

/// The DNS of one sandbox.
#[derive(Clone, Debug)]
pub(super) struct Dns {
    zone: SharedZone,
    domain: String,
    shoot: bool,
    controls: DnsControls,
    copies: ProviderCopies,
}

impl Dns {
    /// The wildcard of the default domain leads to the load balancer; a shoot also has a provider for that domain.
    pub(super) fn new(domain: &str, load_balancer: IpAddr, shoot: bool) -> Self {
        let wildcard = RecordSet {
            name: zone::normalize(&format!("*.{domain}")),
            ttl: DEFAULT_TTL,
            targets: vec![Target::Address(load_balancer)],
        };
        let dns = Self {
            zone: SharedZone::new(Zone::new(wildcard)),
            domain: domain.to_owned(),
            shoot,
            controls: DnsControls::default(),
            copies: ProviderCopies::default(),
        };
        let (name, address) = LOCAL;
        dns.publish(name, address);
        dns
    }

    /// Publishes the address of a name that no DNSEntry stands for, in place of the one before.
    pub(super) fn publish(&self, name: &str, address: IpAddr) {
        let set = RecordSet {
            name: zone::normalize(name),
            ttl: DEFAULT_TTL,
            targets: vec![Target::Address(address)],
        };
        let owner = ObjectKey::new("", &set.name);
        self.zone.change(|zone| zone.publish(owner, set));
    }

    /// Binds the DNS server and answers until the tasks end.
    pub(super) async fn serve(
        &self,
        tasks: &mut JoinSet<()>,
        address: SocketAddr,
        journal: &Journal,
    ) -> std::io::Result<SocketAddr> {
        let (mut server, bound) = server::bind(address, self.zone.clone()).await?;
        let journal = journal.clone();
        tasks.spawn(async move {
            if let Err(error) = server.block_until_done().await {
                journal.note(&format!("DNS server: {error}"));
            }
        });
        Ok(bound)
    }

    /// Starts the controllers of DNSProviders and DNSEntries; they end with the tasks.
    pub(super) fn control(&self, tasks: &mut JoinSet<()>, client: &Client, journal: &Journal) {
        let (entries, providers) = (Queue::default(), Queue::default());
        let (seen, dns) = (entries.clone(), self.clone());
        tasks.spawn(follow(
            Kind::DnsEntry.everywhere(client),
            journal.clone(),
            move |event, object| {
                let key = ObjectKey::of(&object.metadata);
                if event == Event::Deleted {
                    dns.zone.change(|zone| zone.withdraw(&key));
                } else {
                    seen.add(key);
                }
            },
        ));
        self.follow_providers(tasks, client, journal, &providers);
        let (dns, api) = (self.clone(), client.clone());
        tasks.spawn(entries.work(journal.clone(), move |key| {
            let (dns, api) = (dns.clone(), api.clone());
            async move { entries::reconcile(&dns, &api, &key).await }
        }));
        let (dns, api) = (self.clone(), client.clone());
        tasks.spawn(providers.work(journal.clone(), move |key| {
            let (dns, api) = (dns.clone(), api.clone());
            async move { providers::reconcile(&dns, &api, &key).await }
        }));
    }

    /// Puts DNSProviders that were written, or whose Secrets were, into the queue.
    fn follow_providers(
        &self,
        tasks: &mut JoinSet<()>,
        client: &Client,
        journal: &Journal,
        queue: &Queue,
    ) {
        let secrets: Arc<Mutex<HashMap<ObjectKey, ObjectKey>>> = Arc::default();
        let (seen, dns, users) = (queue.clone(), self.clone(), Arc::clone(&secrets));
        // Status writes must not lead to another pass: a pass may write the time.
        let mut known: HashMap<ObjectKey, String> = HashMap::new();
        tasks.spawn(follow(
            Kind::DnsProvider.everywhere(client),
            journal.clone(),
            move |event, object| {
                let key = ObjectKey::of(&object.metadata);
                let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
                if event == Event::Deleted {
                    users.remove(&key);
                    known.remove(&key);
                    return;
                }
                if let Some(secret) = providers::secret_key(&dns, &object) {
                    users.insert(key.clone(), secret);
                }
                let written = format!(
                    "{:?} {:?} {:?} {:?}",
                    object.metadata.uid,
                    object.metadata.generation,
                    object.metadata.annotations,
                    object.metadata.deletion_timestamp
                );
                if known.insert(key.clone(), written.clone()) != Some(written) {
                    seen.add(key);
                }
            },
        ));
        let seen = queue.clone();
        tasks.spawn(follow(
            Kind::Secret.everywhere(client),
            journal.clone(),
            move |event, object| {
                if event == Event::Listed {
                    return;
                }
                let secret = ObjectKey::of(&object.metadata);
                let users = secrets.lock().unwrap_or_else(PoisonError::into_inner);
                let users = users.iter().filter(|(_, used)| **used == secret);
                users.for_each(|(provider, _)| seen.add(provider.clone()));
            },
        ));
    }

    /// How the controllers behave.
    pub(super) fn controls(&self) -> &DnsControls {
        &self.controls
    }

    /// Whether a provider takes entries for the name, so that a challenge for it can be answered.
    pub(super) async fn takes(&self, client: &Client, name: &str) -> kube::Result<bool> {
        let providers = entries::providers(self, client).await?;
        let found = entry::matching(&providers, &zone::normalize(name));
        Ok(found.is_some_and(|provider| provider.ready.is_ok()))
    }

    /// Publishes the answer to a certificate's challenge, or takes it back.
    ///
    /// The name hides what a wildcard above it says of its siblings (RFC 4592 section 2.2.2).
    pub(super) fn challenge(&self, certificate: &ObjectKey, domains: &[String], open: bool) {
        self.zone.change(|zone| {
            for domain in domains {
                let domain = domain.strip_prefix("*.").unwrap_or(domain);
                let owner = ObjectKey::new("_acme-challenge", format!("{certificate}/{domain}"));
                if open {
                    zone.publish(
                        owner,
                        RecordSet {
                            name: zone::normalize(&format!("_acme-challenge.{domain}")),
                            ttl: CHALLENGE_TTL,
                            targets: vec![Target::Text("sandbox".to_owned())],
                        },
                    );
                } else {
                    zone.withdraw(&owner);
                }
            }
        });
    }

    /// Whether the object is of the class that is handled here.
    fn is_ours(&self, object: &DynamicObject) -> bool {
        let class = object
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(CLASS))
            .map_or("", String::as_str);
        if self.shoot {
            class == "garden"
        } else {
            ["", "gardendns"].contains(&class)
        }
    }

    /// In a shoot the copying into the control plane holds an object, elsewhere the DNS controller itself.
    fn entry_finalizer(&self) -> &'static str {
        if self.shoot {
            "garden.dns.gardener.cloud/dnsentry-source"
        } else {
            "dns.gardener.cloud/compound"
        }
    }

    /// The same for a provider and its Secret.
    fn provider_finalizer(&self) -> &'static str {
        if self.shoot {
            "garden.dns.gardener.cloud/dnsprovider-replication"
        } else {
            "dns.gardener.cloud/compound"
        }
    }
}
