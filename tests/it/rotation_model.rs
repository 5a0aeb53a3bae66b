//! Random sequences of commands, some of them killed or failing on the way, against a model: after each, the real Envoys are
//! asked whether every client gets the answer that the model says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubectl_mtls::pki::inspect::Certificate;
use sandbox::{Caller, Fault, Interceptor, Reply};

use crate::ca_rotate::{Site, moved};
use crate::faults::disturbed;
use crate::lab::call;

/// Around the end of a certificate nothing is asked, in seconds.
const FUZZ: u64 = 3;

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Issue,
    IssueBrief,
    Expire,
    Revoke,
    Rotate,
    Abort,
    Finish,
    FinishByForce,
    TakeIn,
    Expose,
}

/// Repeats say how often.
const DEEDS: [Deed; 18] = [
    Deed::Issue,
    Deed::Issue,
    Deed::Issue,
    Deed::IssueBrief,
    Deed::Expire,
    Deed::Revoke,
    Deed::Revoke,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Abort,
    Deed::Abort,
    Deed::Finish,
    Deed::Finish,
    Deed::FinishByForce,
    Deed::TakeIn,
    Deed::Expose,
];

struct Client {
    name: String,
    /// The number of its CA.
    ca: u32,
    is_revoked: bool,
    /// Seconds since 1970.
    ends: u64,
}

/// What must be so.
#[derive(Default)]
struct Model {
    clients: Vec<Client>,
    /// Our CAs that are trusted, newest first; 0 is the one made by hand.
    trusted: Vec<u32>,
    issuing: Option<u32>,
    made: u32,
    /// Whether the CA made by hand is trusted as one of others.
    has_foreign: bool,
    has_hand_made: bool,
}

/// A small generator of random numbers (Marsaglia, Xorshift RNGs, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Client {
    fn is_live(&self) -> bool {
        !self.is_revoked && self.ends > now()
    }
}

impl Model {
    fn is_overlap(&self) -> bool {
        self.trusted.len() > 1
    }

    fn admits(&self, client: &Client) -> bool {
        let is_trusted = self.trusted.contains(&client.ca) || (client.ca == 0 && self.has_foreign);
        is_trusted && client.is_live()
    }

    /// Whether a CA that would leave still has clients that are known, or may have others.
    fn is_depended_upon(&self) -> bool {
        let leaving = |ca: u32| self.trusted.contains(&ca) && Some(ca) != self.issuing;
        let has_live = self
            .clients
            .iter()
            .any(|client| leaving(client.ca) && client.is_live());
        has_live || leaving(0)
    }
}

struct Play {
    site: Site,
    model: Model,
    random: Random,
    what: String,
}

impl Play {
    fn new(seed: u64) -> Self {
        // The generator's first numbers follow a small seed closely.
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        let mut model = Model::default();
        let site = if random.below(2) == 0 {
            let site = Site::named("model");
            moved(&site);
            model.has_foreign = true;
            model.has_hand_made = true;
            model.clients.push(Client {
                name: "theirs".to_owned(),
                ca: 0,
                is_revoked: false,
                ends: u64::MAX / 2,
            });
            site
        } else {
            model.made = 1;
            model.trusted = vec![1];
            model.issuing = Some(1);
            Site::exposed("model")
        };
        Self {
            site,
            model,
            random,
            what: format!("seed {seed}:"),
        }
    }

    /// Runs a command, perhaps after a run of it that was disturbed; it must end with this exit code.
    #[track_caller]
    fn run(&mut self, arguments: &[&str], code: i32) {
        let authority = ["--authority", &self.site.authority];
        let all = [arguments, &authority].concat();
        if code == 0 && self.random.below(3) == 0 {
            let desk = &self.site.desk;
            let number = u32::try_from(1 + self.random.below(24)).unwrap();
            let faults = [
                Fault::Hold,
                Fault::Hold,
                Fault::Answer(403),
                Fault::Answer(409),
                Fault::Answer(500),
                Fault::Drop,
            ];
            let fault = faults[self.random.below(faults.len())];
            self.what.push_str(&format!(" ({fault:?} at {number})"));
            let door = Interceptor::open(desk.instance, desk.folder.path()).unwrap();
            door.plan(number, fault);
            let ended = disturbed(desk, &all, &door);
            // Where it was done already, again would be another rotation.
            if arguments == ["ca-rotate"] && (ended == Some(0) || self.is_adopted()) {
                return;
            }
        }
        let run = self.site.desk.run(&all);
        assert_eq!(run.code, code, "{}: {run:#?}", self.what);
    }

    /// Whether a first CA of ours issues, and nothing is left to complete.
    fn is_adopted(&self) -> bool {
        if !self.model.trusted.is_empty() {
            return false;
        }
        let status = self.site.rotate(&["--status", "-o", "json"]).exits(0);
        let is_ours = |ca: &serde_json::Value| ca["role"] == "issuing";
        let cas = status.json()["cas"].as_array().unwrap().clone();
        cas.iter().any(is_ours) && !status.stderr.contains("lags behind")
    }

    fn issue(&mut self, life: Option<&str>) {
        let Some(ca) = self.model.issuing else { return };
        let name = format!("c{}", self.model.clients.len());
        let ttl = life.map_or(vec![], |life| vec!["--ttl", life]);
        self.site.issue(&name, &ttl);
        let pem = self.site.desk.read(&format!("{name}.crt"));
        let certificate = Certificate::many_from_pem(pem).unwrap().remove(0);
        let ends = u64::try_from(certificate.not_after().unix_timestamp()).unwrap();
        self.model.clients.push(Client {
            name,
            ca,
            is_revoked: false,
            ends,
        });
    }

    /// Waits for the end of every certificate that ends within this time, in seconds.
    fn settle(&self, within: u64) {
        let ends = self.model.clients.iter().map(|client| client.ends);
        let near = ends.filter(|ends| *ends + FUZZ > now() && *ends < now() + within);
        if let Some(last) = near.max() {
            std::thread::sleep(Duration::from_secs((last + FUZZ).saturating_sub(now())));
        }
    }

    fn perform(&mut self, deed: Deed) {
        self.what.push_str(&format!(" {deed:?}"));
        let is_known = !self.model.trusted.is_empty();
        match deed {
            Deed::Issue => self.issue(None),
            Deed::IssueBrief => self.issue(Some("20s")),
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
            Deed::Revoke => self.revoke(),
            Deed::Rotate => {
                if self.model.is_overlap() {
                    self.run(&["ca-rotate"], 0);
                    return;
                }
                self.run(&["ca-rotate"], 0);
                self.model.made += 1;
                self.model.trusted.insert(0, self.model.made);
                self.model.issuing = Some(self.model.made);
            }
            Deed::Abort | Deed::Finish | Deed::FinishByForce if !is_known => {}
            Deed::Abort => {
                let is_newest = self.model.issuing == self.model.trusted.first().copied();
                let code = if self.model.is_overlap() { 0 } else { 2 };
                self.run(&["ca-rotate", "--abort"], code);
                if self.model.is_overlap() && is_newest {
                    self.model.issuing = Some(self.model.trusted[1]);
                }
            }
            Deed::Finish => {
                // It must not end while the command decides.
                self.settle(15);
                let code = if self.model.is_depended_upon() { 2 } else { 0 };
                self.run(&["ca-rotate", "--finish"], code);
                if code == 0 {
                    self.finished();
                }
            }
            Deed::FinishByForce => {
                self.run(&["ca-rotate", "--finish", "--force"], 0);
                self.finished();
            }
            Deed::TakeIn => {
                if !self.model.has_foreign {
                    return;
                }
                let files = [
                    "ca-rotate",
                    "--from-cert",
                    "cacert.pem",
                    "--from-key",
                    "cakey.pem",
                ];
                self.run(&files, 0);
                self.model.has_foreign = false;
                self.model.trusted.push(0);
                self.model.issuing = self.model.issuing.or(Some(0));
            }
        }
    }

    fn finished(&mut self) {
        self.model.trusted = self.model.issuing.into_iter().collect();
    }

    fn revoke(&mut self) {
        let ours: Vec<usize> = (0..self.model.clients.len())
            .filter(|number| {
                let client = &self.model.clients[*number];
                client.name != "theirs" && self.model.trusted.contains(&client.ca)
            })
            .filter(|number| self.model.clients[*number].is_live())
            .filter(|number| self.model.clients[*number].ends > now() + 600)
            .collect();
        if ours.is_empty() {
            return;
        }
        let number = ours[self.random.below(ours.len())];
        let name = self.model.clients[number].name.clone();
        if self.model.has_foreign {
            self.run(&["revoke-client", &name], 2);
            return;
        }
        self.run(&["revoke-client", &name], 0);
        self.model.clients[number].is_revoked = true;
    }

    /// Asks both Envoys.
    #[track_caller]
    fn check(&self) {
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

/// One sequence; every step is checked. Tells what was done.
#[track_caller]
pub(crate) fn sequence(seed: u64, length: usize) -> String {
    let mut play = Play::new(seed);
    for _ in 0..length {
        let deed = DEEDS[play.random.below(DEEDS.len())];
        play.perform(deed);
        play.check();
    }
    play.what
}

#[test]
fn every_client_gets_the_answer_that_the_model_says_after_every_step() {
    for seed in [2, 3, 4, 5] {
        sandbox::report(&sequence(seed, 10));
    }
}
