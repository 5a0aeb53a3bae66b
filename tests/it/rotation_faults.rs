//! `ca-rotate` killed after a request, with a request that fails, twice at once, and beside an issuer that is held up: valid
//! clients call all the time and are never refused, and the same command again reaches the same end.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sandbox::load::{Expected, Load};
use sandbox::{Fault, Interceptor};
use serde_json::Value;

use crate::ca_rotate::{Site, moved};
use crate::faults::disturbed;
use crate::lab::{Desk, PLUGIN, state_of};

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
}

impl Scene {
    pub(crate) const ALL: [Self; 5] = [
        Self::Start,
        Self::Finish,
        Self::Abort,
        Self::Adopt,
        Self::TakeIn,
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
        };
        Self { scene, site, valid }
    }

    fn arguments(&self) -> Vec<&str> {
        let flags: &[&str] = match self.scene {
            Scene::Start | Scene::Adopt => &[],
            Scene::Finish => &["--finish"],
            Scene::Abort => &["--abort"],
            Scene::TakeIn => &["--from-cert", "cacert.pem", "--from-key", "cakey.pem"],
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
        self.site.desk.run(&self.arguments()).exits(0);
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
        let trusted = cas.iter().filter(|ca| ca["role"] != "foreign");
        let has_key = |ca: &Value| keys.contains_key(ca["ski"].as_str().unwrap());
        let names: Vec<&String> = keys.keys().collect();
        assert!(
            trusted.clone().all(has_key),
            "a key was lost: {cas:#?} {names:?}"
        );
        format!("{} {roles:?} {} keys", status["phase"], keys.len())
    }
}

/// The end of an undisturbed run, and how many requests it sends.
pub(crate) fn undisturbed(scene: Scene) -> &'static (String, u32) {
    static ENDS: [OnceLock<(String, u32)>; 5] = [const { OnceLock::new() }; 5];
    let place = Scene::ALL.iter().position(|known| *known == scene).unwrap();
    ENDS[place].get_or_init(|| {
        let stand = Stand::new(scene);
        let desk = &stand.site.desk;
        let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
        door.let_through();
        assert_eq!(disturbed(desk, &stand.arguments(), &door), Some(0));
        (stand.end_state(), door.seen())
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
    load.add("nobody", &desk.nobody(), None, Expected::Out)
        .unwrap();
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

/// A run of the plugin that goes on by itself.
fn begin(desk: &Desk, kubeconfig: &std::path::Path, arguments: &[&str]) -> Child {
    Command::new(PLUGIN)
        .args(["-n", &desk.namespace])
        .args(arguments)
        .current_dir(desk.folder.path())
        .envs(desk.instance.variables())
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn two_at_once_from_two_machines_are_one_rotation_and_one_end() {
    let stand = Stand::new(Scene::Start);
    let (site, desk) = (&stand.site, &stand.site.desk);
    let kubeconfig = desk.instance.kubeconfig();
    for flags in [&[][..], &["--finish", "--force"]] {
        let arguments = [&["ca-rotate", "--authority", &site.authority], flags].concat();
        let mut both = [(); 2].map(|()| begin(desk, kubeconfig, &arguments));
        for run in &mut both {
            assert!(run.wait().unwrap().success(), "{flags:?}");
        }
    }
    let state = site.state();
    assert_eq!(
        state["data"]["ca.crt"]
            .as_str()
            .unwrap()
            .matches("BEGIN")
            .count(),
        1
    );
    assert_eq!(state_of(&state)["dropped"].as_array().unwrap().len(), 1);
    // The key of the run that came second may be left; the next rotation removes it.
    let end = stand.end_state();
    assert!(
        end.starts_with("\"settled\" [String(\"issuing\")]"),
        "{end}"
    );
    site.issue("after", &[]);
    site.admits("after");
}

#[test]
fn an_issuer_that_is_held_up_delivers_nothing_that_the_end_of_a_rotation_did_not_count() {
    let probe = Site::exposed("late");
    let door = Interceptor::open(&probe.desk.instance, probe.desk.folder.path()).unwrap();
    door.let_through();
    let issue = ["issue-client", "late", "--authority", &probe.authority];
    assert_eq!(disturbed(&probe.desk, &issue, &door), Some(0));
    let last = door.seen();
    // The reservation, the second look at the state, and what comes between.
    for number in last - 4..last {
        let site = Site::exposed("late");
        let desk = &site.desk;
        let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
        let issue = ["issue-client", "late", "--authority", &site.authority];
        door.plan(number, Fault::Pause);
        let mut issuer = begin(desk, door.kubeconfig(), &issue);
        let start = Instant::now();
        while !door.is_holding() && issuer.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(5));
        }
        site.rotate(&[]).exits(0);
        let is_finished = site.rotate(&["--finish"]).code == 0;
        door.release();
        let is_issued = issuer.wait().unwrap().success();
        if is_issued {
            site.admits("late");
        } else {
            assert!(!desk.folder.path().join("late.crt").exists());
        }
        sandbox::report(&format!(
            "held at {number} of {last}: finished {is_finished}, issued {is_issued}"
        ));
        if !is_finished {
            let status = site.rotate(&["--status"]).exits(0).stdout;
            assert!(status.contains("late"), "{status}");
        }
    }
}
