//! Rotations under load: clients of every kind call both Envoys all the time, and not one answer may be wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubectl_mtls::pki::inspect::Certificate;
use sandbox::load::{Class, Expected, Load, Tally};

use crate::ca_rotate::{Site, moved, openssl};

/// How hard, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Calls per second that are aimed at.
    pub(crate) rate: f64,
    /// Between two steps.
    pub(crate) steady: Duration,
}

pub(crate) fn ends(site: &Site, name: &str) -> u64 {
    let pem = site.desk.read(&format!("{name}.crt"));
    let certificate = Certificate::many_from_pem(pem).unwrap().remove(0);
    u64::try_from(certificate.not_after().unix_timestamp()).unwrap()
}

/// A client of a CA with the name of the hand-made one, and another key.
pub(crate) fn stranger(site: &Site) {
    let subject = "/O=Example/CN=Hand-made CA";
    let ca = [
        "req",
        "-x509",
        "-nodes",
        "-days",
        "9",
        "-newkey",
        "rsa:2048",
        "-subj",
        subject,
        "-keyout",
        "otherkey.pem",
        "-out",
        "othercert.pem",
    ];
    openssl(&site.desk, &ca);
    let client = [
        "req",
        "-x509",
        "-nodes",
        "-days",
        "9",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-subj",
        "/CN=theirs",
        "-CA",
        "othercert.pem",
        "-CAkey",
        "otherkey.pem",
        "-keyout",
        "stranger.key",
        "-out",
        "stranger.crt",
    ];
    openssl(&site.desk, &client);
}

/// Issues a certificate that has expired when this returns.
pub(crate) fn expired(site: &Site) {
    site.issue("expired", &["--ttl", "1s"]);
    std::thread::sleep(Duration::from_secs(2));
}

/// Adoption, rotation, abort, rotation, end, and the end of the external CA, with clients of each kind.
pub(crate) fn every_phase(pace: Pace) -> Tally {
    let site = Site::named("load");
    moved(&site);
    stranger(&site);
    site.rotate(&[]).exits(0);
    site.issue("old", &[]);
    expired(&site);
    site.issue("brief", &["--ttl", "30s"]);
    let instance = &site.desk.instance;
    let load = Load::start(instance, &site.host, pace.rate, 24).unwrap();
    let add = |name: &'static str, expected| {
        let ends = Some(ends(&site, name));
        load.add(name, &site.desk.client(name), ends, expected)
            .unwrap()
    };
    let steady = |step: &str| {
        std::thread::sleep(pace.steady);
        assert_eq!(load.wrongs(), 0, "after {step}: {:#?}", load.wrong());
    };
    let theirs = add("theirs", Expected::In);
    let old = add("old", Expected::In);
    add("brief", Expected::In);
    add("expired", Expected::Out);
    add("stranger", Expected::Out);
    load.add("nobody", &site.desk.nobody(), None, Expected::Out)
        .unwrap();
    steady("the beginning");

    site.rotate(&[]).exits(0);
    site.issue("new", &[]);
    let new = add("new", Expected::In);
    steady("the new CA issues");
    site.rotate(&["--finish"]).exits(2);
    site.rotate(&["--abort"]).exits(0);
    site.issue("after", &[]);
    let after = add("after", Expected::In);
    steady("the abort");
    new.expect(Expected::Either);
    site.rotate(&["--finish", "--force"]).exits(0);
    new.expect(Expected::Out);
    steady("the end of the aborted CA");

    site.rotate(&[]).exits(0);
    site.issue("renewed", &[]);
    add("renewed", Expected::In);
    steady("the next CA issues");
    // The brief one has ended by itself before its CA leaves.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    std::thread::sleep(Duration::from_secs(ends(&site, "brief") + 3).saturating_sub(now));
    for class in [&old, &after] {
        class.expect(Expected::Either);
    }
    site.rotate(&["--finish", "--force"]).exits(0);
    for class in [&old, &after] {
        class.expect(Expected::Out);
    }
    steady("the end of the old CA");
    let status = site.rotate(&["--status", "-o", "json"]).exits(0).json();
    let cas = status["cas"].as_array().unwrap();
    let external = cas.iter().find(|ca| ca["role"] == "external").unwrap();
    theirs.expect(Expected::Either);
    let fingerprint = external["fingerprint"].as_str().unwrap();
    site.rotate(&["--finish", "--drop-external", fingerprint])
        .exits(0);
    theirs.expect(Expected::Out);
    steady("the end of the external CA");
    load.end()
}

/// A CA made by hand whose key is taken in, revocations, a rotation with revocation lists, its end, and an abort.
pub(crate) fn with_revocations(pace: Pace) -> Tally {
    let site = Site::named("lists");
    moved(&site);
    stranger(&site);
    site.rotate(&["--from-cert", "cacert.pem", "--from-key", "cakey.pem"])
        .exits(0);
    site.issue("lost", &[]);
    site.issue("old", &[]);
    expired(&site);
    let load = Load::start(&site.desk.instance, &site.host, pace.rate, 24).unwrap();
    let add = |name: &'static str, expected| {
        let ends = (name != "theirs").then(|| ends(&site, name));
        load.add(name, &site.desk.client(name), ends, expected)
            .unwrap()
    };
    let steady = |step: &str| {
        std::thread::sleep(pace.steady);
        assert_eq!(load.wrongs(), 0, "after {step}: {:#?}", load.wrong());
    };
    let theirs = add("theirs", Expected::In);
    let lost = add("lost", Expected::In);
    let old = add("old", Expected::In);
    add("expired", Expected::Out);
    add("stranger", Expected::Out);
    load.add("nobody", &site.desk.nobody(), None, Expected::Out)
        .unwrap();
    let revoke = |name: &str, class: &Class| {
        class.expect(Expected::Either);
        site.run(&["revoke-client", name]).exits(0);
        class.expect(Expected::Out);
        steady("a revocation");
    };
    steady("the beginning");
    revoke("lost", &lost);
    site.rotate(&[]).exits(0);
    site.issue("new", &[]);
    let new = add("new", Expected::In);
    steady("a CA with a list of its own issues");
    site.rotate(&["--abort"]).exits(0);
    steady("the abort");
    revoke("new", &new);
    site.rotate(&["--finish"]).exits(0);
    steady("the end of the aborted CA");

    site.rotate(&[]).exits(0);
    site.issue("newest", &[]);
    add("newest", Expected::In);
    steady("the next CA issues");
    revoke("old", &old);
    site.rotate(&["--finish"])
        .exits(2)
        .says("was not created by kubectl-mtls");
    let status = site.rotate(&["--status", "-o", "json"]).exits(0).json();
    let cas = status["cas"].as_array().unwrap();
    let retired = cas.iter().find(|ca| ca["role"] == "retired").unwrap();
    let fingerprint = retired["fingerprint"].as_str().unwrap();
    theirs.expect(Expected::Either);
    site.rotate(&["--finish", "--drop-external", fingerprint])
        .exits(0);
    theirs.expect(Expected::Out);
    steady("the end of the CA made by hand");
    load.end()
}

/// Tells the counts, and that not one was wrong.
#[track_caller]
pub(crate) fn flawless(tally: &Tally) {
    sandbox::report(&format!(
        "{} handshakes in {:.0} s, {:.0} a second, {} wrong: {:?}",
        tally.total,
        tally.seconds,
        tally.rate(),
        tally.wrongs,
        tally.calls
    ));
    assert_eq!(tally.wrongs, 0, "{:#?}", tally.wrong);
    assert!(tally.calls.values().all(|calls| *calls > 20), "{tally:?}");
}

#[test]
fn under_load_no_answer_is_wrong_in_any_phase_of_a_rotation() {
    let pace = Pace {
        rate: 250.0,
        steady: Duration::from_secs(2),
    };
    flawless(&every_phase(pace));
}

#[test]
fn under_load_no_answer_is_wrong_with_revocation_lists_either() {
    let pace = Pace {
        rate: 250.0,
        steady: Duration::from_secs(1),
    };
    flawless(&with_revocations(pace));
}
