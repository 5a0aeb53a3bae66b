//! `issue-client` and `renew-client` killed after a request, or with a request that fails: a rerun reaches the end of an
//! undisturbed run, nobody has a certificate that the inventory does not know, and what was lost is told.

use std::path::PathBuf;

use sandbox::{Fault, Interceptor};
use serde_json::Value;

use crate::faults::disturbed;
use crate::lab::Run;
use crate::shop::{CLIENTS, Shop};

/// What is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// `issue-client` for one client.
    Issue,
    /// For the clients of a table.
    IssueMany,
    /// `renew-client` for one client.
    Renew,
    /// For all whose certificates end soon.
    RenewMany,
}

impl Scene {
    pub(crate) const ALL: [Self; 4] = [Self::Issue, Self::IssueMany, Self::Renew, Self::RenewMany];

    fn is_for_many(self) -> bool {
        matches!(self, Self::IssueMany | Self::RenewMany)
    }

    fn renews(self) -> bool {
        matches!(self, Self::Renew | Self::RenewMany)
    }
}

/// An authority with which one certificate after the other is issued under a disturbance.
pub(crate) struct Office {
    scene: Scene,
    shop: Shop,
    door: Interceptor,
    rounds: u32,
}

/// Clients who were never seen before, and what is done for them.
struct Round {
    scene: Scene,
    clients: Vec<String>,
    folder: String,
    arguments: Vec<String>,
}

impl Office {
    pub(crate) fn open(scene: Scene) -> Self {
        let shop = Shop::open("office", &[]);
        let door = Interceptor::open(&shop.desk.instance, shop.desk.folder.path()).unwrap();
        Self {
            scene,
            shop,
            door,
            rounds: 0,
        }
    }

    fn round(&mut self) -> Round {
        self.rounds += 1;
        let folder = format!("round-{}", self.rounds);
        let mut clients = vec![format!("client-{}", self.rounds)];
        if self.scene.is_for_many() {
            clients.push(format!("other-{}", self.rounds));
        }
        let place = self.shop.desk.folder.path();
        std::fs::create_dir(place.join(&folder)).unwrap();
        if self.scene.renews() {
            let old = format!("{folder}/old");
            std::fs::create_dir(place.join(&old)).unwrap();
            for client in &clients {
                self.shop.issue(client, &["--out", &old, "--ttl", "20d"]);
            }
        }
        let table = format!("{folder}/clients.csv");
        std::fs::write(
            place.join(&table),
            format!("name\n{}\n", clients.join("\n")),
        )
        .unwrap();
        let command = match self.scene {
            Scene::Issue => format!("issue-client {}", clients[0]),
            Scene::IssueMany => format!("issue-client -f {table}"),
            Scene::Renew => format!("renew-client {} --ttl 60d", clients[0]),
            Scene::RenewMany => "renew-client --expiring-within 30d --ttl 60d".to_owned(),
        };
        let command = format!(
            "{command} --out {folder} --authority {}",
            self.shop.authority
        );
        Round {
            scene: self.scene,
            clients,
            folder,
            arguments: command.split(' ').map(str::to_owned).collect(),
        }
    }

    fn disturbed(&self, round: &Round) -> Option<i32> {
        disturbed(&self.shop.desk, &round.arguments(), &self.door)
    }

    /// The requests of an undisturbed run.
    pub(crate) fn requests_of_a_run(&mut self) -> u32 {
        let round = self.round();
        self.door.let_through();
        assert_eq!(self.disturbed(&round), Some(0));
        let requests = self.door.seen();
        assert_eq!(self.stands(&round, "", "undisturbed"), 0);
        requests
    }

    /// One disturbance, then an undisturbed rerun; tells how many certificates were reserved for nobody.
    #[track_caller]
    pub(crate) fn recovers(&mut self, number: u32, fault: Fault) -> usize {
        let round = self.round();
        let what = format!("{:?}, {fault:?} at {number}", self.scene);
        self.door.plan(number, fault);
        let code = self.disturbed(&round);
        assert_ne!(code, Some(101), "{what}");
        if fault == Fault::Answer(429) {
            assert_eq!(code, Some(0), "{what}: it was only to come again later");
        }
        let mut is_booked = true;
        for client in &round.clients {
            is_booked &= match self.delivered(&round, client) {
                None => false,
                Some(entry) => {
                    let state = state(&entry);
                    assert!(["reserved", "issued"].contains(&state), "{what}: {state}");
                    state == "issued"
                }
            };
        }
        let rerun = self.shop.desk.run(&round.arguments());
        if is_booked && !round.scene.is_for_many() {
            refused_for_its_files(&rerun, round.scene);
        } else {
            assert_eq!(rerun.code, 0, "{what}: {rerun:#?}");
        }
        self.stands(&round, &rerun.stderr, &what)
    }

    /// What an undisturbed run leaves; and of each certificate that nobody got, that its serial was told.
    #[track_caller]
    fn stands(&self, round: &Round, told: &str, what: &str) -> usize {
        let mut lost = 0;
        for client in &round.clients {
            let delivered = self.delivered(round, client).expect(what);
            let mut entries = self.entries(client);
            assert_eq!(entries.pop().as_ref(), Some(&delivered), "{what}");
            assert_eq!(state(&delivered), "issued", "{what}");
            if round.scene.renews() {
                assert_eq!(state(&entries.remove(0)), "issued", "{what}: the old one");
            }
            for entry in entries {
                assert_eq!(state(&entry), "reserved", "{what}");
                let serial = &entry["metadata"]["annotations"]["kubectl-mtls.dev/serial"];
                let serial = serial.as_str().unwrap();
                assert!(told.contains(serial), "{what}: {serial} in {told}");
                lost += 1;
            }
            self.shop.admits(&round.file(client));
        }
        lost
    }

    /// The one entry of the certificate that a client got, where it got one.
    #[track_caller]
    fn delivered(&self, round: &Round, client: &str) -> Option<Value> {
        let file = PathBuf::from(format!("{}.crt", round.file(client)));
        let certificate = std::fs::read_to_string(self.shop.desk.folder.path().join(file)).ok()?;
        let mut entries = self.entries(client);
        entries.retain(|entry| entry["data"]["tls.crt"] == certificate.as_str());
        assert_eq!(entries.len(), 1, "{client}: {entries:#?}");
        entries.pop()
    }

    /// A client's entries by their numbers.
    fn entries(&self, client: &str) -> Vec<Value> {
        let selector = format!("kubectl-mtls.dev/authority={}", self.shop.authority);
        let get = ["-n", CLIENTS, "get", "configmaps", "-o", "json", "-l"];
        let list = self
            .shop
            .desk
            .kubectl(&[&get[..], &[&selector]].concat(), "");
        let mut list: Value = serde_json::from_str(&list).unwrap();
        let mut entries = std::mem::take(list["items"].as_array_mut().unwrap());
        entries.retain(|entry| {
            entry["metadata"]["annotations"]["kubectl-mtls.dev/client-name"] == client
        });
        entries
    }
}

impl Round {
    fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Where a client's files lie, without their endings.
    fn file(&self, client: &str) -> String {
        if self.scene.is_for_many() {
            format!("{}/{client}/{client}", self.folder)
        } else {
            format!("{}/{client}", self.folder)
        }
    }
}

fn state(entry: &Value) -> &str {
    let state = &entry["metadata"]["labels"]["kubectl-mtls.dev/state"];
    state.as_str().unwrap()
}

/// All was done, and the client's files are never overwritten unasked.
#[track_caller]
fn refused_for_its_files(rerun: &Run, scene: Scene) {
    let words = if scene.renews() {
        "the one to renew"
    } else {
        "these files exist already"
    };
    assert_eq!(rerun.code, 2, "{rerun:#?}");
    assert!(rerun.stderr.contains(words), "{rerun:#?}");
}

/// The short tests take two scenes each; `cargo soak` takes all of them at every request.
const FAULTS: [Fault; 5] = [
    Fault::Answer(403),
    Fault::Answer(409),
    Fault::Answer(429),
    Fault::Answer(500),
    Fault::Drop,
];

#[test]
fn a_killed_run_is_completed_by_the_next_one() {
    let [issue, _, _, renew_many] = Scene::ALL;
    for scene in [issue, renew_many] {
        let mut office = Office::open(scene);
        let last = office.requests_of_a_run();
        let lost: Vec<usize> = (last - 4..=last)
            .map(|number| office.recovers(number, Fault::Hold))
            .collect();
        if !scene.is_for_many() {
            // A look at who one is, the reservation, a look at who signs, the booking, the Event.
            assert_eq!(lost, [0, 1, 1, 0, 0], "{scene:?}");
        }
    }
}

#[test]
fn a_failed_request_is_made_up_for_by_the_next_run() {
    let [_, issue_many, renew, _] = Scene::ALL;
    for scene in [issue_many, renew] {
        let mut office = Office::open(scene);
        let last = office.requests_of_a_run();
        for (number, fault) in (last - 4..).zip(FAULTS) {
            office.recovers(number, fault);
        }
    }
}
