//! Random sequences of commands, some of them killed or failing on the way, against a model: after each, the real Envoys are
//! asked whether every client gets the answer that the model says.

use std::collections::BTreeSet;
use std::time::Duration;

use kubectl_mtls::pki::inspect::Certificate;
use sandbox::{Caller, Fault, Interceptor, Reply};
use serde_json::Value;

use crate::ca_rotate::{Site, moved};
use crate::faults::disturbed;
use crate::lab::call;
use crate::rotation_life::saved;
use crate::rotation_oracle::{Cas, Client, DEEDS, Deed, Model, Random, now};

/// Around the end of a certificate nothing is asked, in seconds.
const FUZZ: u64 = 6;

/// An authority as it was once.
pub(crate) struct Saved {
    pub(crate) object: Value,
    pub(crate) cas: Cas,
    pub(crate) revoked: BTreeSet<usize>,
}

pub(crate) struct Play {
    pub(crate) site: Site,
    pub(crate) model: Model,
    pub(crate) random: Random,
    /// What was done so far.
    pub(crate) what: String,
    /// The key identifiers of the CAs, by their numbers.
    pub(crate) skis: Vec<String>,
    /// The authority before each step.
    pub(crate) saved: Vec<Saved>,
    /// The deeds that were done: most of them need something that a sequence may never come to.
    pub(crate) done: BTreeSet<String>,
    /// How many clients were named.
    names: usize,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut random = Random::of(seed);
        let mut model = Model::default();
        let (site, hand_made) = if random.below(2) == 0 {
            let site = Site::named("model");
            moved(&site);
            model.cas.has_foreign = true;
            model.has_hand_made = true;
            model.clients.push(Client {
                name: "theirs".to_owned(),
                ca: 0,
                is_revoked: false,
                is_listed: false,
                ends: u64::MAX / 2,
            });
            let pem = site.desk.read("cacert.pem");
            let ca = Certificate::many_from_pem(pem).unwrap().remove(0);
            (site, ca.key_id_hex())
        } else {
            model.cas = Cas::default().after(Deed::Rotate);
            (Site::exposed("model"), "none".to_owned())
        };
        let mut play = Self {
            site,
            model,
            random,
            what: format!("seed {seed}:"),
            skis: vec![hand_made],
            saved: Vec::new(),
            done: BTreeSet::new(),
            names: 0,
        };
        play.is_as_the_model_says();
        for _ in 0..2 {
            play.issue(None);
        }
        play
    }

    /// The CAs as `--status` tells them; one that is new has the next number.
    pub(crate) fn cas(&mut self) -> Cas {
        let status = self.site.rotate(&["--status", "-o", "json"]).exits(0);
        let mut found = Cas::default();
        for ca in status.json()["cas"].as_array().unwrap() {
            let ski = ca["ski"].as_str().unwrap();
            let known = self.skis.iter().position(|known| known == ski);
            let number = known.unwrap_or_else(|| {
                self.skis.push(ski.to_owned());
                self.skis.len() - 1
            });
            let number = u32::try_from(number).unwrap();
            if ca["role"] == "external" {
                found.has_foreign = true;
                continue;
            }
            found.trusted.push(number);
            if ca["role"] == "issuing" {
                found.issuing = Some(number);
            }
        }
        found.made = u32::try_from(self.skis.len()).unwrap() - 1;
        found
    }

    #[track_caller]
    fn is_as_the_model_says(&mut self) {
        let found = self.cas();
        assert_eq!(found, self.model.cas, "{}", self.what);
    }

    /// Runs a command, perhaps after a run of it that was disturbed; it must end with this exit code.
    #[track_caller]
    pub(crate) fn run(&mut self, arguments: &[&str], code: i32) {
        let authority = ["--authority", &self.site.authority];
        let all = [arguments, &authority].concat();
        let is_disturbed = code == 0 && self.random.below(3) == 0;
        if is_disturbed {
            let desk = &self.site.desk;
            let number = u32::try_from(1 + self.random.below(24)).unwrap();
            let fault = self.random.one_of(&[
                Fault::Hold,
                Fault::Hold,
                Fault::Answer(403),
                Fault::Answer(409),
                Fault::Answer(500),
                Fault::Drop,
            ]);
            self.what.push_str(&format!(" ({fault:?} at {number})"));
            let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
            door.plan(number, fault);
            let ended = disturbed(desk, &all, &door);
            // Where it was done already, again would be another rotation.
            if arguments == ["ca-rotate"] && (ended == Some(0) || self.is_adopted()) {
                return;
            }
        }
        let run = self.site.desk.run(&all);
        // What a disturbed run restored is there to stay.
        let is_restored = run.stderr.contains("there is nothing to restore");
        if is_disturbed && is_restored && arguments.contains(&"--restore") {
            return;
        }
        assert_eq!(run.code, code, "{}: {run:#?}", self.what);
    }

    /// Whether a first CA of ours issues, and nothing is left to complete.
    fn is_adopted(&self) -> bool {
        if !self.model.cas.trusted.is_empty() {
            return false;
        }
        let status = self.site.rotate(&["--status", "-o", "json"]).exits(0);
        let is_ours = |ca: &Value| ca["role"] == "issuing";
        let cas = status.json()["cas"].as_array().unwrap().clone();
        cas.iter().any(is_ours)
    }

    pub(crate) fn next_name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    /// Issues a certificate; its client's number.
    pub(crate) fn issue(&mut self, life: Option<&str>) -> Option<usize> {
        let ca = self.model.cas.issuing?;
        let name = self.next_name();
        let ttl = life.map_or(vec![], |life| vec!["--ttl", life]);
        self.site.issue(&name, &ttl);
        let number = self.add(&name);
        assert_eq!(self.model.clients[number].ca, ca, "{}", self.what);
        Some(number)
    }

    /// Adds the client whose certificate lies there.
    pub(crate) fn add(&mut self, name: &str) -> usize {
        let certificate = self.certificate(name);
        let issuer = certificate.aki_hex().unwrap();
        let ca = self.skis.iter().position(|ski| *ski == issuer).unwrap();
        self.model.clients.push(Client {
            name: name.to_owned(),
            ca: u32::try_from(ca).unwrap(),
            is_revoked: false,
            is_listed: true,
            ends: u64::try_from(certificate.not_after().unix_timestamp()).unwrap(),
        });
        self.model.clients.len() - 1
    }

    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        let pem = self.site.desk.read(&format!("{name}.crt"));
        Certificate::many_from_pem(pem).unwrap().remove(0)
    }

    /// Waits for the end of every certificate that ends within this time, in seconds.
    pub(crate) fn settle(&self, within: u64) {
        let ends = self.model.clients.iter().map(|client| client.ends);
        let near = ends.filter(|ends| *ends + FUZZ > now() && *ends < now() + within);
        if let Some(last) = near.max() {
            std::thread::sleep(Duration::from_secs((last + FUZZ).saturating_sub(now())));
        }
    }

    fn perform(&mut self, deed: Deed) {
        self.what.push_str(&format!(" {deed:?}"));
        self.saved.push(Saved {
            object: saved(self.site.state()),
            cas: self.model.cas.clone(),
            revoked: self.model.revoked(),
        });
        let is_known = !self.model.cas.trusted.is_empty();
        match deed {
            Deed::Issue => drop(self.issue(None)),
            Deed::IssueBrief => drop(self.issue(Some("20s"))),
            Deed::Expire => self.settle(60),
            Deed::Expose => {
                if !self.model.has_hand_made {
                    let host = self.site.host.clone();
                    self.site
                        .desk
                        .run(&["expose", "httpbin", "--host", &host])
                        .exits(0);
                }
            }
            Deed::Revoke => {
                let all = self.model.revocable();
                if !all.is_empty() {
                    let number = self.random.one_of(&all);
                    self.revoke(number);
                }
            }
            Deed::Rotate => self.changes(deed, &["ca-rotate"], 0),
            Deed::Abort | Deed::Finish | Deed::FinishByForce if !is_known => {}
            Deed::Abort => {
                let code = if self.model.cas.is_overlap() { 0 } else { 2 };
                self.changes(deed, &["ca-rotate", "--abort"], code);
            }
            Deed::Finish => {
                // It must not end while the command decides.
                self.settle(15);
                let code = if self.model.is_depended_upon() { 2 } else { 0 };
                self.changes(deed, &["ca-rotate", "--finish"], code);
            }
            Deed::FinishByForce => self.changes(deed, &["ca-rotate", "--finish", "--force"], 0),
            Deed::TakeIn => {
                if self.model.cas.has_foreign {
                    let files = [
                        "ca-rotate",
                        "--from-cert",
                        "cacert.pem",
                        "--from-key",
                        "cakey.pem",
                    ];
                    self.changes(deed, &files, 0);
                }
            }
            Deed::Both => self.two_at_once(),
            Deed::RollBack => self.roll_back(),
            Deed::LoseInventory => self.lose_the_inventory(),
            Deed::Twins => self.twins(),
        }
        self.is_as_the_model_says();
    }

    /// Runs a command that changes the CAs where it ends with 0.
    #[track_caller]
    fn changes(&mut self, deed: Deed, arguments: &[&str], code: i32) {
        self.run(arguments, code);
        if code == 0 {
            self.model.cas = self.model.cas.clone().after(deed);
        }
    }

    /// Revokes a client: by its name where the inventory has it, else by its certificate.
    #[track_caller]
    pub(crate) fn revoke(&mut self, number: usize) {
        let client = &self.model.clients[number];
        let (name, file) = (client.name.clone(), format!("{}.crt", client.name));
        let which = if client.is_listed {
            vec!["revoke-client", &name]
        } else {
            vec!["revoke-client", "--certificate", &file, "--yes"]
        };
        if self.model.cas.has_foreign {
            self.run(&which, 2);
            return;
        }
        self.run(&which, 0);
        let client = &mut self.model.clients[number];
        (client.is_revoked, client.is_listed) = (true, true);
    }

    /// Asks both Envoys.
    #[track_caller]
    pub(crate) fn check(&self) {
        for client in &self.model.clients {
            if client.ends.abs_diff(now()) <= FUZZ {
                continue;
            }
            let caller = self.site.desk.client(&client.name);
            for replica in self.site.desk.instance.replicas() {
                let reply = call(&caller.at(replica.tls().to_string()), &self.site.host, &[]);
                self.judge(&client.name, &reply, self.model.admits(client));
            }
        }
        let nobody: Caller = self.site.desk.nobody();
        let reply = call(&nobody, &self.site.host, &[]);
        self.judge("nobody", &reply, false);
    }

    #[track_caller]
    fn judge(&self, name: &str, reply: &Reply, is_in: bool) {
        let is_right = match reply {
            Reply::Answered { status: 200, .. } => is_in,
            Reply::Refused(_) => !is_in,
            _ => false,
        };
        assert!(is_right, "{}: `{name}` (in: {is_in}): {reply}", self.what);
    }
}

/// One sequence; every step is checked. Tells what was tried, and the deeds that were done.
#[track_caller]
pub(crate) fn sequence(seed: u64, length: usize) -> (String, BTreeSet<String>) {
    let mut play = Play::new(seed);
    for _ in 0..length {
        let deed = play.random.one_of(&DEEDS);
        play.perform(deed);
        play.check();
    }
    (play.what, play.done)
}

#[test]
fn every_client_gets_the_answer_that_the_model_says_after_every_step() {
    // Chosen for what they come to: each deed, and an older authority with revocations after it.
    let mut done = BTreeSet::new();
    for (seed, length) in [(1, 14), (2, 4), (3, 10)] {
        let (what, of_these) = sequence(seed, length);
        sandbox::report(&what);
        done.extend(of_these);
    }
    let hard = [Deed::Both, Deed::RollBack, Deed::LoseInventory, Deed::Twins];
    for deed in hard.map(|deed| format!("{deed:?}")) {
        assert!(done.contains(&deed), "{deed} is not among {done:?}");
    }
}
