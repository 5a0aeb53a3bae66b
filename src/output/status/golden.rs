//! Whole reports on the cluster in memory, as users see them: `UPDATE=1 cargo test --lib golden` writes the files in `golden/`.

use std::path::PathBuf;
use std::time::Duration;

use super::Form;
use crate::plan::DryRun;
use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{self, Goal};
use crate::plan::status::Request;
use crate::plan::testing::kyma::expose_request;
use crate::plan::testing::{Cluster, issue_request};
use crate::resources::names::FIRST_AUTHORITY;

/// The tutorial's host with one client.
fn healthy() -> Cluster {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    cluster.run(&issue_request("alice")).unwrap();
    cluster
}

fn opened() -> Cluster {
    let mut cluster = healthy();
    cluster.open_gateway();
    cluster
}

/// One replica rejects its listener, and has not loaded what was revoked meanwhile.
fn rejecting() -> Cluster {
    let mut cluster = rotating();
    cluster.proxies.rejecting = vec![1];
    cluster.proxies.listener_error = Some("script load error".to_owned());
    cluster.revoke(0);
    cluster.load();
    cluster
}

fn rotating() -> Cluster {
    let mut cluster = healthy();
    let rotate = ca_rotate::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        goal: Goal::Advance(None),
        new: NewAuthority::of_name(FIRST_AUTHORITY),
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: None,
        force_conflicts: false,
    };
    cluster.run(&rotate).unwrap();
    cluster
}

/// In a rotation, with a revoked client.
fn revoking() -> Cluster {
    let mut cluster = rotating();
    let bob = cluster.issue("bob");
    cluster.revoke(bob);
    cluster
}

/// The report without what differs from run to run: fingerprints and serial numbers.
fn shown(mut cluster: Cluster, form: Form, timeline: bool) -> String {
    let request = Request {
        own_namespace: "shop".to_owned(),
        timeline,
        ..Request::default()
    };
    let report = cluster.run(&request).unwrap();
    let text = form.of(&report).unwrap();
    let text = anstream::adapter::strip_str(&text).to_string();
    let mut shown = String::new();
    let mut run = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_digit() || ('a'..='f').contains(&character) {
            run.push(character);
            continue;
        }
        let is_random = run.len() >= 8;
        shown += &if is_random {
            "0".repeat(run.len())
        } else {
            run
        };
        shown.push(character);
        run = String::new();
    }
    shown
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no flags")]
fn whole_reports_are_what_they_were() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/output/status/golden");
    let cases = [
        ("healthy", healthy(), Form::Table, false),
        ("faulty", opened(), Form::Table, false),
        ("consequences", rejecting(), Form::Table, false),
        ("rotation-wide", rotating(), Form::Wide, false),
        ("timeline", revoking(), Form::Table, true),
    ];
    for (name, cluster, form, timeline) in cases {
        let path = folder.join(format!("{name}.txt"));
        let shown = shown(cluster, form, timeline);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(shown, written, "{name}: run it with UPDATE=1");
        let words = |line: &&str| !line.trim_start().starts_with("kubectl ");
        let longest = shown.lines().filter(words).map(|line| line.chars().count());
        if form != Form::Wide {
            assert!(longest.max() <= Some(80), "{name}: {shown}");
        }
    }
}
