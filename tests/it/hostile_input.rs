//! What others wrote: nothing of it is obeyed by a terminal, nothing secret in it is repeated, and no name leads a request
//! to another place.

mod files;

use std::path::Path;

use serde_json::{Value, json};

use crate::clerk::{Clerk, names};
use crate::lab::{Run, plugin};

const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";

fn status_with(kubeconfig: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, kubeconfig).unwrap();
    let variables = [("KUBECONFIG", path.display().to_string())];
    plugin(folder.path(), &variables, &["status"])
}

/// A kubeconfig with something in place of the user's `client-key-data`, `token`, and so on.
fn kubeconfig(user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster:\n    server: https://127.0.0.1:1\nusers:\n- name: c\n  user:\n{user}\ncontexts:\n- name: c\n  context: {{cluster: c, user: c}}\n"
    )
}

#[test]
fn no_key_and_no_token_of_a_damaged_kubeconfig_is_repeated() {
    let damaged = [
        format!("    client-key-data: {SECRET}\n    token: \"{SECRET}"),
        format!("    client-key-data: {SECRET}\n   token: {SECRET}"),
        format!("    client-key-data: [{SECRET}]"),
        format!("    token: {{x: {SECRET}}}"),
        format!("    exec: {SECRET}"),
        format!("    exec: {{command: cat, args: {SECRET}, apiVersion: v1}}"),
        format!("    client-certificate-data: %{SECRET}\n    client-key-data: {SECRET}"),
        format!("    client-certificate-data: {SECRET}\n    client-key-data: {SECRET}"),
        format!("    client-certificate-data: {SECRET}\n    client-key-data: \"!{SECRET}\""),
        format!("    token: \"{SECRET}\\n\""),
        format!(
            "    exec: {{command: sh, args: [-c, \"echo {SECRET}; exit 3\"], apiVersion: client.authentication.k8s.io/v1}}"
        ),
        format!(
            "    exec: {{command: sh, args: [-c, \"echo status: {SECRET}\"], apiVersion: client.authentication.k8s.io/v1}}"
        ),
        format!(
            "    exec: {{command: sh, args: [-c, \"echo '{{status: {{token: t, expirationTimestamp: {SECRET}}}}}'\"], apiVersion: client.authentication.k8s.io/v1}}"
        ),
        format!("    username: \"a\\n\"\n    password: \"{SECRET}\\n\""),
    ];
    for user in damaged {
        let run = status_with(&kubeconfig(&user)).exits(2);
        assert!(!run.stderr.contains("c2VjcmV0"), "{user}: {run:#?}");
        assert!(!run.stdout.contains("c2VjcmV0"), "{user}: {run:#?}");
        assert!(run.stderr.lines().count() < 4, "{run:#?}");
    }
    status_with(&kubeconfig(&format!("    token: {{x: {SECRET}}}")))
        .says("line 11")
        .says("`token`");
    status_with(&kubeconfig(
        "    client-certificate-data: \"!\"\n    client-key-data: YQ==",
    ))
    .says("`client-certificate-data` is not base64");
}

#[test]
fn no_cell_of_a_table_is_repeated_where_it_cannot_be_read() {
    let clerk = Clerk::new();
    for (name, table) in [
        ("a.json", "{\"name\":\"ada\",\"password\":49152}\n"),
        (
            "b.json",
            "{\"name\":\"ada\",\"password\":{\"a\":\"49152\"}}\n",
        ),
        ("c.json", "\"49152\"\n"),
        ("d.csv", "ada,49152\nbob,x\n"),
        ("e.csv", "name,ttl\nada,49152pw\n"),
        ("f.csv", "name,key-type\nada,49152\n"),
        ("g.csv", "name,ip\nada,49152\n"),
        ("h.yaml", "- name: ada\n  password: 49152\n"),
        ("i.yaml", "- name: ada\n  password: \"49152\n"),
    ] {
        clerk.write(name, table);
        let run = clerk.issue(&["-f", name]).exits(2);
        assert!(!run.stderr.contains("49152"), "{name}: {run:#?}");
    }
    clerk
        .issue(&["-f", "a.json"])
        .exits(2)
        .says("line 1")
        .says("`password`");
}

#[test]
fn a_name_in_a_flag_that_no_object_can_have_is_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "../configmaps/x";
    let commands: [&[&str]; 14] = [
        &["expose", evil],
        &["expose", "httpbin", "--gateway", evil],
        &["expose", "httpbin", "--gateway", "a/../b"],
        &["expose", "httpbin", "--issuer", evil],
        &["expose", "httpbin", "--server-certificate", "secret/../x"],
        &["expose", "httpbin", "-n", "../x"],
        &["unexpose", evil],
        &["status", "-n", "a/b"],
        &["issue-client", "ada", "--authority", "a/b"],
        &["revoke-client", "ada", "--authority", ".."],
        &["ca-rotate", "--authority", "a%2fb"],
        &[
            "register-domain",
            "my.example.com",
            "--provider",
            "aws-route53",
            "--secret",
            evil,
        ],
        &["rbac", "expose", "--service", "x y"],
        &["rbac", "expose", "-n", "x y"],
    ];
    for command in commands {
        // A kubeconfig that is not there would be told first by whoever asks the cluster.
        let server = [("KUBECONFIG", kubeconfig_of_nobody(folder.path()))];
        let run = plugin(folder.path(), &server, command).exits(2);
        assert_eq!(run.stdout, "", "{command:?}: {run:#?}");
        let about_the_name = ["name", "`NAME`"];
        assert!(
            about_the_name
                .iter()
                .any(|words| run.stderr.contains(words)),
            "{command:?}: {run:#?}"
        );
        assert!(!run.stderr.contains("API server"), "{command:?}: {run:#?}");
    }
}

fn kubeconfig_of_nobody(folder: &Path) -> String {
    let path = folder.join("config");
    std::fs::write(&path, kubeconfig("    token: t")).unwrap();
    path.display().to_string()
}

/// A server that answers every request with this.
fn answering(body: &Value, status: &str) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => head.extend_from_slice(&buffer[..read]),
                }
            }
            if head.starts_with(b"GET /stop") {
                return;
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, thread)
}

/// Nothing on stdout or stderr is an order to a terminal, but for our own colours.
#[track_caller]
pub(crate) fn obeys_nothing(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        let codes = ["0", "1", "31", "32", "33", "1;31", "1;33"];
        let plain = codes.iter().fold(text.clone(), |text, code| {
            text.replace(&format!("\u{1b}[{code}m"), "")
        });
        let harmful = |character: &char| {
            (character.is_control() && *character != '\n') || *character == '\u{202e}'
        };
        assert_eq!(plain.chars().find(harmful), None, "{run:#?}");
    }
}

#[test]
fn a_terminal_obeys_nothing_of_what_others_wrote_into_an_object() {
    let clerk = Clerk::new();
    clerk.issue(&["ada"]).exits(0);
    let entry = format!("ca/clients/{}", names(&clerk.path("ca/clients"))[0]);
    let evil = "\u{1b}[2Jada\u{9b}\u{202e}\u{2028}\r";
    let text = clerk.read(&entry);
    let mut object: Value = serde_json::from_str(&text).unwrap();
    object["metadata"]["annotations"]["kubectl-mtls.dev/client-name"] = json!(evil);
    clerk.write(&entry, &object.to_string());
    for form in ["table", "wide", "json", "yaml", "name"] {
        let nowhere = [("KUBECONFIG", "/nonexistent".to_owned())];
        let list = [
            "list-clients",
            "--ca-dir",
            "ca",
            "--color",
            "always",
            "-o",
            form,
        ];
        let run = plugin(&clerk.path("."), &nowhere, &list);
        obeys_nothing(&run);
        assert!(run.stderr.contains("ada"), "{run:#?}");
        match form {
            "json" => assert_ne!(run.json(), Value::Null),
            "yaml" => drop(serde_saphyr::from_str::<Value>(&run.stdout).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn a_terminal_obeys_nothing_of_what_an_api_server_says() {
    let message = "no\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}1m\u{202e}gnp\u{0}\u{1b}[31m";
    let said = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": format!("{message} cannot be served"), "reason": "Invalid", "code": 422,
    });
    let (address, thread) = answering(&said, "422 Unprocessable Entity");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let server = format!("http://{address}");
    std::fs::write(
        &path,
        kubeconfig("    token: t").replace("https://127.0.0.1:1", &server),
    )
    .unwrap();
    let variables = [("KUBECONFIG", path.display().to_string())];
    for command in [
        &["status", "--color", "always"][..],
        &["status", "-o", "json"],
        &["status", "-o", "yaml"],
        &["list-clients"],
        &["issue-client", "ada", "--format", "pem"],
        &["expose", "httpbin"],
    ] {
        let run = plugin(folder.path(), &variables, command);
        assert!(
            run.stderr.contains("gnp") || run.stdout.contains("gnp"),
            "{run:#?}"
        );
        obeys_nothing(&run);
    }
    let mut stop = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stop, b"GET /stop HTTP/1.1\r\n\r\n").unwrap();
    thread.join().unwrap();
}
