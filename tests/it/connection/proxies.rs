//! Proxies between the plugin and the API server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lab::{main_job, plugin};

use super::kubeconfig;

#[test]
fn a_proxy_that_does_not_answer_is_named_without_its_password() {
    let file = kubeconfig("https://api.example.com:6443");
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KUBECONFIG", file.path().display().to_string()),
        ("HTTPS_PROXY", "http://ada:hidden@127.0.0.1:1".to_owned()),
    ];
    let run = plugin(folder.path(), &variables, &["status"]).exits(2);
    let said = run
        .says("connection refused")
        .says("requests go through the proxy `127.0.0.1:1`");
    assert!(!said.stderr.contains("hidden"), "{said:#?}");
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
