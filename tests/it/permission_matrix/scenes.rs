//! The commands that are run, each in situations that together need all of its rights.

use sandbox::User;

use crate::lab::Run;
use crate::situations::{others_ca, unbooked};
use crate::stage::{SERVICE, Stage};

use super::situation::{DOMAIN, Situation};

/// A command in a situation that needs some of its rights.
pub(super) struct Scene {
    pub(super) command: &'static str,
    arguments: &'static [&'static str],
    pub(super) situation: Situation,
    /// The exit code with all rights.
    pub(super) code: i32,
}

const fn scene(
    command: &'static str,
    arguments: &'static [&'static str],
    situation: Situation,
) -> Scene {
    Scene {
        command,
        arguments,
        situation,
        code: 0,
    }
}

/// The same where a command refuses even with all rights.
const fn refused(
    command: &'static str,
    arguments: &'static [&'static str],
    situation: Situation,
) -> Scene {
    Scene {
        code: 2,
        ..scene(command, arguments, situation)
    }
}

/// The first scene of a command is its usual run. `{ca}`, `{dave}` and `{host}` stand for what a situation makes.
pub(super) const SCENES: &[Scene] = &[
    scene("expose", &[SERVICE], Situation::Nothing),
    scene("expose", &[SERVICE], Situation::Issued),
    scene("expose", &[SERVICE, "--allow", "alice"], Situation::Exposed),
    scene("expose", &[SERVICE, "--allow-any"], Situation::Allowed),
    scene("expose", &[SERVICE], Situation::SwitchedOff),
    scene("expose", &[SERVICE, "--dns-entry"], Situation::Exposed),
    scene(
        "expose",
        &[SERVICE, "--dns-entry=false"],
        Situation::DnsEntry,
    ),
    scene("expose", &[SERVICE], Situation::Earlier),
    scene("expose", &[SERVICE, "--fail-closed"], Situation::ByHand),
    scene(
        "expose",
        &[SERVICE, "--client-ca", "{ca}"],
        Situation::Nothing,
    ),
    scene("expose", &[SERVICE], Situation::Selecting),
    scene(
        "expose",
        &["--sample", "--inject", "--no-wait"],
        Situation::Bare,
    ),
    scene(
        "expose",
        &[SERVICE, "--server-certificate", "self-signed"],
        Situation::Unissued,
    ),
    refused("expose", &["nothing"], Situation::Nothing),
    refused(
        "expose",
        &[SERVICE, "--domain", "nobodys.example.net"],
        Situation::Nothing,
    ),
    refused(
        "expose",
        &[SERVICE, "--selector", "istio=private"],
        Situation::Nothing,
    ),
    scene("unexpose", &[SERVICE], Situation::Allowed),
    scene("unexpose", &[SERVICE, "--gateway-too"], Situation::Exposed),
    scene(
        "unexpose",
        &[SERVICE, "--purge", "--yes"],
        Situation::Exposed,
    ),
    scene("issue-client", &["alice", "--another"], Situation::Standing),
    scene(
        "issue-client",
        &["alice", "--another", "--uri", "urn:alice"],
        Situation::Standing,
    ),
    scene("issue-client", &["alice"], Situation::Nothing),
    scene(
        "issue-client",
        &["alice", "--another", "--gateway", "kyma-mtls-gateway"],
        Situation::Standing,
    ),
    scene(
        "issue-client",
        &["alice", "--another", "--host", "{host}"],
        Situation::Standing,
    ),
    scene(
        "issue-client",
        &["alice", "--another"],
        Situation::EarlierAndBehind,
    ),
    scene("renew-client", &["alice"], Situation::Standing),
    scene(
        "renew-client",
        &["alice", "--gateway", "kyma-mtls-gateway"],
        Situation::Standing,
    ),
    scene(
        "renew-client",
        &["alice", "--host", "{host}"],
        Situation::Standing,
    ),
    scene(
        "renew-client",
        &["--expiring-within", "1000d", "--out", "renewed"],
        Situation::Exposed,
    ),
    scene("renew-client", &["alice"], Situation::EarlierAndBehind),
    scene("list-clients", &[], Situation::Standing),
    scene(
        "list-clients",
        &["--gateway", "kyma-mtls-gateway"],
        Situation::Standing,
    ),
    scene("list-clients", &["--host", "{host}"], Situation::Standing),
    scene("list-clients", &["--prune"], Situation::Ended),
    scene("revoke-client", &["alice"], Situation::Exposed),
    scene(
        "revoke-client",
        &["--certificate", "{dave}"],
        Situation::Unbooked,
    ),
    scene(
        "revoke-client",
        &["alice", "--close-connections"],
        Situation::Exposed,
    ),
    scene("revoke-client", &["alice"], Situation::EarlierAndBehind),
    scene("ca-rotate", &["--finish", "--force"], Situation::Rotating),
    scene("ca-rotate", &[], Situation::Exposed),
    scene(
        "ca-rotate",
        &["--restore", "--accept-loss"],
        Situation::AuthorityLost,
    ),
    scene("ca-rotate", &["--accept-inventory"], Situation::WitnessLost),
    scene("ca-rotate", &[], Situation::CaOfOthers),
    scene("status", &[], Situation::Standing),
    Scene {
        code: 1,
        ..scene("status", &[], Situation::SelectingLater)
    },
    scene("register-domain", &DOMAIN, Situation::Nothing),
    scene("register-domain", &DOMAIN, Situation::Domain),
];

impl Scene {
    pub(super) fn run(&self, stage: &Stage, user: &User, at_the_balancer: bool) -> Run {
        let dave = || unbooked(stage);
        let host = format!("{SERVICE}.mtls.{}", stage.desk.instance.domain());
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|argument| match *argument {
                "{ca}" => others_ca(stage),
                "{dave}" => dave(),
                "{host}" => host.clone(),
                "{token}" => {
                    let token = stage.desk.folder.path().join("token");
                    if !token.exists() {
                        std::fs::write(&token, "first").unwrap();
                    }
                    token.display().to_string()
                }
                plain => plain.to_owned(),
            })
            .collect();
        let mut words = vec![self.command];
        words.extend(arguments.iter().map(String::as_str));
        let desk = stage.desk.with_kubeconfig(&user.kubeconfig);
        let desk = if at_the_balancer {
            desk.at_the_balancer()
        } else {
            desk
        };
        desk.run(&words)
    }

    /// Whether it is the first of its command.
    pub(super) fn is_usual(&self) -> bool {
        let mut scenes = SCENES.iter();
        let first = scenes.find(|scene| scene.command == self.command);
        first.is_some_and(|first| std::ptr::eq(first, self))
    }

    pub(super) fn title(&self) -> String {
        let words: Vec<&str> = self
            .arguments
            .iter()
            .copied()
            .filter(|word| word.starts_with("--"))
            .collect();
        format!("{} {}", self.command, words.join(" "))
            .trim_end()
            .to_owned()
    }
}
