//! Running the command of a finding against the cluster in memory.

mod kubectl;
mod ours;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, count, findings, report, shell};
use crate::plan::testing::Cluster;

pub use ours::revocation;

/// Findings whose commands end them by what the cluster in memory does not play: an issuer that answers at last.
const NOT_PLAYED: &[&str] = &["dns/challenge-hides-host"];

/// Findings that stay until all steps of a rotation, or of the way into an authority and out of its bundle, are done: each is the remedy of
/// the finding before it.
const IN_STEPS: &[&str] = &[
    "authority/nearly-full",
    "authority/rotation-unfinished",
    "client-ca/external",
    "client-ca/no-key-usage",
];

/// What a remedy leaves, of the same fault or of another one that it hid: the finding, the ones that may follow, and why.
const LEAVES: &[(&str, &[&str], &str)] = &[
    (
        "ingress/type",
        &["ingress/no-address"],
        "a load balancer gets its address later",
    ),
    (
        "server-certificate/name-too-long",
        &["server-certificate/issuer-failed"],
        "the issuer tries again later",
    ),
    (
        "service/missing",
        &["route/none"],
        "the Gateway stays without a route",
    ),
    (
        "route/subset",
        &["service/no-endpoints"],
        "no Pod has the labels of the subset",
    ),
    (
        "client-ca/external",
        &["allow-list/nobody"],
        "the list names clients of the removed CA only",
    ),
    (
        "client-ca/not-the-authoritys",
        &["client-ca/crl-missing"],
        "the authority itself lacks a list, which its Secret hid",
    ),
];

/// No remedy takes more steps.
const MOST_STEPS: usize = 8;

/// What the remedy of a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Commands that change something, all of which were run.
    Changed,
    /// A command that shows or opens something that is there.
    Shown,
    /// Words, or a command for something that the cluster in memory has not.
    Said,
}

/// Runs the remedy of a finding, commands of ours or of kubectl's, and asserts that no finding is left.
#[track_caller]
pub fn repaired(cluster: &mut Cluster, finding: &Finding) {
    assert_eq!(run_all(cluster, finding), Ran::Changed, "{finding:#?}");
    assert_eq!(findings(cluster), [], "after `{}`", finding.remedy);
}

/// Runs the remedy of a finding on a copy of the cluster, and asserts that a command which changes something ends the finding and makes no
/// other one.
#[track_caller]
pub fn ends(cluster: &Cluster, finding: &Finding) -> Ran {
    if NOT_PLAYED.contains(&finding.check.id) {
        count("said", finding.check.id);
        return Ran::Said;
    }
    let mut cluster = cluster.clone();
    let mut finding = finding.clone();
    let before = report(&mut cluster).findings;
    let before = before
        .iter()
        .flat_map(|one| [one].into_iter().chain(&one.consequences));
    let before: BTreeSet<&str> = before.map(|one| one.check.id).collect();
    for _ in 0..MOST_STEPS {
        let ran = run_all(&mut cluster, &finding);
        if ran != Ran::Changed {
            return ran;
        }
        let left = report(&mut cluster).findings;
        // A guard makes less of a fault that it does not end.
        let is_it =
            |left: &&Finding| left.is_same_as(&finding) && left.severity >= finding.severity;
        let next = |left: &&Finding| {
            IN_STEPS.contains(&left.check.id)
                && left.check == finding.check
                && left.remedy != finding.remedy
        };
        if let Some(next) = left.iter().find(next) {
            finding = next.clone();
            continue;
        }
        assert!(
            !left.iter().any(|left| is_it(&left)),
            "not ended by `{}`: {left:#?}",
            finding.remedy
        );
        let left_by = LEAVES.iter().filter(|(id, ..)| *id == finding.check.id);
        let expected: Vec<&str> = left_by.flat_map(|(_, ids, _)| *ids).copied().collect();
        let is_new =
            |left: &&Finding| !before.contains(left.check.id) && !expected.contains(&left.check.id);
        assert_eq!(
            left.iter().find(is_new),
            None,
            "made by `{}`",
            finding.remedy
        );
        return ran;
    }
    panic!("not ended after {MOST_STEPS} steps: {finding:#?}");
}

/// Runs the commands of a remedy, one after the other.
#[track_caller]
fn run_all(cluster: &mut Cluster, finding: &Finding) -> Ran {
    // Where words stand before a command, it stands in backticks.
    let remedy = finding.remedy.split('`').nth(1).unwrap_or(&finding.remedy);
    let rejected = rejected(cluster);
    let mut shell = Shell::default();
    for command in remedy.split(" && ") {
        let ran = shell.run(cluster, command, &finding.seen);
        let what = match ran {
            Ran::Changed => continue,
            Ran::Shown => "shown",
            Ran::Said => "said",
        };
        count(what, finding.check.id);
        return ran;
    }
    cluster.act();
    take_renewed(cluster, &rejected);
    cluster.load();
    count("remedy", finding.check.id);
    Ran::Changed
}

/// What the proxies reject, with the data of it.
fn rejected(cluster: &Cluster) -> Vec<(String, Value)> {
    let names = cluster.proxies.rejected_secrets.iter();
    let data = |name: &String| {
        let name = name.rsplit('/').next().unwrap();
        let mut objects = cluster.objects.values();
        let object = objects.find(|object| object.name() == name && object.at(&["data"]).is_some());
        object.unwrap().body()["data"].clone()
    };
    names.map(|name| (name.clone(), data(name))).collect()
}

/// The proxies take what was written anew since they rejected it.
fn take_renewed(cluster: &mut Cluster, before: &[(String, Value)]) {
    let now: BTreeMap<String, Value> = rejected(cluster).into_iter().collect();
    for (name, data) in before {
        if now.get(name).is_some_and(|now| now != data) {
            let proxies = &mut cluster.proxies;
            proxies.rejected_secrets.remove(name);
            proxies.listener_error = None;
            proxies.rejecting.clear();
        }
    }
}

/// Somebody at a shell, and the files that the commands so far have written.
#[derive(Default)]
struct Shell {
    files: BTreeMap<String, Value>,
}

impl Shell {
    /// Runs one command.
    #[track_caller]
    fn run(&mut self, cluster: &mut Cluster, command: &str, seen: &str) -> Ran {
        let words = shell::words(command);
        let words: Vec<&str> = words.iter().map(|word| known(word)).collect();
        if has_placeholder(&words) {
            return Ran::Said;
        }
        match words.as_slice() {
            ["kubectl", "mtls", own @ ..] => ours::run(cluster, own, command),
            ["kubectl", words @ ..] => self.kubectl(cluster, words, command, seen),
            _ => Ran::Said,
        }
    }
}

/// What stands for a word that only the user knows, where a test knows it too.
fn known(word: &str) -> &str {
    match word {
        "TYPE" => "cloudflare-dns",
        "CERT,KEY" => ours::FILES,
        "CERT" => ours::CERTIFICATE,
        "KEY" => ours::KEY,
        word => word,
    }
}

/// Whether a word in capitals stands for what only the user knows: a file, a type of DNS provider.
fn has_placeholder(words: &[&str]) -> bool {
    let is_one = |word: &str| {
        word.chars().any(|c| c.is_ascii_uppercase())
            && word
                .chars()
                .all(|c| c.is_ascii_uppercase() || ",:".contains(c))
    };
    let mut parts = words.iter().flat_map(|word| word.split('/'));
    parts.any(is_one)
}
