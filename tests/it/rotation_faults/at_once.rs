//! Two commands at once: rotations, and issuers that are held up meanwhile.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Fault, Interceptor};

use crate::ca_rotate::Site;
use crate::faults::disturbed;
use crate::lab::{Desk, PLUGIN, state_of};

use super::{Scene, Stand};

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
