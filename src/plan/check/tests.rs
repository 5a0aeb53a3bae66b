//! The catalogue itself, and the page that is made of it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::*;

fn severity(check: &Check) -> &'static str {
    match check.severity {
        Severity::Note => "note",
        Severity::Unknown => "not checked",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn page() -> String {
    let mut page = "\
# Faults

<!-- Generated from src/plan/check by `UPDATE=1 cargo test --lib check`. -->

What `kubectl mtls status` checks, in the order in which a request passes it. The id of a finding never changes.
Severity and remedy are the usual ones: `status` raises or lowers the severity where the effect differs, and prints a more specific command where
it can. Words in capitals stand for names.

Findings that follow from another one on the same host stand under it: one fault is one finding.
"
    .to_owned();
    let mut subject = "";
    for check in Check::all() {
        let (own, _) = check.id.split_once('/').unwrap();
        if own != subject {
            subject = own;
            let title = subject.replace('-', " ");
            writeln!(page, "\n## {title}").unwrap();
        }
        let remedy = if check.remedy.starts_with("kubectl ") {
            format!("`{}`", check.remedy)
        } else {
            check.remedy.to_owned()
        };
        writeln!(
            page,
            "\n### {}\n\n{} ({}): {}.\n\n- Found by: {}\n- Remedy: {remedy}",
            check.id,
            check.cause,
            severity(check),
            check.why,
            check.found_by,
        )
        .unwrap();
    }
    page
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that writes the page has no flags"
)]
fn the_page_of_faults_is_what_the_checks_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, page(), "run it with UPDATE=1");
}

#[test]
fn every_check_has_an_id_of_its_own_and_plain_sentences() {
    let mut ids = BTreeSet::new();
    for check in Check::all() {
        assert!(ids.insert(check.id), "{} stands twice", check.id);
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '-' || c == '/';
        assert!(check.id.chars().all(is_plain) && check.id.split('/').count() == 2);
        for sentence in [check.cause, check.found_by, check.why, check.remedy] {
            assert!(
                !sentence.is_empty() && !sentence.ends_with('.'),
                "{}: {sentence}",
                check.id
            );
        }
        assert_eq!(
            check.severity == Severity::Unknown,
            check.id.ends_with("/not-checked") || check.id == "proxy/replicas-not-told-apart",
            "{}",
            check.id
        );
    }
}

#[test]
fn the_link_of_a_finding_is_a_heading_of_the_page() {
    let page = page();
    // GitHub leaves `/` out of the anchor of a heading.
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let anchors: BTreeSet<String> = headings.map(|heading| heading.replace('/', "")).collect();
    for check in Check::all() {
        let docs = check.docs();
        let (page, anchor) = docs.split_once('#').unwrap();
        assert!(page.starts_with("https://") && page.ends_with("/docs/faults.md"));
        assert!(anchors.contains(anchor), "{docs}");
    }
}

#[test]
fn a_remark_and_a_fault_that_is_milder_than_usual_hide_nothing_that_is_more_severe() {
    let finding = |check: &'static Check| Finding::new(check, check.id, "");
    let limits = finding(&GATEWAY_TLS_LIMITS);
    let younger = finding(&GATEWAY_DUPLICATE_HOST).graded(Severity::Warning);
    for (cause, other) in [
        (limits.clone(), &PROXY_ACCEPTS_EVERYBODY),
        (limits, &PROXY_NOT_CHECKED),
        (younger, &CLIENT_CA_EXPIRED),
    ] {
        let other = finding(other);
        assert!(cause.check.explains(other.check), "{}", other.seen);
        let both = [cause, other].to_vec();
        assert_eq!(Finding::nest(both.clone()), both);
    }
}

#[test]
fn a_finding_of_two_hosts_is_as_severe_as_at_the_worse_one() {
    let finding = |check: &'static Check| Finding::new(check, check.id, "");
    let mut mild = finding(&PROXY_ENVOY_FILTER).graded(Severity::Warning);
    let worse = [
        finding(&PROXY_ENVOY_FILTER).graded(Severity::Warning),
        finding(&PROXY_ACCEPTS_EVERYBODY),
    ];
    let [worse] = <[Finding; 1]>::try_from(Finding::nest(worse.to_vec())).unwrap();
    mild.merge(worse.clone());
    mild.merge(worse.clone());
    assert_eq!(mild.severity, Severity::Error);
    assert_eq!(mild.consequences, worse.consequences);
}

#[test]
fn a_cause_is_as_severe_as_what_follows_from_it() {
    let finding = |check: &'static Check| Finding::new(check, check.id, "");
    let both = [&INGRESS_NETWORK_POLICY, &PROXY_UNREACHABLE].map(finding);
    let [cause] = &Finding::nest(both.to_vec())[..] else {
        panic!("one finding was expected");
    };
    assert_eq!(cause.check.severity, Severity::Warning);
    assert_eq!(cause.severity, Severity::Error);
    assert_eq!(cause.consequences, both[1..]);
}

#[test]
fn a_consequence_is_a_check_that_there_is() {
    for check in Check::all() {
        for consequence in check.consequences {
            let is_it = |other: &&Check| match consequence.strip_suffix('*') {
                Some(stem) => other.id.starts_with(stem),
                None => other.id == *consequence,
            };
            assert!(
                Check::all().any(|other| is_it(&other)),
                "{}: {consequence}",
                check.id
            );
        }
    }
}

#[test]
fn what_follows_from_a_finding_stands_under_it_and_chains_end_at_their_first_cause() {
    let of = |check: &'static Check| Finding::new(check, check.id, "");
    let nested = Finding::nest(vec![
        of(&SERVER_CERTIFICATE_NOT_SHOWN),
        of(&SERVER_CERTIFICATE_SECRET_MISSING),
        of(&GATEWAY_CREDENTIAL_CHANGED),
        of(&ROUTE_NONE),
    ]);
    let ids = |findings: &[Finding]| -> Vec<&str> {
        findings.iter().map(|finding| finding.check.id).collect()
    };
    assert_eq!(ids(&nested), ["gateway/credential-changed", "route/none"]);
    assert_eq!(
        ids(&nested[0].consequences),
        [
            "server-certificate/not-shown",
            "server-certificate/secret-missing"
        ]
    );
}

#[test]
fn findings_that_explain_each_other_are_not_lost() {
    let of = |check: &'static Check| Finding::new(check, check.id, "");
    let nested = |checks: &[&'static Check]| -> Vec<(&str, usize)> {
        let nested = Finding::nest(checks.iter().map(|check| of(check)).collect());
        let nested = nested.into_iter();
        nested
            .map(|finding| (finding.check.id, finding.consequences.len()))
            .collect()
    };
    let circle: [&'static Check; 3] = [
        &SERVER_CERTIFICATE_PENDING,
        &SERVER_CERTIFICATE_ISSUER_FAILED,
        &SERVER_CERTIFICATE_NOT_SHOWN,
    ];
    assert_eq!(nested(&circle), [("server-certificate/pending", 2)]);
    assert_eq!(nested(&circle[..2]), [("server-certificate/pending", 1)]);
    // The issuer is why the Certificate waits, in whatever order they are found.
    let cause: [&'static Check; 2] = [
        &SERVER_CERTIFICATE_PENDING,
        &SERVER_CERTIFICATE_ISSUER_NOT_READY,
    ];
    let id = "server-certificate/issuer-not-ready";
    assert_eq!(nested(&cause), [(id, 1)]);
}

/// The sources of a folder, below it too.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text += &if path.is_dir() {
            sources(&path)
        } else {
            std::fs::read_to_string(path).unwrap()
        };
    }
    text
}

#[test]
fn every_check_is_made_by_a_fault_in_the_tests_of_status() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/status/tests/faults");
    let sources = sources(&folder);
    let is_missing = |check: &&Check| !sources.contains(&format!("\"{}\"", check.id));
    let missing: Vec<&str> = Check::all()
        .filter(is_missing)
        .map(|check| check.id)
        .collect();
    assert!(missing.is_empty(), "no fault makes {missing:?}");
}
