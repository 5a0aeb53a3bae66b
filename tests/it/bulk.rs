//! `issue-client` for many clients: tables of every form, bad rows, interruptions at any moment, a full disk; in a
//! directory and in a cluster.

use crate::clerk::{Clerk, names};

#[test]
fn a_table_of_a_spreadsheet_becomes_a_folder_per_client() {
    let clerk = Clerk::new();
    clerk.write(
        "d.csv",
        "\u{feff}Name,O,OU,dns,ip,ttl,key-type,password\r\nalice,\"Example, Inc\",a,a.example b.example,192.0.2.7,30d,p384,secret1\r\nb:ob,,,,,,,\r\n",
    );
    let run = clerk
        .issue(&["-f", "d.csv", "--format", "pem,p12", "-o", "json"])
        .exits(0);
    assert_eq!(run.json()["summary"]["issued"], 2, "{run:#?}");
    assert_eq!(run.json()["clients"][0]["name"], "alice");
    assert_eq!(clerk.folders(), ["alice", "b_ob"]);
    clerk.openssl("verify -x509_strict -purpose sslclient -CAfile ca/ca.crt out/alice/alice.crt out/b_ob/b_ob.crt");
    let said =
        clerk.openssl("x509 -in out/alice/alice.crt -noout -subject -ext subjectAltName -text");
    for part in [
        "Example, Inc",
        "DNS:b.example",
        "IP Address:192.0.2.7",
        "(384 bit)",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    clerk.openssl("pkcs12 -in out/alice/alice.p12 -passin pass:secret1 -noout");
    clerk.openssl("pkcs12 -in out/b_ob/b_ob.p12 -passin file:out/b_ob/b_ob.p12.password -noout");
    assert!(!clerk.path("out/alice/alice.p12.password").exists());
}

#[test]
fn results_come_in_the_order_of_the_table() {
    let clerk = Clerk::new();
    let names: Vec<String> = (0..300).map(|number| format!("c{number:03}")).collect();
    // The first one takes longer than many others.
    let rows: Vec<String> = (names.iter().enumerate())
        .map(|(place, name)| format!("{name},{}", if place == 0 { "rsa4096" } else { "p256" }))
        .collect();
    clerk.write("d.csv", &format!("name,key-type\n{}\n", rows.join("\n")));
    let run = clerk
        .issue(&["-f", "d.csv", "--format", "pem", "-o", "name"])
        .exits(0);
    let issued = run
        .stdout
        .lines()
        .map(|line| line.strip_prefix("client/").unwrap());
    assert_eq!(issued.collect::<Vec<_>>(), names);
}

#[test]
fn a_second_run_issues_only_what_is_missing() {
    let clerk = Clerk::new();
    clerk.write("d.jsonl", "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
    clerk.issue(&["-f", "d.jsonl"]).exits(0);
    let before = clerk.read("out/a/a.crt");
    clerk.write("d.yaml", "- name: a\n- name: b\n- name: c\n");
    let run = clerk.issue(&["-f", "d.yaml", "-o", "json"]).exits(0);
    let summary = &run.json()["summary"];
    assert_eq!(
        (&summary["issued"], &summary["thereAlready"]),
        (&1.into(), &2.into())
    );
    assert_eq!(clerk.read("out/a/a.crt"), before);
    clerk.agree();
}

#[test]
fn several_names_lie_side_by_side() {
    let clerk = Clerk::new();
    let run = clerk.issue(&["alice", "bob", "-o", "name"]).exits(0);
    assert_eq!(run.stdout, "client/alice\nclient/bob\n");
    let files = [
        "alice.crt",
        "alice.key",
        "bob.crt",
        "bob.key",
        "client-ca.crt",
    ];
    assert_eq!(clerk.folders(), files);
    let twice = clerk.issue(&["carol", "carol"]).exits(2);
    twice.says("the same file names");
    clerk
        .issue(&["dave", "erin", "--dns", "x.example"])
        .exits(2)
        .says("single client");
}

#[test]
fn a_bad_row_is_told_with_its_line_and_nothing_is_begun_after_it() {
    let clerk = Clerk::new();
    clerk.write("d.csv", "name,dns\n\na/b,\nbob,\n");
    clerk
        .issue(&["-f", "d.csv"])
        .exits(2)
        .says("line 3: ")
        .says("`a/b`");
    assert_eq!(clerk.folders(), Vec::<String>::new());
    assert!(!clerk.path("ca").exists(), "a CA was made for nobody");
    clerk.write("d.txt", "name\n");
    clerk
        .issue(&["-f", "d.txt"])
        .exits(2)
        .says("--input-format");
    clerk.write("d.csv", "name,pasword\nalice,x\n");
    clerk.issue(&["-f", "d.csv"]).exits(2).says("pasword");
    clerk
        .issue(&["-f", "missing.csv"])
        .exits(2)
        .says("missing.csv");
    clerk.issue(&["-f", "d.csv", "alice"]).exits(2);
}

#[test]
fn bad_rows_are_left_out_and_the_others_issued_with_keep_going() {
    let clerk = Clerk::new();
    std::os::unix::fs::symlink("/tmp", clerk.path("out/link")).unwrap();
    std::fs::create_dir(clerk.path("out/kept")).unwrap();
    clerk.write("out/kept/kept.key", "precious");
    let rows = [
        "alice,,",
        "a/b,,",
        "alice,,",
        "bob,*.example,",
        "carol,,soon",
        "x:y,,",
        "x*y,,",
        "link,,",
        "kept,,",
        "dave,,",
    ];
    clerk.write("d.csv", &format!("name,dns,ttl\n{}\n", rows.join("\n")));
    let run = clerk
        .issue(&["-f", "d.csv", "--keep-going", "-o", "json"])
        .exits(2);
    for line in [3, 4, 5, 6, 8, 9, 10] {
        assert!(
            run.stderr.contains(&format!("line {line}: ")),
            "{line}: {run:#?}"
        );
    }
    assert_eq!(run.json()["summary"]["issued"], 3, "{run:#?}");
    assert_eq!(clerk.read("out/kept/kept.key"), "precious");
    assert_eq!(clerk.folders(), ["alice", "dave", "kept", "link", "x_y"]);
    let names: Vec<String> = clerk.entries().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["alice", "dave", "x:y"]);
}

#[test]
fn signing_requests_of_a_table_lie_beside_it() {
    let clerk = Clerk::new();
    std::fs::create_dir(clerk.path("table")).unwrap();
    clerk.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout table/s.key -out table/s.csr -subj /CN=s -addext subjectAltName=DNS:s.example");
    clerk.write("table/d.csv", "name,csr\nsensor,s.csr\nother,none.csr\n");
    let more = ["-f", "table/d.csv", "--san-from", "csr", "--keep-going"];
    clerk
        .issue(&more)
        .exits(2)
        .says("line 3: ")
        .says("none.csr");
    assert_eq!(
        names(&clerk.path("out/sensor")),
        ["client-ca.crt", "sensor.crt"]
    );
    let said = clerk.openssl("x509 -in out/sensor/sensor.crt -noout -ext subjectAltName");
    assert!(said.contains("DNS:s.example"), "{said}");
}

#[test]
fn what_is_wrong_with_a_table_on_stdin_is_said_of_stdin() {
    let clerk = Clerk::new();
    clerk
        .issue(&["-f", "-"])
        .exits(2)
        .says("error: a table on stdin needs its format")
        .says("`--input-format csv`");
    clerk
        .issue(&["-f", "-", "--input-format", "csv"])
        .exits(2)
        .says("error: stdin: the table is empty")
        .says("the first line names the columns");
}
