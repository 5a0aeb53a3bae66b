//! A connection that is open when its client is revoked.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::shop::Shop;

/// Longer than the gateway drains a connection for.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client's connection that stays open between its requests.
struct Open {
    openssl: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    host: String,
}

impl Open {
    fn of(shop: &Shop, client: &str) -> Self {
        let address = shop.desk.instance.replicas()[0].tls().to_string();
        let [certificate, key] = ["crt", "key"].map(|kind| format!("{client}.{kind}"));
        let mut openssl = Command::new("openssl")
            .current_dir(shop.desk.folder.path())
            .args(["s_client", "-quiet", "-connect", &address])
            .args(["-servername", &shop.host, "-cert", &certificate])
            .args(["-key", &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            input: openssl.stdin.take().unwrap(),
            output: BufReader::new(openssl.stdout.take().unwrap()),
            host: shop.host.clone(),
            openssl,
        }
    }

    /// The head of the answer to a further request; none where the connection has ended.
    fn get(&mut self) -> Option<String> {
        let request = format!("GET /headers HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.input.write_all(request.as_bytes()).ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.output.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length?.parse().ok()?];
        self.output.read_exact(&mut body).ok()?;
        Some(head)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}

#[test]
fn an_open_connection_of_a_revoked_client_lives_on_until_it_is_closed() {
    let shop = Shop::open("open", &["alice"]);
    shop.admits("alice");
    let mut open = Open::of(&shop, "alice");
    let answers = |head: Option<String>| head.is_some_and(|head| head.starts_with("http/1.1 200"));
    assert!(answers(open.get()));
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
    assert!(
        answers(open.get()),
        "no proxy ends a connection for a revocation"
    );
    shop.revoke(&["alice", "--close-connections"])
        .exits(0)
        .says("closed within Envoy's drain time");
    let begun = Instant::now();
    while open.get().is_some() {
        assert!(begun.elapsed() < PATIENCE, "the connection is still open");
        std::thread::sleep(Duration::from_millis(500));
    }
    // Who is not revoked comes in again, under a guard that says what it said.
    shop.issue("bob", &[]);
    shop.admits("bob");
    shop.desk.run(&["status", &shop.host]).exits(0);
}
