//! `ca-rotate` killed after a request, with a request that fails, twice at once, and beside an issuer that is held up: valid
//! clients call all the time and are never refused, and the same command again reaches the same end.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sandbox::load::{Expected, Load};
use sandbox::{Fault, Interceptor};
use serde_json::Value;

use crate::ca_rotate::{Site, moved};
use crate::faults::{disturbed, strangers};
use crate::lab::{Desk, PLUGIN, state_of};
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
        let trusted = cas.iter().filter(|ca| ca["role"] != "foreign");
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

/// Waits until the program's planned request is held, or it has ended.
#[track_caller]
fn until_held(door: &Interceptor, program: &mut Child) {
    let start = Instant::now();
    while !door.is_holding() && program.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
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
        until_held(&door, &mut issuer);
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

#[test]
fn no_row_of_a_table_is_delivered_under_a_ca_that_stopped_issuing_meanwhile() {
    const ROWS: usize = 10;
    let site = Site::exposed("batch");
    let desk = &site.desk;
    let rows: Vec<String> = (0..ROWS).map(|row| format!("device-{row}")).collect();
    let table = format!("name\n{}\n", rows.join("\n"));
    std::fs::write(desk.folder.path().join("devices.csv"), &table).unwrap();
    let issue = |authority: &str| {
        let words = format!("issue-client -f devices.csv --out devices --authority {authority}");
        words.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let own = issue(&site.authority);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    // Held at the first reservation, so that the old CA has signed the whole batch.
    let first = {
        let other = Site::exposed("batch");
        std::fs::write(other.desk.folder.path().join("devices.csv"), &table).unwrap();
        let door = Interceptor::open(&desk.instance, other.desk.folder.path()).unwrap();
        door.let_through();
        let words = issue(&other.authority);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(disturbed(&other.desk, &words, &door), Some(0));
        let lines = door.lines();
        let mut lines = lines.iter();
        let reserves = |line: &String| {
            line.starts_with("POST ") && line.contains("/kubectl-mtls-clients/configmaps")
        };
        lines.position(reserves).unwrap() + 1
    };

    door.plan(u32::try_from(first).unwrap(), Fault::Pause);
    let mut issuer = begin(desk, door.kubeconfig(), &own);
    until_held(&door, &mut issuer);
    assert!(door.is_holding(), "it ended: {:#?}", door.lines());
    let old = state_of(&site.state())["issuing"].clone();
    site.rotate(&[]).exits(0);
    let new = state_of(&site.state())["issuing"].clone();
    assert_ne!(old, new, "the new CA does not issue");
    door.release();
    assert!(issuer.wait().unwrap().success());

    let listed = site.run(&["list-clients", "-o", "json"]).exits(0).json();
    let clients = listed["clients"].as_array().unwrap();
    let issued = clients.iter().filter(|client| client["state"] == "issued");
    let mut names: Vec<&str> = issued
        .map(|client| client["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, rows, "each row once");
    // Some were signed by the old CA, and became void.
    let mut states = clients.iter().map(|client| &client["state"]);
    assert!(states.any(|state| state == "void"), "{clients:#?}");
    site.rotate(&["--finish"]).exits(0);
    for row in [&rows[0], &rows[ROWS - 1]] {
        let file = |kind: &str| desk.read(&format!("devices/{row}/{row}.{kind}"));
        std::fs::write(desk.folder.path().join(format!("{row}.crt")), file("crt")).unwrap();
        std::fs::write(desk.folder.path().join(format!("{row}.key")), file("key")).unwrap();
        site.admits(row);
    }
}

#[test]
fn a_row_that_is_revoked_while_many_are_renewed_is_not_delivered_and_the_others_are() {
    const ROWS: usize = 6;
    let rows: Vec<String> = (0..ROWS).map(|row| format!("device-{row}")).collect();
    let table = format!("name\n{}\n", rows.join("\n"));
    let issued = || {
        let site = Site::exposed("renewed");
        std::fs::write(site.desk.folder.path().join("devices.csv"), &table).unwrap();
        let issue = ["issue-client", "-f", "devices.csv", "--out", "devices"];
        site.run(&issue).exits(0);
        site
    };
    let renew = |authority: &str| {
        let words =
            format!("renew-client --expiring-within 1000d --out renewed --authority {authority}");
        words.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    // Held at the first reservation, so that every row is signed before the revocation.
    let first = {
        let other = issued();
        let door = Interceptor::open(&other.desk.instance, other.desk.folder.path()).unwrap();
        door.let_through();
        let own = renew(&other.authority);
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        assert_eq!(disturbed(&other.desk, &own, &door), Some(0));
        let lines = door.lines();
        let mut lines = lines.iter();
        let reserves = |line: &String| {
            line.starts_with("POST ") && line.contains("/kubectl-mtls-clients/configmaps")
        };
        lines.position(reserves).unwrap() + 1
    };
    let site = issued();
    let desk = &site.desk;
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    door.plan(u32::try_from(first).unwrap(), Fault::Pause);
    let own = renew(&site.authority);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut renewal = begin(desk, door.kubeconfig(), &own);
    until_held(&door, &mut renewal);
    assert!(door.is_holding(), "it ended: {:#?}", door.lines());
    let revoked = "device-3";
    site.run(&["revoke-client", revoked]).exits(0);
    door.release();
    assert_eq!(renewal.wait().unwrap().code(), Some(2));

    let folder = desk.folder.path().join("renewed");
    for row in &rows {
        let is_there = folder.join(row).join(format!("{row}.crt")).exists();
        assert_eq!(is_there, row != revoked, "{row}");
    }
    let listed = site.run(&["list-clients", "-o", "json"]).exits(0).json();
    let clients = listed["clients"].as_array().unwrap();
    for client in clients {
        let is_revoked = client["name"] == revoked;
        let may_be: &[&str] = if is_revoked {
            &["revoked", "void"]
        } else {
            &["issued"]
        };
        let state = client["state"].as_str().unwrap();
        assert!(may_be.contains(&state), "{client}");
    }
    let renewed = clients.iter().filter(|client| client["state"] == "issued");
    assert_eq!(renewed.count(), 2 * (ROWS - 1));
}
