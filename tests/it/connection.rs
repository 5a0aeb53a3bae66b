//! Before anything else there must be a cluster: what every command says when there is none, or none that answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sandbox::Rule;

use crate::lab::{Run, main_job, plugin};

const COMMANDS: [&[&str]; 4] = [
    &["expose", "httpbin"],
    &["unexpose", "httpbin"],
    &["issue-client", "alice"],
    &["status"],
];

/// Runs a command in an empty folder, which must be empty after it.
fn run(command: &[&str], kubeconfig: Option<&str>, flags: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let variables: Vec<_> = kubeconfig
        .into_iter()
        .map(|path| ("KUBECONFIG", path.to_owned()))
        .collect();
    let run = plugin(folder.path(), &variables, &[command, flags].concat());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(run.stdout, "", "{run:#?}");
    let errors = run.stderr.lines().filter(|line| line.starts_with("error:"));
    assert_eq!(errors.count(), 1, "{run:#?}");
    run
}

/// A kubeconfig for a server.
fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let content = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(file.path(), content.to_string()).unwrap();
    file
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    for command in COMMANDS {
        run(command, None, &[])
            .exits(2)
            .says("there is no kubeconfig")
            .says("`KUBECONFIG`");
        run(command, Some("/nonexistent/config"), &[])
            .exits(2)
            .says("no kubeconfig at /nonexistent/config");
        run(command, None, &["--kubeconfig", "/nonexistent/other"])
            .exits(2)
            .says("/nonexistent/other")
            .says("`--kubeconfig` names the file");
    }
}

#[test]
fn a_kubeconfig_that_is_none_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "clusters: 7").unwrap();
    let path = file.path().to_str().unwrap();
    run(&["status"], Some(path), &[])
        .exits(2)
        .says("the kubeconfig cannot be used");
}

#[test]
fn a_context_that_is_not_in_the_kubeconfig_is_told() {
    let file = kubeconfig("https://127.0.0.1:1");
    let flags = ["--context", "nosuch"];
    run(&["status"], file.path().to_str(), &flags)
        .exits(2)
        .says("nosuch")
        .says("`kubectl config get-contexts` lists the contexts");
}

#[test]
fn a_server_that_nobody_listens_at_is_named() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("https://{free}");
    let file = kubeconfig(&server);
    for command in COMMANDS {
        run(command, file.path().to_str(), &[])
            .exits(2)
            .says(&format!("the API server `{server}/` could not be asked"))
            .says("kubectl cluster-info");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_after_the_request_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let file = kubeconfig(&server);
    for command in COMMANDS {
        let run = run(command, file.path().to_str(), &["--request-timeout", "1s"]).exits(2);
        run.says(&server);
    }
    drop(silent);
}

#[test]
fn a_token_that_the_server_does_not_know_is_told() {
    let server = main_job().desk.instance.kubeconfig();
    let flags = ["--token", "unknown-token"];
    for command in COMMANDS {
        let run = run(command, server.to_str(), &flags)
            .exits(2)
            .says("Unauthorized");
        assert!(!run.stderr.contains("unknown-token"), "{run:#?}");
    }
}

#[test]
fn requests_are_sent_as_the_user_that_as_names() {
    let job = main_job();
    let instance = &job.desk.instance;
    let everything = Rule::in_cluster("*", &["*"], &["*"]);
    let user = instance.user(&[everything]).unwrap();
    let mark = instance.audit_mark().unwrap();
    let flags = ["status", "--as", "ada", "--as-group", "developers"];
    let desk = job.desk.with_kubeconfig(&user.kubeconfig);
    let shown = desk.run(&flags).exits(1).unwrapped();
    assert!(
        shown.contains("you may not `list` `gateways.networking.istio.io`"),
        "{shown}"
    );
    assert!(shown.contains("kubectl mtls rbac status"), "{shown}");
    let events = instance.audit_log_of(&user.name, mark).unwrap();
    let names = events.iter().map(|event| event.impersonated.as_deref());
    assert!(!events.is_empty());
    assert!(
        names.into_iter().all(|name| name == Some("ada")),
        "{events:#?}"
    );
}

/// An HTTP proxy for tunnels (RFC 9110, 9.3.6): its port, and how many it has made.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let made = tunnels.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let made = made.clone();
            std::thread::spawn(move || tunnel(client, &made));
        }
    });
    (port, tunnels)
}

fn tunnel(client: TcpStream, made: &AtomicUsize) -> Option<()> {
    let mut answers = client.try_clone().ok()?;
    let mut requests = BufReader::new(client);
    let mut lines = requests.by_ref().lines().map_while(Result::ok);
    let target = lines.next()?.strip_prefix("CONNECT ")?.to_owned();
    lines.find(String::is_empty)?;
    let server = TcpStream::connect(target.split_whitespace().next()?).ok()?;
    answers.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    made.fetch_add(1, Ordering::Relaxed);
    let mut to_server = server.try_clone().ok()?;
    std::thread::spawn(move || std::io::copy(&mut requests, &mut to_server));
    let mut from_server = server;
    std::io::copy(&mut from_server, &mut answers).ok().map(drop)
}

#[test]
fn the_proxy_of_a_kubeconfig_is_used_and_that_of_the_environment_is_not_for_this_machine() {
    let desk = &main_job().desk;
    let (port, tunnels) = proxy();
    let folder = tempfile::tempdir().unwrap();
    let own = desk.instance.kubeconfig().display().to_string();
    let run = |kubeconfig: &str, proxy: &str| {
        let variables = [
            ("KUBECONFIG", kubeconfig.to_owned()),
            ("HTTPS_PROXY", proxy.to_owned()),
        ];
        plugin(folder.path(), &variables, &["list-clients"]).exits(0)
    };
    run(&own, &format!("http://127.0.0.1:{port}"));
    assert_eq!(tunnels.load(Ordering::Relaxed), 0);

    let text = std::fs::read_to_string(&own).unwrap();
    let server = text
        .lines()
        .find(|line| line.trim_start().starts_with("server:"))
        .unwrap();
    let proxied = server.replace(
        server.trim_start(),
        &format!("proxy-url: http://127.0.0.1:{port}"),
    );
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, text.replace(server, &format!("{server}\n{proxied}"))).unwrap();
    run(path.to_str().unwrap(), "");
    assert!(tunnels.load(Ordering::Relaxed) > 0);
}
