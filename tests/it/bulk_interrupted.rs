//! `issue-client` for many clients, interrupted at any moment: signals, a full disk, requests that fail, a server that is too busy.

use std::io::Write;
use std::process::Command;

use sandbox::{Fault, Interceptor, Rule};
use serde_json::Value;

use crate::clerk::{Clerk, names, table};
use crate::lab::{Run, eventually, main_job};

#[test]
fn ctrl_c_completes_what_has_begun_and_a_rerun_does_the_rest() {
    let clerk = Clerk::new();
    let mut child = clerk.start();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(table(20).as_bytes()).unwrap();
    stdin.flush().unwrap();
    eventually("a folder", || {
        clerk
            .folders()
            .iter()
            .any(|name| name.starts_with("device"))
    });
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    clerk.agree();
    clerk.write("d.csv", &table(20));
    clerk.issue(&["-f", "d.csv"]).exits(0);
    assert_eq!(clerk.folders().len(), 20);
    clerk.agree();
}

#[test]
fn a_killed_run_leaves_whole_folders_and_its_rerun_accounts_for_the_rest() {
    let clerk = Clerk::new();
    for _ in 0..3 {
        let mut child = clerk.start();
        let mut stdin = child.stdin.take().unwrap();
        let before = clerk
            .path("ca/clients")
            .exists()
            .then(|| clerk.entries().len());
        stdin.write_all(table(60).as_bytes()).unwrap();
        stdin.flush().unwrap();
        eventually("an entry", || {
            clerk.path("ca/clients").exists()
                && names(&clerk.path("ca/clients")).len() > before.unwrap_or_default()
                || clerk.folders().len() > 60
        });
        child.kill().unwrap();
        child.wait().unwrap();
        for name in clerk
            .folders()
            .iter()
            .filter(|name| name.starts_with("device"))
        {
            assert_eq!(
                names(&clerk.path(&format!("out/{name}"))).len(),
                3,
                "{name}"
            );
        }
    }
    clerk.write("d.csv", &table(60));
    let run = clerk.issue(&["-f", "d.csv", "-o", "json"]).exits(0);
    let lost = run.json()["summary"]["neverDelivered"]
        .as_array()
        .unwrap()
        .clone();
    let reserved = clerk
        .entries()
        .iter()
        .filter(|(_, state)| state == "reserved")
        .count();
    assert_eq!(lost.len(), reserved, "{run:#?}");
    for serial in lost {
        assert!(run.stderr.contains(serial.as_str().unwrap()));
    }
    assert_eq!(clerk.folders().len(), 60, "nothing hidden is left");
    clerk.agree();
}

#[test]
fn a_full_disk_leaves_no_half_of_a_client_and_no_gap_in_the_books() {
    let clerk = Clerk::new();
    clerk.write("d.csv", "name\nfirst\n");
    clerk.issue(&["-f", "d.csv"]).exits(0);
    clerk.write("d.csv", "name,key-type\nalice,rsa4096\n");
    // An entry of 3 kB has room, a key of 3.3 kB has none.
    let more = ["-f", "d.csv"];
    let is_about_an_entry = |line: &str| line.starts_with("error:") && line.contains("alice-");
    let entry = |run: &Run| run.stderr.lines().any(is_about_an_entry);
    let blocks = (4..12).find(|blocks| {
        let run = clerk
            .with_a_disk_of(*blocks, &more)
            .exits(2)
            .says("File too large");
        assert_eq!(clerk.folders(), ["first"]);
        !entry(&run)
    });
    assert!(blocks.is_some(), "the inventory never had room");
    let reserved = clerk.entries();
    assert_eq!(
        reserved[0],
        ("alice".to_owned(), "reserved".to_owned()),
        "{reserved:?}"
    );
    let run = clerk.issue(&more).exits(0);
    run.says("never delivered");
    assert_eq!(clerk.folders(), ["alice", "first"]);
}

#[test]
fn a_cluster_is_asked_twice_for_each_client_and_a_few_times_for_all() {
    let desk = &main_job().desk;
    let all = Rule::in_cluster("*", &["*"], &["*"]);
    let user = desk.instance.user(&[all]).unwrap();
    let desk = desk.with_kubeconfig(&user.kubeconfig);
    std::fs::write(desk.folder.path().join("d.csv"), table(40)).unwrap();
    std::fs::create_dir(desk.folder.path().join("out")).unwrap();
    let arguments = [
        "issue-client",
        "-f",
        "d.csv",
        "--out",
        "out",
        "--format",
        "pem",
    ];
    let watched = || {
        let mark = desk.instance.audit_mark().unwrap();
        let run = desk.run(&arguments);
        (run, desk.instance.audit_log_of(&user.name, mark).unwrap())
    };
    let (run, events) = watched();
    run.exits(0);
    let writes = events.iter().filter(|event| event.is_write()).count();
    assert_eq!(writes, 80, "one create and one update each");
    let reads = events.len() - writes;
    assert!(reads <= 16, "{reads} reads for all of them");
    desk.client("out/device-007/device-007");
    let (run, events) = watched();
    run.exits(0);
    assert!(events.iter().all(|event| !event.is_write()), "{events:#?}");
}

#[test]
fn whatever_request_goes_wrong_inventory_and_files_agree_after_a_rerun() {
    let desk = &main_job().desk;
    let desk = desk.with_kubeconfig(desk.instance.kubeconfig());
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let desk = desk.with_kubeconfig(door.kubeconfig());
    std::fs::create_dir(desk.folder.path().join("out")).unwrap();
    let clients: Vec<String> = (0..4).map(|row| format!("faulty-{row}")).collect();
    let rows: String = clients.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(desk.folder.path().join("d.csv"), format!("name\n{rows}")).unwrap();
    let arguments = [
        "issue-client",
        "-f",
        "d.csv",
        "--out",
        "out",
        "--format",
        "pem",
    ];
    for (number, fault) in [
        (3, Fault::Answer(500)),
        (11, Fault::Answer(500)),
        (13, Fault::Drop),
        (16, Fault::Answer(403)),
        (17, Fault::Answer(409)),
    ] {
        door.plan(number, fault);
        desk.run(&arguments);
    }
    door.let_through();
    desk.run(&arguments).exits(0);
    assert_eq!(names(&desk.folder.path().join("out")), clients);
    let all = [
        "-n",
        "kubectl-mtls-clients",
        "get",
        "configmaps",
        "-o",
        "json",
    ];
    let list: Value = serde_json::from_str(&desk.kubectl(&all, "")).unwrap();
    for name in clients {
        let certificate = desk.read(&format!("out/{name}/{name}.crt"));
        let is_its = |entry: &&Value| entry["data"]["tls.crt"] == certificate.as_str();
        let entry = list["items"].as_array().unwrap().iter().find(is_its);
        let state = &entry.unwrap()["metadata"]["labels"]["kubectl-mtls.dev/state"];
        assert_eq!(state, "issued", "{name}");
    }
}

#[test]
fn a_server_that_is_too_busy_gets_fewer_requests_at_a_time_and_every_client_its_certificate() {
    const CLIENTS: u32 = 400;
    let desk = &main_job().desk;
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let desk = desk.with_kubeconfig(door.kubeconfig());
    let clients: Vec<String> = (0..CLIENTS)
        .map(|row| format!("patient-{row:03}"))
        .collect();
    let table = format!("name\n{}\n", clients.join("\n"));
    std::fs::write(desk.folder.path().join("d.csv"), table).unwrap();
    std::fs::create_dir(desk.folder.path().join("out")).unwrap();
    door.let_through();
    door.set_room(Some(3));
    let arguments = "issue-client -f d.csv --out out --format pem";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    desk.run(&arguments).exits(0);
    let (seen, refused) = (door.seen(), door.refused());
    sandbox::report(&format!(
        "{CLIENTS} clients: {seen} requests, {refused} of them refused"
    ));
    // Always as many at a time as in the beginning would be some 240.
    assert!((1..CLIENTS / 4).contains(&refused), "{refused} refused");
    // Two for each client, and one for each batch, which is as large as the rows that were there by then.
    let needed = 2 * CLIENTS + CLIENTS / 8;
    assert!(
        seen <= needed + refused,
        "{seen} requests, {refused} refused"
    );
    assert_eq!(names(&desk.folder.path().join("out")), clients);
    let all = [
        "-n",
        "kubectl-mtls-clients",
        "get",
        "configmaps",
        "-o",
        "json",
    ];
    let list: Value = serde_json::from_str(&desk.kubectl(&all, "")).unwrap();
    let entries = list["items"].as_array().unwrap().iter();
    let mut entries: Vec<[&str; 2]> = entries
        .map(|entry| &entry["metadata"])
        .map(|metadata| {
            [
                &metadata["annotations"]["kubectl-mtls.dev/client-name"],
                &metadata["labels"]["kubectl-mtls.dev/state"],
            ]
            .map(|text| text.as_str().unwrap_or_default())
        })
        .filter(|[name, _]| name.starts_with("patient-"))
        .collect();
    entries.sort_unstable();
    let booked: Vec<[&str; 2]> = clients.iter().map(|name| [name, "issued"]).collect();
    assert_eq!(entries, booked);
}

/// All memory that a process may write to, as it is now.
fn memory(pid: u32) -> Vec<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut file = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let ranges = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-').filter(|_| rest.starts_with("rw"))?;
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        Some((number(start), number(end)))
    });
    ranges
        .filter_map(|(start, end)| {
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            file.seek(SeekFrom::Start(start)).ok()?;
            file.read_exact(&mut bytes).ok()?;
            Some(bytes)
        })
        .collect()
}

/// The secret number of a P-256 key (RFC 5915), and the line of its PEM in which most of it stands.
fn secrets(pem: &str) -> [Vec<u8>; 2] {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let lines: Vec<&str> = pem.lines().collect();
    let der = STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap();
    let at = der.windows(2).position(|two| two == [4, 32]).unwrap() + 2;
    [der[at..at + 32].to_vec(), lines[1].as_bytes().to_vec()]
}

#[test]
fn no_private_key_stays_in_memory_once_its_client_has_it() {
    let clerk = Clerk::new();
    let mut child = clerk.start_with(&["--format", "pem,p12"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"name\nalice\nbob\n").unwrap();
    stdin.flush().unwrap();
    eventually("both are booked", || {
        clerk.path("ca/clients").exists()
            && clerk
                .entries()
                .iter()
                .filter(|(_, state)| state == "issued")
                .count()
                == 2
    });
    let holds = |secret: &[u8]| {
        memory(child.id())
            .iter()
            .any(|part| memchr::memmem::find(part, secret).is_some())
    };
    let [ca, _] = secrets(&clerk.read("ca/ca.key"));
    assert!(
        holds(&ca),
        "the search finds nothing, not even the key that signs"
    );
    for name in ["alice", "bob"] {
        let [number, line] = secrets(&clerk.read(&format!("out/{name}/{name}.key")));
        eventually("its number is wiped", || !holds(&number));
        eventually("its PEM is wiped", || !holds(&line));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
