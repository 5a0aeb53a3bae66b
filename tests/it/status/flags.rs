//! The flags of `status`, and what it may be asked for, each by what it changes.

use super::*;
use sandbox::Interceptor;

use crate::lab::{Desk, Run, eventually, no_namespace_on};
use crate::stage::{Stage, stage};

/// The hosts of a report.
fn hosts(run: &Run) -> Vec<String> {
    let report = run.json();
    let hosts = report["hosts"].as_array().unwrap();
    let name = |host: &Value| host["host"].as_str().unwrap().to_owned();
    hosts.iter().map(name).collect()
}

/// The ids of the findings of a report, in its order.
fn ids(run: &Run) -> Vec<String> {
    let report = run.json();
    let findings = report["findings"].as_array().unwrap();
    let id = |finding: &Value| finding["id"].as_str().unwrap().to_owned();
    findings.iter().map(id).collect()
}

/// A host `httpbin` with one client on a cluster that no other test uses meanwhile.
fn exposed(stage: &Stage) -> (&Desk, String) {
    stage.clear();
    let desk = &stage.desk;
    desk.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["issue-client", "alice", "--format", "pem", "--force"])
        .exits(0);
    (desk, format!("httpbin.mtls.{}", desk.instance.domain()))
}

#[test]
fn each_flag_changes_what_it_says() {
    let stage = stage();
    let (desk, host) = exposed(&stage);
    let status = |flags: &[&str]| desk.run(&[&["status", "-o", "json"], flags].concat());
    let (other, beside) = beside(desk);
    namespaces(&status, &host, (&other, &beside));
    other
        .run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    what_ends(&status, desk, &host);
    formats(desk, &host);
    severities_and_waiting(&status, desk);
}

/// A second host, and who works in its namespace.
fn beside(desk: &Desk) -> (Desk, String) {
    desk.instance.deploy_echo("beside", "httpbin").unwrap();
    let host = format!("beside.own.{}", desk.instance.domain());
    let other = Desk::new(&desk.instance, "beside");
    other.run(&["expose", "httpbin", "--host", &host]).exits(0);
    (other, host)
}

fn namespaces(status: &dyn Fn(&[&str]) -> Run, host: &str, (other, beside): (&Desk, &str)) {
    let of = |run: Run| hosts(&run.exits(0));
    assert_eq!(of(status(&[])), [host]);
    assert_eq!(of(other.run(&["status", "-o", "json"])), [beside]);
    let mut all = of(status(&["-A"]));
    all.sort();
    assert_eq!(all, [beside, host]);
    assert_eq!(of(status(&["-A", beside])), [beside]);
    // One Service name in two namespaces.
    assert_eq!(of(status(&["httpbin"])), [host]);
    assert_eq!(of(status(&["-A", "httpbin"])).len(), 2);
    let url = format!("https://{host}:443/orders?of=alice");
    let [of_url, of_host] = [&url, host].map(|name| status(&[name]).exits(0));
    assert_eq!(of_url.json()["hosts"], of_host.json()["hosts"]);
    assert_eq!(hosts(&of_url), [host]);
}

fn what_ends(status: &dyn Fn(&[&str]) -> Run, desk: &Desk, host: &str) {
    let soon = status(&["--expiring-within", "400d"]).exits(1);
    let mut found = ids(&soon);
    found.sort();
    assert_eq!(found, ["client/ending", "server-certificate/ending"]);
    let later = ids(&status(&["--expiring-within", "2000d"]).exits(1));
    assert!(later.contains(&"client-ca/ending".to_owned()), "{later:?}");
    assert_eq!(ids(&status(&["--expiring-within", "1h"]).exits(0)), [""; 0]);

    let report = status(&["--timeline"]).exits(0).json();
    let ends = report["timeline"]["ends"].as_array().unwrap();
    let kinds: Vec<&Value> = ends.iter().map(|end| &end["kind"]).collect();
    assert_eq!(kinds, ["server certificate", "client CA"]);
    assert_eq!(ends[0]["name"], host);
    assert_eq!(
        ends[0]["at"],
        report["hosts"][0]["serverCertificates"][0]["notAfter"]
    );
    assert_eq!(
        ends[1]["at"],
        report["authorities"][0]["cas"][0]["notAfter"]
    );
    assert_eq!(report["timeline"]["clients"][0]["count"], 1);
    assert_eq!(status(&[]).json()["timeline"], Value::Null);
    let shown = desk.run(&["status", "--timeline"]).exits(0).stdout;
    let day = |end: &Value| end["at"].as_str().unwrap()[..10].to_owned();
    for (end, label) in [(&ends[0], "server certificate"), (&ends[1], "client CA")] {
        let is_bar = |line: &&str| line.contains(&day(end)) && line.contains('█');
        let bar = shown
            .lines()
            .filter(is_bar)
            .find(|line| line.contains(label));
        assert!(bar.is_some(), "{label}: {shown}");
    }
    assert!(
        shown.contains("1 client certificate ends within a week"),
        "{shown}"
    );
}

fn formats(desk: &Desk, host: &str) {
    let of = |format: &str| desk.run(&["status", "-o", format]).exits(0).stdout;
    assert_eq!(of("name"), format!("{host}\n"));
    let json: Value = serde_json::from_str(&of("json")).unwrap();
    let yaml: Value = serde_saphyr::from_str(&of("yaml")).unwrap();
    assert_eq!(json, yaml);
    let narrow = desk.run(&["status"]).exits(0).stdout;
    let wide = of("wide");
    for text in [&narrow, &wide] {
        assert!(text.ends_with("\nno findings\n"), "{text}");
    }
    let details = json["hosts"][0]["links"].as_array().unwrap().iter();
    let details: Vec<&Value> = details
        .flat_map(|link| link["details"].as_array().unwrap())
        .collect();
    assert!(!details.is_empty());
    for detail in details {
        let detail = detail.as_str().unwrap();
        assert!(
            wide.contains(detail) && !narrow.contains(detail),
            "{detail}"
        );
    }
}

fn severities_and_waiting(status: &(dyn Fn(&[&str]) -> Run + Sync), desk: &Desk) {
    let fallback = ["-n", "istio-system", "delete", "secret", "kyma-mtls-cacert"];
    desk.kubectl(&fallback, "");
    let warning = "client-ca/fallback-missing";
    for severity in ["note", "warning"] {
        assert_eq!(ids(&status(&["--severity", severity]).exits(1)), [warning]);
    }
    assert_eq!(ids(&status(&["--severity", "error"]).exits(0)), [""; 0]);
    let given_up = status(&["--wait", "--timeout", "1s"]).exits(124);
    assert_eq!(ids(&given_up), [warning]);
    given_up
        .says(&format!(
            "waiting until nothing needs attention; so far: {warning}"
        ))
        .says(&format!("error: timed out; found: {warning}"));
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&["--wait", "--timeout", "5m"]));
        desk.run(&["expose", "httpbin"]).exits(0);
        waiting.join().unwrap()
    });
    assert_eq!(ids(&waited.exits(0)), [""; 0]);

    waits_through_failures(desk);

    // Who may not look at each replica by itself.
    let read = Rule::in_cluster("*", &["*"], &["get", "list"]);
    let user = desk.instance.user(&[read]).unwrap();
    let desk = desk.with_kubeconfig(&user.kubeconfig).at_the_balancer();
    let unknown = "proxy/replicas-not-told-apart";
    for (flags, code) in [
        (&[][..], 1),
        // It was asked for nothing but errors, and does not know whether there are any.
        (&["--severity", "error"], 1),
        (&["--ignore-unknown"], 0),
    ] {
        let run = desk.run(&[&["status", "-o", "json"], flags].concat());
        assert_eq!(ids(&run.exits(code)), [unknown], "{flags:?}");
    }
}

/// While it waits, the host may be gone for a while: what was there at first comes back.
fn waits_through_failures(desk: &Desk) {
    let fallback = ["-n", "istio-system", "delete", "secret", "kyma-mtls-cacert"];
    desk.kubectl(&fallback, "");
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let through = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    let waits = [
        "status",
        "httpbin",
        "--wait",
        "--ignore-unknown",
        "-o",
        "json",
    ];
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| through.run(&[&waits[..], &["--timeout", "5m"]].concat()));
        eventually("a second check", || door.seen() > 60);
        desk.run(&["unexpose", "httpbin"]).exits(0);
        std::thread::sleep(std::time::Duration::from_secs(8));
        desk.run(&["expose", "httpbin"]).exits(0);
        waiting.join().unwrap()
    });
    let waited = waited.exits(0);
    assert_eq!(ids(&waited), ["proxy/replicas-not-told-apart"]);
    let words = "the check failed and will be repeated: no host and no Service `httpbin`";
    waited.says(words);
    // What is not there at first is an error at once.
    desk.run(&["status", "nosuch", "--wait"]).exits(2);
}

#[test]
fn clocks_that_differ_are_the_only_finding_whichever_is_wrong() {
    let job = main_job();
    let door = Interceptor::open(&job.desk.instance, job.desk.folder.path()).unwrap();
    let desk = job
        .desk
        .with_kubeconfig(door.kubeconfig())
        .at_the_balancer();
    for (seconds, words) in [
        (600, "s behind"),
        (-600, "s ahead of"),
        // Everything has ended by the API server's clock, or has not begun.
        (900_000_000, "s behind"),
        (-900_000_000, "s ahead of"),
    ] {
        door.set_clock_ahead(seconds);
        let run = desk.run(&["status", &job.host, "-o", "json", "--severity", "warning"]);
        let report = run.exits(1).json();
        let findings = report["findings"].as_array().unwrap().iter();
        let is_told = |finding: &&Value| finding["id"] != "proxy/replicas-not-told-apart";
        let found: Vec<&Value> = findings.filter(is_told).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0]["id"], "clock/skew");
        let seen = found[0]["seen"].as_str().unwrap();
        assert!(seen.contains(words), "{seen}");
    }
}

#[test]
fn what_is_not_there_is_said_in_one_line() {
    let job = main_job();
    for unknown in [
        "nosuch",
        "nosuch.example.com",
        "https://nosuch.example.com/",
    ] {
        let run = job.desk.run(&["status", unknown]).exits(2);
        assert_eq!(run.stdout, "", "{run:#?}");
        let errors = run.stderr.lines().filter(|line| line.starts_with("error:"));
        let errors: Vec<&str> = errors.collect();
        let name = unknown.trim_start_matches("https://").trim_end_matches('/');
        let expected =
            format!("error: no host and no Service `{name}` was found behind mutual TLS");
        assert_eq!(errors, [expected], "{run:#?}");
    }
    let (empty, _) = no_namespace_on(&job.desk.instance, "nowhere");
    let run = empty.run(&["status"]).exits(0);
    let within = format!(
        "no Gateway with mutual TLS in the namespace `{}`;",
        empty.namespace
    );
    assert!(run.stdout.starts_with(&within), "{run:#?}");
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    let run = empty.run(&["status", "-o", "json"]).exits(0);
    assert_eq!(run.json()["findings"], json!([]));
    assert_eq!(run.json()["hosts"], json!([]));
    let run = empty.run(&["status", "-o", "name"]).exits(0);
    assert_eq!(run.stdout, "");
    // The Service is there, in another namespace.
    empty.run(&["status", "httpbin"]).exits(2);
}
