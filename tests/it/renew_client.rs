//! `renew-client`: the same identity again, and the old certificate goes on being let in.

use std::process::{Command, Stdio};
use std::time::Instant;

use sandbox::{Reply, Rule};

use crate::ca_dir::{Offline, openssl};
use crate::lab::{Desk, PLUGIN, call, eventually, main_job};

fn renew(offline: &Offline, more: &[&str]) -> crate::lab::Run {
    offline.run(&[&["renew-client", "--ca-dir", "ca"], more].concat())
}

/// What openssl reads of a certificate that a renewal must not change.
fn identity(offline: &Offline, file: &str) -> String {
    let text =
        "x509 -noout -subject -nameopt RFC2253 -ext subjectAltName,keyUsage,extendedKeyUsage -in";
    let mut arguments: Vec<&str> = text.split(' ').collect();
    arguments.push(file);
    openssl(offline.path("").as_path(), &arguments)
}

fn public_key(offline: &Offline, file: &str) -> String {
    let folder = offline.path("");
    openssl(&folder, &["x509", "-noout", "-pubkey", "-in", file])
}

#[test]
fn the_identity_is_the_same_and_the_key_a_new_one() {
    let offline = Offline::new();
    let names = "--subject CN=alice,OU=a,OU=b,O=Ünï --uri urn:a --uri urn:b --dns a.example --email a@example.com --ip 10.0.0.1";
    let kind = "alice --ttl 20d --key-type rsa2048";
    let arguments: Vec<&str> = [names, kind]
        .iter()
        .flat_map(|text| text.split(' '))
        .collect();
    offline.issue(&arguments).exits(0);
    std::fs::create_dir(offline.path("new")).unwrap();
    let run = renew(&offline, &["alice", "--out", "new"])
        .exits(0)
        .says("certificate 1 of `alice` stays valid until")
        .says("`kubectl mtls revoke-client`");
    assert!(run.stdout.contains("new/alice.p12"), "{run:#?}");
    assert_eq!(
        identity(&offline, "new/alice.crt"),
        identity(&offline, "alice.crt")
    );
    let keys = ["alice.crt", "new/alice.crt"].map(|file| public_key(&offline, file));
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[0].len(), keys[1].len(), "both RSA of 2048 bits");
    let strict = "verify -x509_strict -purpose sslclient -CAfile ca/ca.crt alice.crt new/alice.crt";
    let arguments: Vec<&str> = strict.split(' ').collect();
    openssl(&offline.path(""), &arguments);
    let list = offline
        .run(&["list-clients", "--ca-dir", "ca", "-o", "json"])
        .exits(0)
        .json();
    let facts = list["clients"].as_array().unwrap().iter().map(|client| {
        (
            client["state"].clone(),
            client["renewedBy"].clone(),
            client["renews"].clone(),
        )
    });
    let null = serde_json::Value::Null;
    assert_eq!(
        facts.collect::<Vec<_>>(),
        [
            ("issued".into(), 2.into(), null.clone()),
            ("issued".into(), null, 1.into())
        ]
    );
}

#[test]
fn the_files_of_the_old_certificate_are_replaced_only_when_asked_for() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let before = ["crt", "key", "p12"]
        .map(|suffix| std::fs::read(offline.path(&format!("alice.{suffix}"))).unwrap());
    renew(&offline, &["alice"])
        .exits(2)
        .says("these files hold certificate 1 of `alice`, the one to renew: alice.crt")
        .says("`--force`")
        .says("`--out DIR`");
    let after = ["crt", "key", "p12"]
        .map(|suffix| std::fs::read(offline.path(&format!("alice.{suffix}"))).unwrap());
    assert_eq!(after, before);
    assert_eq!(offline.states(), ["issued"]);
    renew(&offline, &["alice", "--force"]).exits(0);
    let keys = ["alice.crt", "alice.key"];
    let [of_certificate, of_key] = [
        public_key(&offline, keys[0]),
        openssl(&offline.path(""), &["pkey", "-pubout", "-in", keys[1]]),
    ];
    assert_eq!(of_certificate, of_key);
    assert_ne!(std::fs::read(offline.path("alice.key")).unwrap(), before[1]);
}

#[test]
fn a_key_that_exists_or_a_signing_request_is_certified_again() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    for folder in ["same", "asked"] {
        std::fs::create_dir(offline.path(folder)).unwrap();
    }
    renew(&offline, &["alice", "--key", "alice.key", "--out", "same"]).exits(0);
    assert_eq!(
        public_key(&offline, "same/alice.crt"),
        public_key(&offline, "alice.crt")
    );
    assert!(!offline.path("same/alice.key").exists());
    // What the request says of its sender does not count, its key does.
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout own.key -subj /CN=mallory -addext subjectAltName=URI:urn:mallory -out own.csr";
    let arguments: Vec<&str> = request.split(' ').collect();
    openssl(&offline.path(""), &arguments);
    renew(&offline, &["alice", "--csr", "own.csr", "--out", "asked"]).exits(0);
    assert_eq!(
        identity(&offline, "asked/alice.crt"),
        identity(&offline, "alice.crt")
    );
    let own = openssl(&offline.path(""), &["pkey", "-pubout", "-in", "own.key"]);
    assert_eq!(public_key(&offline, "asked/alice.crt"), own);
    assert!(!offline.path("asked/alice.p12").exists());
}

#[test]
fn what_ends_soon_is_renewed_once_each_client_in_a_folder_of_its_own() {
    let offline = Offline::new();
    for (name, ttl) in [("alice", "20d"), ("bob", "10d"), ("carol", "90d")] {
        offline.issue(&[name, "--ttl", ttl]).exits(0);
    }
    std::fs::create_dir(offline.path("second")).unwrap();
    offline
        .issue(&["bob", "--ttl", "11d", "--another", "--out", "second"])
        .exits(0);
    let due = [
        "--expiring-within",
        "30d",
        "--out",
        "renewed",
        "--ttl",
        "60d",
    ];
    let run = renew(&offline, &due).exits(0);
    let names: Vec<&str> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(names, ["NAME", "bob", "bob", "alice"]);
    for file in ["bob/bob.key", "bob-2/bob.key", "alice/alice.p12"] {
        assert!(offline.path("renewed").join(file).exists(), "{file}");
    }
    let again = renew(&offline, &due)
        .exits(0)
        .says("no certificate is due for renewal");
    assert_eq!(again.stdout, "");
    assert_eq!(offline.states().len(), 7);
}

#[test]
fn a_run_that_was_killed_before_it_booked_is_completed_by_the_same_command() {
    for arguments in [
        vec!["alice", "--force"],
        vec![
            "--expiring-within",
            "30d",
            "--ttl",
            "90d",
            "--out",
            "renewed",
        ],
    ] {
        let offline = Offline::new();
        offline.issue(&["alice", "--ttl", "20d"]).exits(0);
        renew(&offline, &arguments).exits(0);
        offline.unbook();
        renew(&offline, &arguments)
            .exits(0)
            .says("completed an interrupted run");
        assert_eq!(offline.states(), ["issued", "issued"], "{arguments:?}");
    }
}

#[test]
fn one_that_fails_does_not_keep_the_others_from_it() {
    let offline = Offline::new();
    for name in ["alice", "bob"] {
        offline.issue(&[name]).exits(0);
    }
    std::fs::create_dir(offline.path("new")).unwrap();
    let run = renew(
        &offline,
        &[
            "alice",
            "nobody",
            "client/bob",
            "--out",
            "new",
            "-o",
            "json",
        ],
    )
    .exits(2)
    .says("`nobody` was not renewed: `nobody` has no certificate that was delivered")
    .says("1 of 3 certificates were not renewed: nobody");
    assert_eq!(run.json()["failed"], serde_json::json!(["nobody"]));
    assert_eq!(run.json()["renewed"].as_array().unwrap().len(), 2);
    assert_eq!(offline.states().len(), 4);
}

/// Renews everything that ends soon, and interrupts it once something is there.
fn interrupted(offline: &Offline, arguments: &[&str]) -> String {
    let child = Command::new(PLUGIN)
        .args([&["renew-client", "--ca-dir", "ca"], arguments].concat())
        .current_dir(offline.path(""))
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("a folder", || {
        let entries = std::fs::read_dir(offline.path("renewed"));
        entries.is_ok_and(|entries| {
            entries
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                .any(|name| name.starts_with("device"))
        })
    });
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(status.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_interrupted_renewal_of_many_says_what_was_renewed_and_a_rerun_renews_the_others() {
    const CLIENTS: usize = 600;
    let offline = Offline::new();
    let table: String = (0..CLIENTS).map(|row| format!("device-{row}\n")).collect();
    std::fs::write(offline.path("d.csv"), format!("name\n{table}")).unwrap();
    std::fs::create_dir(offline.path("first")).unwrap();
    let bulk = ["-f", "d.csv", "--out", "first", "--ttl", "20d"];
    offline
        .run(
            &[
                &["issue-client", "--ca-dir", "ca", "--format", "pem"],
                &bulk[..],
            ]
            .concat(),
        )
        .exits(0);
    let due = "--expiring-within 30d --ttl 90d --format pem --out renewed";
    let due: Vec<&str> = due.split(' ').collect();
    let says = interrupted(&offline, &due);
    let summary = says
        .lines()
        .find_map(|line| line.split_once("renewed ")?.1.split_once(" of 600 "));
    let (count, _) = summary.unwrap_or_else(|| panic!("no summary: {says}"));
    let count: usize = count.parse().unwrap();
    assert!((1..CLIENTS).contains(&count), "{says}");
    assert!(says.contains("run the same command again"), "{says}");
    let entries = || {
        let states = offline.states();
        assert!(states.iter().all(|state| state == "issued"), "{states:?}");
        states.len() - CLIENTS
    };
    assert_eq!(entries(), count, "what has begun is completed");
    let due = "--expiring-within 30d --ttl 90d --format pem --out renewed -o name";
    let due: Vec<&str> = due.split(' ').collect();
    let rest = renew(&offline, &due).exits(0);
    assert_eq!(rest.stdout.lines().count(), CLIENTS - count);
    assert_eq!(entries(), CLIENTS);
}

#[test]
fn a_cluster_is_asked_four_times_for_each_of_many_renewals_and_a_few_times_for_all() {
    const CLIENTS: usize = 200;
    let desk = &main_job().desk;
    let user = desk
        .instance
        .user(&[Rule::in_cluster("*", &["*"], &["*"])])
        .unwrap();
    let desk = desk.with_kubeconfig(&user.kubeconfig);
    let table: String = (0..CLIENTS).map(|row| format!("many-{row}\n")).collect();
    std::fs::write(desk.folder.path().join("d.csv"), format!("name\n{table}")).unwrap();
    std::fs::create_dir(desk.folder.path().join("first")).unwrap();
    let issue = "issue-client -f d.csv --out first --format pem --ttl 9d";
    let issue: Vec<&str> = issue.split(' ').collect();
    desk.run(&issue).exits(0);
    let mark = desk.instance.audit_mark().unwrap();
    let started = Instant::now();
    let due = "renew-client --expiring-within 10d --ttl 90d --format pem --out renewed -o name";
    let due: Vec<&str> = due.split(' ').collect();
    let run = desk.run(&due).exits(0);
    let elapsed = started.elapsed();
    assert_eq!(run.stdout.lines().count(), CLIENTS);
    let events = desk.instance.audit_log_of(&user.name, mark).unwrap();
    sandbox::report(&format!(
        "{CLIENTS} renewals in {elapsed:?}: {} requests",
        events.len()
    ));
    let writes = events.iter().filter(|event| event.is_write()).count();
    assert_eq!(writes, 2 * CLIENTS, "one create and one update each");
    let reads = events.len() - writes;
    assert!(reads <= 2 * CLIENTS + 40, "{reads} reads for all of them");
    desk.client("renewed/many-7/many-7");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    for (arguments, words) in [
        (vec!["nobody"], "no certificate that was delivered"),
        (
            vec!["alice", "--number", "7", "--force"],
            "no certificate 7",
        ),
        (
            vec!["alice", "bob", "--number", "1"],
            "`--number` need one NAME",
        ),
        (vec!["alice", "bob", "--key", "alice.key"], "need one NAME"),
        (
            vec!["--expiring-within", "30d", "--csr", "x"],
            "need one NAME",
        ),
        (vec!["a:b", "a*b"], "the same names"),
        (vec!["../alice"], "../alice"),
        (vec![], "NAME"),
    ] {
        renew(&offline, &arguments).exits(2).says(words);
        assert_eq!(offline.states(), ["issued"], "{arguments:?}");
    }
    offline
        .run(&["renew-client", "alice", "--ca-dir", "nowhere"])
        .exits(2)
        .says("there is no authority");
    assert!(!offline.path("nowhere").exists());
}

#[test]
fn the_gateway_lets_the_old_certificate_in_and_the_new_one() {
    let job = main_job();
    let rule = Rule::in_cluster("*", &["*"], &["*"]);
    let user = job.desk.instance.user(&[rule]).unwrap();
    let old: Desk = job.desk.with_kubeconfig(&user.kubeconfig);
    let new = job.desk.with_kubeconfig(&user.kubeconfig);
    old.run(&["issue-client", "renewed"]).exits(0);
    let mark = job.desk.instance.audit_mark().unwrap();
    new.run(&["renew-client", "renewed"]).exits(0);
    let events = job.desk.instance.audit_log_of(&user.name, mark).unwrap();
    let writes: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event.is_write() && event.group != "authentication.k8s.io")
        .map(|event| (event.verb.as_str(), event.resource.as_str()))
        .collect();
    assert_eq!(
        writes,
        [
            ("create", "configmaps"),
            ("update", "configmaps"),
            ("create", "events")
        ]
    );
    assert!(
        events.iter().all(|event| event.verb != "list"
            || ["apirules", "gateways"].contains(&event.resource.as_str()))
    );
    for desk in [old, new] {
        let reply = call(&desk.client("renewed"), &job.host, &[]);
        assert!(
            matches!(reply, Reply::Answered { status: 200, .. }),
            "{reply:?}"
        );
    }
}
