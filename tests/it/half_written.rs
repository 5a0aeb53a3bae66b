//! A run that is killed between two files of one client: the next one completes the set, and never over a file of somebody
//! else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clerk::{Clerk, names};
use crate::lab::{PLUGIN, Run, plugin};

/// The files of a client in the order in which they get their places.
const FILES: [&str; 3] = ["client-ca.crt", "ada.key", "ada.crt"];

fn run(clerk: &Clerk, arguments: &[&str]) -> Run {
    let nowhere = [("KUBECONFIG", "/nonexistent".to_owned())];
    plugin(&clerk.path("."), &nowhere, arguments)
}

/// What is left of a run that is killed when this many of its files have their places: the others are prepared beside, and
/// the certificate is reserved. Without `before`, nothing else stood there; with it, these files.
fn kill(clerk: &Clerk, folder: &Path, placed: usize, before: Option<&[Vec<u8>; 3]>) {
    let set = folder.join(".kubectl-mtls-client-ada");
    std::fs::create_dir(&set).unwrap();
    for (number, file) in FILES.iter().enumerate() {
        let (place, prepared) = (folder.join(file), set.join(format!("{number:02}-{file}")));
        std::fs::copy(&place, &prepared).unwrap();
        if number < placed {
            continue;
        }
        match before {
            Some(before) => std::fs::write(&place, &before[number]).unwrap(),
            None => std::fs::remove_file(&place).unwrap(),
        }
    }
    let entries = names(&clerk.path("ca/clients"));
    let last = format!("ca/clients/{}", entries.last().unwrap());
    let text = clerk.read(&last);
    assert!(text.contains("\"issued\""), "{text}");
    clerk.write(&last, &text.replace("\"issued\"", "\"reserved\""));
}

/// The set is whole, its key is the certificate's, and the inventory has this many certificates, all issued.
fn is_whole(clerk: &Clerk, folder: &str, entries: usize) {
    let files = names(&clerk.path(folder));
    assert_eq!(files, ["ada.crt", "ada.key", "client-ca.crt"]);
    let key = clerk.openssl(&format!("pkey -in {folder}/ada.key -pubout"));
    let certificate = clerk.openssl(&format!("x509 -in {folder}/ada.crt -noout -pubkey"));
    assert_eq!(key, certificate);
    let mode = std::fs::metadata(clerk.path(&format!("{folder}/ada.key"))).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let states = clerk.entries();
    assert!(
        states.iter().all(|(_, state)| state == "issued"),
        "{states:?}"
    );
    assert_eq!(states.len(), entries);
}

fn content(clerk: &Clerk, folder: &str) -> [Vec<u8>; 3] {
    FILES.map(|file| std::fs::read(clerk.path(&format!("{folder}/{file}"))).unwrap())
}

#[test]
fn a_run_killed_at_any_file_of_a_client_is_completed_by_the_same_command() {
    let commands: [&[&str]; 2] = [&["ada"], &["-f", "table.csv"]];
    for command in commands {
        for placed in 0..=FILES.len() {
            let clerk = Clerk::new();
            clerk.write("table.csv", "name\nada\n");
            let folder = if command.len() == 1 { "out" } else { "out/ada" };
            clerk.issue(command).exits(0);
            let made = content(&clerk, folder);
            kill(&clerk, &clerk.path(folder), placed, None);
            clerk.issue(command).exits(0);
            is_whole(&clerk, folder, 1);
            assert_eq!(content(&clerk, folder), made, "the same certificate");
            clerk.openssl(&format!("verify -CAfile ca/ca.crt {folder}/ada.crt"));
        }
    }
}

#[test]
fn a_renewal_killed_at_any_file_is_completed_by_the_same_command() {
    for placed in 0..=FILES.len() {
        for force in [false, true] {
            let clerk = Clerk::new();
            clerk.issue(&["ada"]).exits(0);
            std::fs::create_dir(clerk.path("new")).unwrap();
            let folder = if force { "out" } else { "new" };
            let old = content(&clerk, "out");
            let mut renew = vec!["renew-client", "ada", "--ca-dir", "ca", "--format", "pem"];
            renew.extend(["--out", folder]);
            renew.extend(force.then_some("--force"));
            run(&clerk, &renew).exits(0);
            let made = content(&clerk, folder);
            kill(&clerk, &clerk.path(folder), placed, force.then_some(&old));
            run(&clerk, &renew).exits(0);
            is_whole(&clerk, folder, 2);
            assert_eq!(content(&clerk, folder), made, "the same certificate");
        }
    }
}

#[test]
fn a_request_and_a_certificate_of_given_cas_killed_between_two_files_are_completed_too() {
    let clerk = Clerk::new();
    clerk.issue(&["bob"]).exits(0);
    std::fs::create_dir(clerk.path("given")).unwrap();
    let request = ["issue-client", "ada", "--request", "--out", "given"];
    let given = [
        "issue-client",
        "ada",
        "--ca-cert",
        "ca/ca.crt",
        "--ca-key",
        "ca/ca.key",
        "--format",
        "pem",
        "--out",
        "given",
    ];
    let cases: [(&[&str], &[&str]); 2] = [(&request, &["ada.key", "ada.csr"]), (&given, &FILES)];
    for (command, files) in cases {
        let folder = clerk.path("given");
        run(&clerk, command).exits(0);
        let set = folder.join(".kubectl-mtls-client-ada");
        std::fs::create_dir(&set).unwrap();
        for (number, file) in files.iter().enumerate() {
            std::fs::copy(folder.join(file), set.join(format!("{number:02}-{file}"))).unwrap();
        }
        std::fs::remove_file(folder.join(files.last().unwrap())).unwrap();
        run(&clerk, command).exits(0);
        let mut expected: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        expected.sort();
        assert_eq!(names(&folder), expected);
        for file in expected {
            std::fs::remove_file(folder.join(file)).unwrap();
        }
    }
}

#[test]
fn a_file_of_another_client_that_stands_where_a_killed_run_left_off_stays() {
    let clerk = Clerk::new();
    clerk.issue(&["ada"]).exits(0);
    kill(&clerk, &clerk.path("out"), 1, None);
    clerk.write("out/ada.key", "of somebody else");
    clerk
        .issue(&["ada"])
        .exits(2)
        .says("out/ada.key")
        .says("--force");
    assert_eq!(clerk.read("out/ada.key"), "of somebody else");
    assert!(!clerk.path("out/ada.crt").exists());
    // Another client's run leaves both alone.
    clerk.issue(&["bob"]).exits(0);
    clerk.issue(&["ada", "--force"]).exits(0);
    clerk.openssl("pkey -in out/ada.key -noout");
}

#[test]
fn whenever_a_run_is_killed_its_rerun_ends_well() {
    let clerk = Clerk::new();
    clerk.issue(&["bob"]).exits(0);
    let formats = "pem,combined,fullchain";
    for step in 0..40 {
        let name = format!("c{step}");
        let arguments = Clerk::arguments(&[&name, "--format", formats]);
        let mut child = Command::new(PLUGIN)
            .args(&arguments)
            .current_dir(clerk.path("."))
            .env("KUBECONFIG", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(500 * step));
        child.kill().unwrap();
        child.wait().unwrap();
        let is_delivered = clerk.path(&format!("out/{name}.crt")).exists();
        let rerun = clerk.issue(&[&name, "--format", formats]);
        // A run that came to its end left files that are not written a second time.
        if rerun.code != 0 {
            assert!(
                is_delivered && rerun.stderr.contains("exist already"),
                "{rerun:#?}"
            );
        }
        let key = clerk.openssl(&format!("pkey -in out/{name}.key -pubout"));
        let certificate = clerk.openssl(&format!("x509 -in out/{name}.crt -noout -pubkey"));
        assert_eq!(key, certificate, "{name}");
        for ending in ["combined.pem", "fullchain.crt"] {
            assert!(clerk.path(&format!("out/{name}.{ending}")).exists());
        }
        let states = clerk.entries();
        let is_issued = |(known, state): &(String, String)| *known == name && state == "issued";
        assert_eq!(states.iter().filter(|entry| is_issued(entry)).count(), 1);
    }
}
