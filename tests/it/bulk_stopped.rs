//! `issue-client` and `renew-client` for many clients, stopped by a second Ctrl-C: every result is reported.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::time::Duration;

use sandbox::{Fault, Interceptor};
use serde_json::Value;

use crate::clerk::{Clerk, names};
use crate::lab::{eventually, main_job};

#[test]
fn a_second_ctrl_c_tells_what_was_issued_while_an_earlier_row_was_not_done() {
    let clerk = Clerk::new();
    // The first row waits for its signing request, and the results of all later rows wait for that row's.
    let pipe = clerk.path("waits.csr");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut both = std::fs::OpenOptions::new();
    let writer = both.read(true).write(true).open(&pipe).unwrap();
    let rows: String = (0..150).map(|row| format!("device-{row:03},\n")).collect();
    let mut child = clerk.start_with(&["-o", "json"]);
    let mut stdin = child.stdin.take().unwrap();
    write!(stdin, "name,csr\nfirst,waits.csr\n{rows}").unwrap();
    drop(stdin);
    let is_issued = |(_, state): &(String, String)| state == "issued";
    eventually("a certificate is issued", || {
        clerk.path("ca/clients").exists() && clerk.entries().iter().any(is_issued)
    });
    let pid = child.id().to_string();
    let press = || Command::new("kill").args(["-INT", &pid]).status().unwrap();
    press();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("stopping:"), "{said}");
    press();
    // A row that waits for a pipe is still waited for; one more signal would end the process.
    std::thread::sleep(Duration::from_millis(300));
    drop(writer);
    let output = child.wait_with_output().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("error: interrupted after"), "{said}");
    let entries = clerk.entries();
    let issued = entries.iter().filter(|entry| is_issued(entry));
    let mut issued: Vec<&str> = issued.map(|(name, _)| name.as_str()).collect();
    issued.sort_unstable();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let clients = json["clients"].as_array().unwrap().iter();
    let told: Vec<&str> = clients
        .map(|client| client["name"].as_str().unwrap())
        .collect();
    assert_eq!(told, issued, "{said}");
    assert_eq!(json["summary"]["issued"], issued.len());
    clerk.write("d.csv", &format!("name\n{}", rows.replace(',', "")));
    clerk.issue(&["-f", "d.csv"]).exits(0);
    clerk.agree();
}

#[test]
fn a_second_ctrl_c_while_the_api_server_does_not_answer_names_every_client_that_has_files() {
    let desk = &main_job().desk;
    let desk = desk.with_kubeconfig(desk.instance.kubeconfig());
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let clients: Vec<String> = (0..80).map(|row| format!("stuck-{row:02}")).collect();
    let run = |command: &'static str, out: &str| -> Vec<String> {
        let rest = ["--out", out, "--format", "pem", "-o", "json"].map(str::to_owned);
        [&[command.to_owned()], &clients[..], &rest].concat()
    };
    let issue = run("issue-client", "first");
    let issue: Vec<&str> = issue.iter().map(String::as_str).collect();
    desk.run(&issue).exits(0);
    let out = desk.folder.path().join("second");
    let renew = run("renew-client", out.to_str().unwrap());
    let renew: Vec<&str> = renew.iter().map(String::as_str).collect();
    door.plan_write("/configmaps/stuck-03", Fault::Hold);
    let mut child = desk.held(&door, &renew);
    let pid = child.id().to_string();
    let press = || Command::new("kill").args(["-INT", &pid]).status().unwrap();
    press();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("stopping:") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    // Time for all requests but the one that is held.
    std::thread::sleep(Duration::from_secs(1));
    press();
    let output = child.wait_with_output().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let renewed = json["renewed"].as_array().unwrap();
    assert!(!renewed.is_empty(), "{said}");
    let is_told = |name: &str| {
        renewed.iter().any(|client| client["name"] == name)
            || said.contains(&format!("the certificate of `{name}` is in its folder"))
    };
    for file in names(&out) {
        if let Some(name) = file.strip_suffix(".key") {
            assert!(is_told(name), "{name}: {said}");
        }
    }
    assert!(said.contains("stuck-03-"), "{said}");
    // As the hint says: the same command with the names that are left.
    let is_renewed = |name: &&str| renewed.iter().any(|client| client["name"] == **name);
    let rest: Vec<&str> = renew.into_iter().filter(|name| !is_renewed(name)).collect();
    assert!(
        said.contains("run the same command with these names:"),
        "{said}"
    );
    let again = desk.run(&rest).exits(2);
    again.says("these files hold certificate 2 of `stuck-03`");
}
