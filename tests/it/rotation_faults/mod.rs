//! `ca-rotate` killed after a request, with a request that fails, twice at once, and beside an issuer that is held up: valid
//! clients call all the time and are never refused, and the same command again reaches the same end.

mod at_once;

use std::sync::OnceLock;

use sandbox::load::{Expected, Load};
use sandbox::{Fault, Interceptor};
use serde_json::Value;

use crate::ca_rotate::{Site, moved};
use crate::faults::{disturbed, strangers};
use crate::lab::state_of;
use crate::shop::unmove;

/// What is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// The start of a rotation, until the new CA issues.
    Start,
    /// Its end.
    Finish,
    /// The way back.
    Abort,
    /// A CA of ours beside one that was made by hand.
    Adopt,
    /// The key of a CA that was made by hand.
    TakeIn,
    /// A Gateway that reads a Secret of an earlier version is moved to its authority.
    Move,
    /// An older authority was put back, and is restored.
    Restore,
}

impl Scene {
    pub(crate) const ALL: [Self; 7] = [
        Self::Start,
        Self::Finish,
        Self::Abort,
        Self::Adopt,
        Self::TakeIn,
        Self::Move,
        Self::Restore,
    ];
}

struct Stand {
    scene: Scene,
    site: Site,
    /// Clients that are valid before, during and after.
    valid: Vec<&'static str>,
}

impl Stand {
    fn new(scene: Scene) -> Self {
        let purpose = "turn";
        let (site, valid) = match scene {
            Scene::Adopt | Scene::TakeIn => {
                let site = Site::named(purpose);
                moved(&site);
                (site, vec!["theirs"])
            }
            Scene::Start => {
                let site = Site::exposed(purpose);
                site.issue("old", &[]);
                (site, vec!["old"])
            }
            Scene::Finish => {
                let site = Site::exposed(purpose);
                site.rotate(&[]).exits(0);
                site.issue("new", &[]);
                (site, vec!["new"])
            }
            Scene::Abort => {
                let site = Site::exposed(purpose);
                site.issue("old", &[]);
                site.rotate(&[]).exits(0);
                site.issue("new", &[]);
                (site, vec!["old", "new"])
            }
            Scene::Move => {
                let site = Site::exposed(purpose);
                site.issue("old", &[]);
                unmove(&site.desk, &site.authority);
                (site, vec!["old"])
            }
            Scene::Restore => {
                let site = Site::exposed(purpose);
                for client in ["old", "lost"] {
                    site.issue(client, &[]);
                }
                let mut older = site.state();
                site.run(&["revoke-client", "lost"]).exits(0);
                let metadata = older["metadata"].as_object_mut().unwrap();
                metadata.remove("resourceVersion");
                let replace = ["replace", "-f", "-"];
                site.desk.kubectl(&replace, &older.to_string());
                (site, vec!["old"])
            }
        };
        Self { scene, site, valid }
    }

    fn arguments(&self) -> Vec<&str> {
        let flags: &[&str] = match self.scene {
            Scene::Start | Scene::Adopt => &[],
            Scene::Finish => &["--finish"],
            Scene::Abort => &["--abort"],
            Scene::TakeIn => &["--from-cert", "cacert.pem", "--from-key", "cakey.pem"],
            Scene::Restore => &["--restore", "--accept-loss"],
            Scene::Move => return vec!["expose", "httpbin", "--timeout", "60s"],
        };
        let authority = ["--authority", &self.site.authority, "--timeout", "60s"];
        [&["ca-rotate"], flags, &authority].concat()
    }

    /// Whether nothing is left to complete: then the bare command would start the next rotation.
    fn is_complete(&self) -> bool {
        let names = [
            "get",
            "configmap",
            &self.site.authority,
            "--ignore-not-found",
        ];
        let found = self
            .site
            .desk
            .kubectl(&[&["-n", "kubectl-mtls"], &names[..]].concat(), "");
        !found.is_empty() && {
            let state = self.site.state();
            state_of(&state)["issuing"].is_string()
        }
    }

    fn rerun(&self) {
        if self.scene == Scene::Adopt && self.is_complete() {
            return;
        }
        let run = self.site.desk.run(&self.arguments());
        if self.scene == Scene::Restore && run.code == 2 {
            run.says("is intact: there is nothing to restore");
        } else {
            run.exits(0);
        }
    }

    /// What stands in the end, without what differs from run to run.
    fn end_state(&self) -> String {
        let site = &self.site;
        let status = site.rotate(&["--status", "-o", "json"]).exits(0);
        let status = status.json();
        let cas = status["cas"].as_array().unwrap();
        let roles: Vec<&Value> = cas.iter().map(|ca| &ca["role"]).collect();
        // A run that ended between keys and state leaves keys that no state names, and the next one takes the next name.
        let state = state_of(&site.state());
        let keys = state["keysSecret"].as_str().unwrap();
        let keys = site.desk.get("kubectl-mtls", "secret", keys);
        let keys = keys["data"].as_object().unwrap();
        let trusted = cas.iter().filter(|ca| ca["role"] != "external");
        let has_key = |ca: &Value| keys.contains_key(ca["ski"].as_str().unwrap());
        let names: Vec<&String> = keys.keys().collect();
        match self.scene {
            Scene::Move => self.is_moved(),
            Scene::Restore => site.refuses("lost", "certificate_revoked"),
            _ => {}
        }
        assert!(
            trusted.clone().all(has_key),
            "a key was lost: {cas:#?} {names:?}"
        );
        format!("{} {roles:?} {} keys", status["phase"], keys.len())
    }
}

impl Stand {
    /// The Gateway names the authority, and the Secret that it read is gone.
    #[track_caller]
    fn is_moved(&self) {
        let desk = &self.site.desk;
        let gateway = desk.get(
            &desk.namespace,
            "gateways.networking.istio.io",
            "kyma-mtls-gateway",
        );
        let field = &gateway["spec"]["servers"][0]["tls"]["caCertCredentialName"];
        let authority = &self.site.authority;
        assert_eq!(*field, format!("configmap://kubectl-mtls/{authority}"));
        let secrets = desk.kubectl(&["-n", "istio-system", "get", "secrets", "-o", "name"], "");
        let old = format!("secret/{authority}-clients-cacert");
        assert!(secrets.lines().all(|name| name != old), "{old} is left");
    }
}

/// The end of an undisturbed run, and how many requests it sends.
pub(crate) fn undisturbed(scene: Scene) -> &'static (String, u32) {
    static ENDS: [OnceLock<(String, u32)>; 7] = [const { OnceLock::new() }; 7];
    let place = Scene::ALL.iter().position(|known| *known == scene).unwrap();
    ENDS[place].get_or_init(|| {
        let stand = Stand::new(scene);
        let desk = &stand.site.desk;
        let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
        door.let_through();
        assert_eq!(disturbed(desk, &stand.arguments(), &door), Some(0));
        let requests = door.seen();
        // Through the door the replicas are not told apart, and the old Secret stays until a run sees each of them.
        if scene == Scene::Move {
            stand.rerun();
        }
        (stand.end_state(), requests)
    })
}

/// One disturbance, then an undisturbed rerun. Tells how many calls of valid clients were answered meanwhile.
#[track_caller]
pub(crate) fn recovers(scene: Scene, number: u32, fault: Fault) -> u64 {
    let (end, _) = undisturbed(scene);
    let stand = Stand::new(scene);
    let what = format!("{scene:?}, {fault:?} at {number}");
    let (site, desk) = (&stand.site, &stand.site.desk);
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let load = Load::start(&desk.instance, &site.host, 50.0, 4).unwrap();
    for name in &stand.valid {
        load.add(name, &desk.client(name), None, Expected::In)
            .unwrap();
    }
    let strangers = strangers(desk);
    for (name, stranger) in ["nobody", "stranger"].into_iter().zip(&strangers) {
        load.add(name, stranger, None, Expected::Out).unwrap();
    }
    door.plan(number, fault);
    disturbed(desk, &stand.arguments(), &door);
    stand.rerun();
    let tally = load.end();
    assert_eq!(tally.wrongs, 0, "{what}: {:#?}", tally.wrong);
    assert_eq!(stand.end_state(), *end, "{what}");
    tally.total
}

#[test]
fn a_rotation_that_is_killed_or_fails_is_completed_by_the_same_command() {
    let (_, last) = undisturbed(Scene::Start);
    recovers(Scene::Start, last / 2, Fault::Hold);
    recovers(Scene::Start, last - 4, Fault::Answer(500));
    recovers(Scene::Start, last - 2, Fault::Drop);
}

#[test]
fn so_is_its_end_and_the_way_back() {
    let (_, last) = undisturbed(Scene::Finish);
    recovers(Scene::Finish, last / 2 + 1, Fault::Hold);
    recovers(Scene::Finish, last - 2, Fault::Answer(409));
    let (_, last) = undisturbed(Scene::Abort);
    recovers(Scene::Abort, last - 2, Fault::Hold);
}

#[test]
fn so_is_the_adoption_of_a_ca_made_by_hand() {
    let (_, last) = undisturbed(Scene::Adopt);
    recovers(Scene::Adopt, last / 2 + 2, Fault::Hold);
    let (_, last) = undisturbed(Scene::TakeIn);
    recovers(Scene::TakeIn, last / 2, Fault::Answer(403));
}

#[test]
fn so_is_the_move_of_a_gateway_to_its_authority() {
    let (_, last) = undisturbed(Scene::Move);
    recovers(Scene::Move, last / 2 + 2, Fault::Hold);
    recovers(Scene::Move, last - 3, Fault::Answer(500));
}

#[test]
fn so_is_a_restoration() {
    let (_, last) = undisturbed(Scene::Restore);
    recovers(Scene::Restore, last / 2, Fault::Hold);
    recovers(Scene::Restore, last - 2, Fault::Drop);
}
