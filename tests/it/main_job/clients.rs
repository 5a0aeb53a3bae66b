//! Whom the gateway lets in, and what the application sees of them.

use sandbox::Reply;

use crate::lab::{Run, call, let_in, main_job, own_namespace, seen_by_application};

#[test]
fn a_client_with_a_certificate_gets_in_and_the_application_sees_who_it_is() {
    let job = main_job();
    let headers = seen_by_application(&call(&job.desk.client("alice"), &job.host, &[]));
    assert_eq!(headers["X-Client-Ssl-Cn"], "CN=alice");
    assert_eq!(
        headers["X-Client-Ssl-San"],
        "spiffe://kyma-mtls-clients/alice"
    );
}

#[test]
fn forged_identity_headers_never_reach_the_application() {
    let job = main_job();
    let forged = [
        ("X-CLIENT-SSL-SAN", "spiffe://forged"),
        ("X-CLIENT-SSL-CN", "CN=forged"),
        ("X-CLIENT-SSL-ISSUER", "CN=forged"),
    ];
    for header in forged {
        let reply = call(&job.desk.client("alice"), &job.host, &[header]);
        assert!(
            matches!(reply, Reply::Answered { status: 403, .. }),
            "{header:?}: {reply:?}"
        );
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    let job = main_job();
    let reply = call(&job.desk.nobody(), &job.host, &[]);
    assert_eq!(reply, Reply::Refused("certificate_required".to_owned()));
}

#[test]
fn a_client_of_another_ca_is_refused_even_under_the_same_name() {
    let job = main_job();
    let stranger = crate::lab::Desk::new(&job.desk.instance, "shop");
    stranger
        .run(&["issue-client", "alice", "--ca-dir", "ca"])
        .exits(0);
    let reply = call(&stranger.client("alice"), &job.host, &[]);
    assert_eq!(reply, Reply::Refused("unknown_ca".to_owned()));
}

/// The authority in the last line of `expose`: `next: kubectl mtls issue-client NAME --authority AUTHORITY`.
fn authority_of(run: &Run) -> String {
    let last = run.stdout.lines().last().unwrap();
    last.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_second_gateway_has_an_authority_and_clients_of_its_own() {
    let (desk, host) = own_namespace("second");
    let run = desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let authority = authority_of(&run);
    assert!(authority.starts_with(&desk.namespace), "{authority}");
    desk.run(&["issue-client", "bob", "--authority", &authority])
        .exits(0);
    let_in(&desk.client("bob"), &host);
    let alice = call(&main_job().desk.client("alice"), &host, &[]);
    assert_eq!(alice, Reply::Refused("unknown_ca".to_owned()));
    desk.run(&["expose", "httpbin"]).exits(0);
}

#[test]
fn only_listed_clients_may_call_and_others_keep_their_hosts() {
    let (desk, host) = own_namespace("listed");
    let run = desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let authority = authority_of(&run);
    for name in ["ann", "carol"] {
        desk.run(&["issue-client", name, "--authority", &authority, "--force"])
            .exits(0);
    }
    let listed = ["expose", "httpbin", "--allow", "ann", "--allow", "nemo"];
    desk.run(&[&listed[..], &["--allow-unknown"]].concat())
        .exits(0);
    let (ann, carol) = (desk.client("ann"), desk.client("carol"));
    await_status(&carol, &host, 403);
    let told = desk.run(&["status", &host]).unwrapped();
    let only = format!(
        "only the listed clients may call the host: spiffe://{authority}-clients/ann, spiffe://{authority}-clients/nemo"
    );
    assert!(told.contains(&only), "{told}");
    let_in(&ann, &host);
    let job = main_job();
    seen_by_application(&call(&job.desk.client("alice"), &job.host, &[]));
    // A rerun without the flag keeps the list; lifting it lets everybody in again.
    desk.run(&["expose", "httpbin"]).exits(0);
    assert_eq!(status(&carol, &host), Some(403));
    desk.run(&["expose", "httpbin", "--allow-any"]).exits(0);
    await_status(&carol, &host, 200);
}

fn status(caller: &sandbox::Caller, host: &str) -> Option<u16> {
    match call(caller, host, &[]) {
        Reply::Answered { status, .. } => Some(status),
        _ => None,
    }
}

/// Envoy loads a policy a moment after it was written; on a busy machine istiod takes its time.
#[track_caller]
fn await_status(caller: &sandbox::Caller, host: &str, wanted: u16) {
    for _ in 0..600 {
        if status(caller, host) == Some(wanted) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{host} never answered {wanted}");
}

#[test]
fn a_given_client_ca_is_trusted_and_no_key_is_made() {
    let (desk, host) = own_namespace("given");
    desk.run(&["issue-client", "dora", "--ca-dir", "ca"])
        .exits(0);
    let run = desk
        .run(&[
            "expose",
            "httpbin",
            "--host",
            &host,
            "--client-ca",
            "ca/ca.crt",
        ])
        .exits(0);
    let made = run.stdout.lines().filter(|line| line.ends_with("created"));
    let in_ours = made.filter(|line| line.contains(" in kubectl-mtls "));
    assert_eq!(in_ours.count(), 1, "no key: {}", run.stdout);
    std::fs::create_dir(desk.folder.path().join("fay")).unwrap();
    desk.run(&["issue-client", "fay", "--out", "fay"])
        .exits(2)
        .says("does not issue yet");
    // Every proxy has the route by now, not only the CA.
    let [certificate, key] = ["dora.crt", "dora.key"].map(|file| desk.read(file));
    let root = desk.instance.stand_ins().root_certificate();
    for replica in desk.instance.replicas() {
        let dora = sandbox::Caller::new(replica.tls().to_string(), &root);
        let dora = dora.with_certificate(&certificate, &key);
        seen_by_application(&call(&dora, &host, &[]));
    }
    // Another bundle would shut dora out.
    let other = crate::lab::Desk::new(&desk.instance, &desk.namespace);
    other
        .run(&["issue-client", "eve", "--ca-dir", "ca"])
        .exits(0);
    other
        .run(&["expose", "httpbin", "--client-ca", "ca/ca.crt"])
        .exits(2)
        .says("trusts other CAs than `--client-ca` names");
}
