//! The loop around a plan: does what `next` says, folds the answer in, and asks again until it is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use time::OffsetDateTime;

use super::cluster::Outcome;
use super::store::Store;
use super::terminal::Terminal;
use super::{clock, interrupt, resolver};
use crate::error::Failure;
use crate::pki::authority::{Authority, CaRequest, default_subject, keyless_subject};
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf;
use crate::pki::server::{self, ServerIdentity};
use crate::plan::authority::NewAuthority;
use crate::plan::look::Client;
use crate::plan::{
    ClientKey, Delivery, Identity, Looks, MakeLeaf, MakeServer, Query, Step, World, Write,
};
use crate::resources::ObjectRef;
use crate::resources::fail_closed;
use crate::resources::proxy_config::Part;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);
/// More lost races than this over one object are no accident.
const MOST_CONFLICTS: u32 = 20;

/// What a command's loop works with.
pub struct Driver<'a> {
    /// Where objects are read and written.
    pub store: Store<'a>,
    /// Where progress is told.
    pub terminal: &'a mut Terminal,
    /// `--resolver`
    pub resolver: Option<String>,
}

struct Pace {
    pause: Duration,
    started: Option<Instant>,
    conflicts: BTreeMap<ObjectRef, u32>,
}

impl Driver<'_> {
    /// Runs a plan to its end. `deliver` hands a finished certificate to the user.
    pub async fn run<R>(
        &mut self,
        world: &mut World,
        next: impl Fn(&World, OffsetDateTime) -> Result<Step<R>, Failure>,
        mut deliver: impl FnMut(&Identity, &Delivery) -> Result<(), Failure>,
    ) -> Result<R, Failure> {
        world.random = clock::random()?;
        let mut pace = Pace {
            pause: SHORTEST_PAUSE,
            started: None,
            conflicts: BTreeMap::new(),
        };
        loop {
            interrupt::check()?;
            // So that a signal ends even a plan whose steps never wait.
            tokio::task::yield_now().await;
            let step = next(world, self.store.now())?;
            if !matches!(step, Step::Wait(_) | Step::Look(_)) {
                self.terminal.progress(&[]);
            }
            match step {
                Step::Read(queries) => self.read(world, queries).await?,
                Step::TryOut(try_out) => {
                    let answer = self.store.try_out(&try_out).await?;
                    let reference = try_out.write.object().reference().clone();
                    world.fold_tried(reference, try_out.strict, answer);
                }
                Step::MakeAuthority(new) => {
                    world.minted = Some(make_authority(&new, self.store.now())?.into());
                }
                Step::TakeAuthority(given) => world.minted = Some(given),
                Step::MakeLeaf(make) => world.identity = Some(make_leaf(&make, self.store.now())?),
                Step::MakeCanaries(canaries) => {
                    for (label, make) in canaries {
                        let identity = make_leaf(&make, self.store.now())?;
                        world.identities.insert(label, identity);
                    }
                }
                Step::MakeServer(make) => make_server(&make, world, self.store.now())?,
                Step::Tell(text) => {
                    self.terminal.warn(&text);
                    world.told.insert(text);
                }
                Step::Write(write) => self.write(world, &write, &mut pace).await?,
                Step::Attempt(write) => {
                    self.store.attempt(&write).await;
                    world.fold_attempt(write.object().reference().clone());
                }
                Step::Wait(wait) => {
                    self.terminal.progress(&wait.progress);
                    self.pause(world, &mut pace).await;
                    self.read(world, wait.reread).await?;
                }
                Step::Look(looks) => self.look(world, looks, &mut pace).await?,
                Step::Deliver(delivery) => {
                    let identity = world
                        .identity
                        .as_ref()
                        .ok_or_else(|| Failure::failed("there is no certificate to hand over"))?;
                    deliver(identity, &delivery)?;
                    world.delivered = true;
                }
                Step::Done(report) => return Ok(report),
            }
        }
    }

    /// Pauses, while the spinner turns.
    async fn pause(&mut self, world: &mut World, pace: &mut Pace) {
        let turning = async {
            loop {
                tokio::time::sleep(TURN).await;
                self.terminal.turn();
            }
        };
        tokio::select! {
            () = pace.wait(world) => {}
            () = turning => {}
        }
    }

    async fn read(&self, world: &mut World, queries: Vec<Query>) -> Result<(), Failure> {
        let proxies: Vec<(ObjectRef, Part)> = queries
            .iter()
            .filter_map(|query| match query {
                Query::Proxy(pod, part) => Some((pod.clone(), part.clone())),
                _ => None,
            })
            .collect();
        let asks_who = queries.contains(&Query::WhoAmI);
        let (hosts, queries): (Vec<_>, Vec<_>) = queries
            .into_iter()
            .filter(|query| !matches!(query, Query::WhoAmI | Query::Proxy(..)))
            .partition(|query| matches!(query, Query::Resolve(_)));
        let hosts: Vec<String> = hosts
            .into_iter()
            .filter_map(|query| match query {
                Query::Resolve(host) => Some(host),
                _ => None,
            })
            .collect();
        let resolve = |host: String| async move {
            let answer = resolver::resolve(&host, self.resolver.as_deref()).await?;
            Ok::<_, Failure>((host, answer))
        };
        let read = |query: Query| async move {
            let answer = self.store.read(&query).await?;
            Ok::<_, Failure>((query, answer))
        };
        let who = async {
            if asks_who {
                self.store.who_am_i().await.map(Some)
            } else {
                Ok(None)
            }
        };
        let ask_proxy = |(pod, part): (ObjectRef, Part)| async move {
            let answer = self.store.proxy(&pod, &part).await;
            (pod, part, answer)
        };
        let proxies = proxies.into_iter().map(ask_proxy);
        let proxies = async { Ok::<_, Failure>(join_all(proxies).await) };
        let (answers, addresses, who, proxies) = futures::try_join!(
            try_join_all(queries.into_iter().map(read)),
            try_join_all(hosts.into_iter().map(resolve)),
            who,
            proxies
        )?;
        for (pod, part, answer) in proxies {
            world.fold_proxy(pod, part, answer);
        }
        if let Some(who) = who {
            world.fold_who(who);
        }
        world.clock_ahead = self.store.clock_ahead();
        world.fold_reads(answers);
        for (host, answer) in addresses {
            world.fold_addresses(host, answer);
        }
        Ok(())
    }

    async fn write(
        &self,
        world: &mut World,
        write: &Write,
        pace: &mut Pace,
    ) -> Result<(), Failure> {
        match self.store.write(write).await? {
            Outcome::Written { object, action } => {
                world.fold_written(*object, action, self.store.now());
                pace.pause = SHORTEST_PAUSE;
                Ok(())
            }
            Outcome::Conflict => {
                let reference = write.object().reference().clone();
                let lost = pace.conflicts.entry(reference.clone()).or_default();
                *lost += 1;
                if *lost > MOST_CONFLICTS {
                    return Err(Failure::failed(format!(
                        "somebody else keeps changing {reference}"
                    ))
                    .hint("find out who, then run the same command again"));
                }
                world.fold_conflict(reference);
                Ok(())
            }
        }
    }

    async fn look(
        &mut self,
        world: &mut World,
        wanted: Looks,
        pace: &mut Pace,
    ) -> Result<(), Failure> {
        let looks = wanted.looks;
        if looks.iter().any(|look| !world.sightings(look).is_empty()) {
            let lines: Vec<String> = looks
                .iter()
                .filter_map(|look| Some((look, world.sightings(look).last()?)))
                .map(|(look, sighting)| {
                    format!(
                        "gateway through {}: not as it must be yet, the handshake {}",
                        look.via, sighting.outcome
                    )
                })
                .collect();
            self.terminal.progress(&lines);
            self.pause(world, pace).await;
            self.read(world, wanted.reread).await?;
        } else {
            self.terminal.progress(&[]);
            pace.start(world);
        }
        let made = looks.iter().map(|look| {
            let identity = match &look.client {
                Client::Nobody => None,
                Client::Shown(label) => world.identities.get(label),
            };
            let wants_header = world.wants_proxy_protocol(&look.via);
            self.store
                .look(look, identity, self.resolver.as_deref(), wants_header)
        });
        let results = join_all(made).await;
        for (look, sightings) in looks.into_iter().zip(results) {
            world.fold_look(look, sightings?);
        }
        Ok(())
    }
}

impl Pace {
    fn start(&mut self, world: &mut World) {
        let started = self.started.get_or_insert_with(Instant::now);
        world.waited = started.elapsed();
    }

    async fn wait(&mut self, world: &mut World) {
        self.start(world);
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.start(world);
    }
}

/// Makes a CA whose subject no other generation has.
pub fn make_authority(new: &NewAuthority, now: OffsetDateTime) -> Result<Authority, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::usage(format!("no CA can be made for `{}`", new.name)).caused_by(error)
    };
    let subject =
        default_subject(&new.name, clock::random()?).map_err(|error| failed(Box::new(error)))?;
    let request = CaRequest {
        subject,
        ttl: new.ttl,
        key_type: new.key_type,
    };
    let serial = clock::random()?;
    Authority::generate(&request, now, serial).map_err(|error| failed(Box::new(error)))
}

/// Makes a CA for server certificates, or a server's certificate.
fn make_server(make: &MakeServer, world: &mut World, now: OffsetDateTime) -> Result<(), Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::refused("no server certificate was made").caused_by(error)
    };
    match make {
        MakeServer::Authority(name) => {
            let subject = server::ca_subject(name, clock::random()?)
                .map_err(|error| failed(Box::new(error)))?;
            let request = CaRequest {
                subject,
                ttl: server::CA_TTL,
                key_type: KeyType::P256,
            };
            let authority = Authority::generate(&request, now, clock::random()?);
            world.server_authority = Some(authority.map_err(|error| failed(Box::new(error)))?);
        }
        MakeServer::Nobody => {
            let request = CaRequest {
                subject: keyless_subject(clock::random()?)
                    .map_err(|error| failed(Box::new(error)))?,
                ttl: fail_closed::TTL,
                key_type: KeyType::P256,
            };
            let authority = Authority::generate(&request, now, clock::random()?)
                .map_err(|error| failed(Box::new(error)))?;
            world.nobody = Some(authority.certificate().clone());
        }
        MakeServer::Leaf { authority, host } => {
            let identity = ServerIdentity::generate(authority, host, now, clock::random()?);
            world.server_identity = Some(identity.map_err(|error| failed(Box::new(error)))?);
        }
    }
    Ok(())
}

/// Makes a key and signs a client certificate over it.
pub fn make_leaf(make: &MakeLeaf, now: OffsetDateTime) -> Result<Identity, Failure> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::refused("no certificate was issued").caused_by(error)
    };
    let (key, public) = match &make.key {
        ClientKey::New(key_type) => {
            let key = PrivateKey::generate(*key_type).map_err(|error| refused(Box::new(error)))?;
            let public = key.public_key_der().to_vec();
            (Some(Arc::new(key)), public)
        }
        ClientKey::Given(key) => (Some(key.clone()), key.public_key_der().to_vec()),
        ClientKey::Elsewhere(public) => (None, public.clone()),
    };
    let certificate = leaf::issue(
        &make.authority,
        &make.request,
        &public,
        now,
        clock::random()?,
    )
    .map_err(|error| refused(Box::new(error)))?;
    Ok(Identity { key, certificate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::ca_dir::CaDir;
    use crate::io::runtime::OneThread;
    use crate::io::terminal::Color;

    #[test]
    fn a_plan_whose_steps_never_wait_can_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let directory = CaDir::new(folder.path());
        let mut terminal = Terminal::new(Color::Never, true);
        let mut driver = Driver {
            store: Store::Directory(&directory),
            terminal: &mut terminal,
            resolver: None,
        };
        let mut world = World::default();
        let endless = driver.run(
            &mut world,
            |_, _| Ok(Step::<()>::Read(Vec::new())),
            |_, _| Ok(()),
        );
        let thread = OneThread::start().unwrap();
        let ended = thread.run_to_its_end(async {
            tokio::time::timeout(std::time::Duration::from_millis(20), endless).await
        });
        assert!(ended.is_err(), "it ended by itself");
    }
}
