//! Further deeds of the model's sequences: what is lost and restored, two operators at once, and serial numbers that several CAs
//! gave.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kubectl_mtls::pki::authority::Authority;
use kubectl_mtls::pki::key::{KeyType, PrivateKey};
use kubectl_mtls::pki::leaf::{self, LeafRequest};
use kubectl_mtls::pki::names::Subject;

use crate::lab::{Run, state_of};
use crate::rotation_model::Play;
use crate::rotation_oracle::{Cas, Deed};
use crate::shop::CLIENTS;

/// What two operators may do at the same time.
const TOGETHER: [Deed; 8] = [
    Deed::Issue,
    Deed::Issue,
    Deed::Revoke,
    Deed::Revoke,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Abort,
    Deed::FinishByForce,
];

/// How an operator is told that the other one was faster.
const CONFLICTS: [&str; 3] = [
    "there is no rotation to abort",
    "does not issue yet",
    "is not trusted any more",
];

/// One of two commands that run at the same time.
struct Half {
    deed: Deed,
    arguments: Vec<String>,
    /// The client whom it is about.
    client: Option<usize>,
}

impl Play {
    fn command(&self, arguments: &[&str]) -> Run {
        self.site.run(arguments)
    }

    fn half(&mut self) -> Half {
        let mut deed = self.random.one_of(&TOGETHER);
        let mut listed = self.model.revocable();
        listed.retain(|number| self.model.clients[*number].is_listed);
        if deed == Deed::Revoke && (listed.is_empty() || self.model.cas.has_foreign) {
            deed = Deed::Issue;
        }
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut client = None;
        let arguments = match deed {
            Deed::Issue => {
                let name = self.next_name();
                words(&["issue-client", &name, "--force", "--another"])
            }
            Deed::Revoke => {
                let number = self.random.one_of(&listed);
                client = Some(number);
                words(&["revoke-client", &self.model.clients[number].name])
            }
            Deed::Abort => words(&["ca-rotate", "--abort"]),
            Deed::FinishByForce => words(&["ca-rotate", "--finish", "--force"]),
            _ => words(&["ca-rotate"]),
        };
        Half {
            deed,
            arguments,
            client,
        }
    }

    /// Each of two commands ends well or tells why not, and what they leave is what one after the other would leave.
    #[track_caller]
    pub(crate) fn two_at_once(&mut self) {
        if self.model.cas.trusted.is_empty() {
            return;
        }
        let halves = [(); 2].map(|()| self.half());
        let deeds = [halves[0].deed, halves[1].deed];
        self.what.push_str(&format!(" {deeds:?}"));
        let play = &*self;
        let runs = std::thread::scope(|scope| {
            let started = halves.each_ref().map(|half| {
                let arguments: Vec<&str> = half.arguments.iter().map(String::as_str).collect();
                scope.spawn(move || play.command(&arguments))
            });
            started.map(|run| run.join().unwrap())
        });
        let orders = [deeds, [deeds[1], deeds[0]]];
        let allowed = orders.map(|order| {
            let before = self.model.cas.clone();
            order.into_iter().fold(before, Cas::after)
        });
        let found = self.cas();
        assert!(
            allowed.contains(&found),
            "{}: {found:?} is none of {allowed:?}: {runs:#?}",
            self.what
        );
        self.model.cas = found;
        for (half, run) in halves.iter().zip(&runs) {
            let is_told = CONFLICTS.iter().any(|told| run.stderr.contains(told));
            assert!(
                run.code == 0 || (run.code == 2 && is_told),
                "{}: {run:#?}",
                self.what
            );
            if run.code != 0 {
                continue;
            }
            if let Some(number) = half.client {
                self.model.clients[number].is_revoked = true;
            }
        }
        // In the order of their numbers.
        for (half, run) in halves.iter().zip(&runs) {
            if half.deed == Deed::Issue && run.code == 0 {
                self.add(&half.arguments[1]);
            }
        }
        self.done.insert(format!("{:?}", Deed::Both));
    }

    /// Every command refuses an older authority that was put back; restored, it revokes all that the inventory knows of, shuts
    /// no valid client out, and trusts no CA that had left.
    #[track_caller]
    pub(crate) fn roll_back(&mut self) {
        let witness = format!("authority-{}", self.site.authority);
        let witness = self.site.desk.get(CLIENTS, "configmap", &witness);
        let was = &witness["metadata"]["annotations"]["kubectl-mtls.dev/revision"];
        let was: u64 = was.as_str().unwrap().parse().unwrap();
        let revision = |number: &usize| {
            let state = state_of(&self.saved[*number].object);
            state["revision"].as_u64().unwrap()
        };
        let older: Vec<usize> = (0..self.saved.len())
            .filter(|number| revision(number) < was)
            .collect();
        if older.is_empty() {
            return;
        }
        let number = self.random.one_of(&older);
        self.what
            .push_str(&format!(" (to revision {})", revision(&number)));
        let back = self.saved[number].object.to_string();
        self.site.desk.kubectl(&["replace", "-f", "-"], &back);
        for command in [
            &["issue-client", "refused"][..],
            &["revoke-client", "c1"],
            &["ca-rotate"],
            &["ca-rotate", "--abort"],
            &["ca-rotate", "--finish", "--force"],
            &["ca-rotate", "--accept-inventory"],
        ] {
            self.refuses(command, &["an older copy of the authority", "--restore"]);
        }
        self.run(&["ca-rotate", "--restore", "--accept-loss"], 0);

        let found = self.cas();
        let (before, saved) = (&self.model.cas, &self.saved[number]);
        let told = format!("{}: {found:?} of {before:?}, {:?}", self.what, saved.cas);
        assert!(
            found.issuing.is_some() || before.issuing.is_none(),
            "{told}"
        );
        // Where nothing but keys is left, one that a run was too late to use may be the newest.
        let clients = &self.model.clients;
        let signed = |ca: &u32| clients.iter().any(|one| one.is_listed && one.ca == *ca);
        let is_known = |ca: &u32| saved.cas.trusted.contains(ca) || signed(ca);
        let has_known = before.trusted.iter().any(is_known);
        let may_be = |ca: &u32| before.trusted.contains(ca) || (!has_known && *ca > before.made);
        assert!(found.trusted.iter().all(may_be), "{told}");
        let may_be_foreign = saved.cas.has_foreign && !before.trusted.contains(&0);
        assert!(!found.has_foreign || may_be_foreign, "{told}");
        for client in &self.model.clients {
            let counts = client.is_listed && self.model.admits(client);
            assert!(!counts || found.trusted.contains(&client.ca), "{told}");
        }
        // What neither the inventory nor the older authority knows of is given up.
        for (number, client) in self.model.clients.iter_mut().enumerate() {
            client.is_revoked &= client.is_listed || saved.revoked.contains(&number);
        }
        self.model.cas = found;
        self.done.insert(format!("{:?}", Deed::RollBack));
    }

    #[track_caller]
    fn refuses(&self, command: &[&str], says: &[&str]) {
        let run = self.command(command);
        let is_told = says.iter().all(|text| run.stderr.contains(text));
        assert!(
            run.code == 2 && is_told,
            "{}: {command:?}: {run:#?}",
            self.what
        );
    }

    /// Without its inventory, or its witness alone, an authority neither revokes by name nor ends a rotation until what is left
    /// was accepted.
    #[track_caller]
    pub(crate) fn lose_the_inventory(&mut self) {
        let witness = format!("authority-{}", self.site.authority);
        let delete = ["-n", CLIENTS, "delete", "configmap"];
        let is_all = self.random.below(2) == 0;
        self.what
            .push_str(if is_all { " (all)" } else { " (witness)" });
        if is_all {
            let mine = format!("kubectl-mtls.dev/authority={}", self.site.authority);
            self.site
                .desk
                .kubectl(&[&delete[..], &["-l", &mine]].concat(), "");
            for client in &mut self.model.clients {
                client.is_listed = false;
            }
        }
        let gone = [&delete[..], &["--ignore-not-found", &witness]].concat();
        self.site.desk.kubectl(&gone, "");
        for command in [
            &["revoke-client", "c1"][..],
            &["ca-rotate", "--finish"],
            &["ca-rotate", "--finish", "--force"],
        ] {
            self.refuses(
                command,
                &["the inventory of the authority", "--accept-inventory"],
            );
        }
        self.run(&["ca-rotate", "--accept-inventory"], 0);
        self.done.insert(format!("{:?}", Deed::LoseInventory));
    }

    /// A certificate that ends soon and a lasting one have one serial number of two CAs. Revoked, neither comes back when the other one
    /// ends, and a revocation of one is none of the other.
    #[track_caller]
    pub(crate) fn twins(&mut self) {
        let cas = &self.model.cas;
        let other = cas.trusted.iter().find(|ca| Some(**ca) != cas.issuing);
        let Some(other) = other.filter(|_| !cas.has_foreign).copied() else {
            return;
        };
        let (ours, theirs) = match self.random.below(2) {
            0 => ("20s", 90 * 24 * 3600),
            _ => ("90d", 20),
        };
        let Some(one) = self.issue(Some(ours)) else {
            return;
        };
        let twin = self.sign(other, one, theirs);
        self.check();
        let are_both = self.random.below(2) == 0;
        self.what.push_str(&format!(" ({ours}, both: {are_both})"));
        self.revoke(twin);
        if are_both {
            self.revoke(one);
        }
        self.check();
        self.settle(60);
        // Every list is written anew, without what has ended.
        if let Some(last) = self.issue(None) {
            self.revoke(last);
        }
        self.done.insert(format!("{:?}", Deed::Twins));
    }

    /// Signs by hand, with the key of one CA, a certificate with the serial number of another one's; its client's number.
    fn sign(&mut self, ca: u32, of: usize, seconds: i64) -> usize {
        let ski = &self.skis[usize::try_from(ca).unwrap()];
        let name = self.site.state();
        let name = state_of(&name)["keysSecret"].as_str().unwrap().to_owned();
        let keys = self.site.desk.get("kubectl-mtls", "secret", &name);
        let keys: BTreeMap<String, String> = serde_json::from_value(keys["data"].clone()).unwrap();
        let part = |name: &str| BASE64.decode(&keys[name]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        let ca = Authority::load(part(&format!("{ski}.crt")), part(ski), now).unwrap();
        let serial = self.certificate(&self.model.clients[of].name);
        let serial = <[u8; 20]>::try_from(serial.serial().as_bytes()).unwrap();
        let name = self.next_name();
        let request = LeafRequest {
            subject: Subject::common_name(&name).unwrap(),
            uris: vec![format!("spiffe://twins/{name}")],
            ttl: time::Duration::seconds(seconds),
            ..LeafRequest::default()
        };
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let made = leaf::issue(&ca, &request, key.public_key_der(), now, serial).unwrap();
        let folder = self.site.desk.folder.path();
        std::fs::write(folder.join(format!("{name}.crt")), made.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.to_pem().as_bytes()).unwrap();
        let number = self.add(&name);
        self.model.clients[number].is_listed = false;
        number
    }
}
