//! What each command does without each single one of its rights: without a required one it refuses and names it, without an
//! optional one it goes on and says what it did not do. All of it in `cargo soak`, a sample with the other tests.

use std::collections::BTreeMap;

use kubectl_mtls::resources::names::CredentialNames;
use kubectl_mtls::resources::permissions::{
    Access, Permission, Permissions, Place, Role, Scope, roles,
};
use sandbox::{Rule, User};
use serde_json::json;

use crate::lab::Run;
use crate::shop::unmove;
use crate::situations::{lag_behind, lose, others_ca, set_up_by_hand, unbooked, used};
use crate::stage::{NAMESPACE, SERVICE, Stage};

/// A command in a situation that needs some of its rights.
struct Scene {
    command: &'static str,
    arguments: &'static [&'static str],
    situation: Situation,
    /// The exit code with all rights.
    code: i32,
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

/// What stands before a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    Nothing,
    /// `alice` has a certificate, and no Gateway stands.
    Issued,
    /// A host, and `alice`.
    Exposed,
    /// The same for a command that leaves it as good as it was: it is made once.
    Standing,
    /// The host lets in `alice` only.
    Allowed,
    SwitchedOff,
    DnsEntry,
    Earlier,
    EarlierAndBehind,
    ByHand,
    Unbooked,
    Rotating,
    AuthorityLost,
    WitnessLost,
    CaOfOthers,
    /// The credentials of a domain stand.
    Domain,
}

/// The first scene of a command is its usual run. `{ca}`, `{dave}` and `{host}` stand for what a situation makes.
const SCENES: &[Scene] = &[
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
    scene("expose", &[SERVICE, "--inject"], Situation::Exposed),
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
    scene("register-domain", &DOMAIN, Situation::Nothing),
    scene("register-domain", &DOMAIN, Situation::Domain),
];

const DOMAIN: [&str; 5] = [
    "a.example.com",
    "--provider",
    "cloudflare-dns",
    "--from-file",
    "{token}",
];

impl Situation {
    fn make(self, stage: &Stage) {
        let run = |arguments: &[&str]| {
            stage.desk.run(arguments).exits(0);
        };
        let exposed = || {
            run(&["expose", SERVICE]);
            run(&["issue-client", "alice", "--force"]);
        };
        stage.clear();
        if self == Self::ByHand {
            return set_up_by_hand(stage);
        }
        if self == Self::CaOfOthers {
            return run(&["expose", SERVICE, "--client-ca", &others_ca(stage)]);
        }
        match self {
            Self::Nothing | Self::Domain | Self::ByHand | Self::CaOfOthers => {}
            Self::Issued => run(&["issue-client", "alice", "--force"]),
            _ => exposed(),
        }
        match self {
            Self::Allowed => run(&["expose", SERVICE, "--allow", "alice"]),
            Self::DnsEntry => run(&["expose", SERVICE, "--dns-entry"]),
            Self::Rotating => run(&["ca-rotate"]),
            Self::AuthorityLost => lose(stage, "kubectl-mtls", "kyma-mtls"),
            Self::WitnessLost => lose(stage, "kubectl-mtls-clients", "authority-kyma-mtls"),
            Self::Earlier => {
                unmove(&stage.desk, "kyma-mtls");
            }
            Self::EarlierAndBehind => {
                let secret = unmove(&stage.desk, "kyma-mtls");
                lag_behind(stage, &secret);
            }
            Self::SwitchedOff => {
                run(&["expose", SERVICE, "--allow", "alice"]);
                let kind = "authorizationpolicies.security.istio.io";
                let dry = ["annotate", kind, "--all", "istio.io/dry-run=true"];
                stage
                    .desk
                    .kubectl(&[&["-n", "istio-system"], &dry[..]].concat(), "");
            }
            _ => {}
        }
        if matches!(self, Self::Nothing | Self::Domain) {
            let made = "dnsproviders,secrets";
            let delete = ["-n", NAMESPACE, "delete", made, "--all", "--wait=false"];
            stage.desk.kubectl(&delete, "");
        }
        if self == Self::Domain {
            let token = stage.desk.folder.path().join("token");
            std::fs::write(&token, "first").unwrap();
            let from_file = token.display().to_string();
            let [words @ .., _] = DOMAIN;
            run(&[&["register-domain"], &words[..], &[&from_file]].concat());
            std::fs::write(&token, "second").unwrap();
        }
    }
}

impl Scene {
    fn run(&self, stage: &Stage, user: &User, at_the_balancer: bool) -> Run {
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

    fn title(&self) -> String {
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

/// One verb of one permission.
#[derive(Debug, Clone)]
struct Right {
    permission: Permission,
    verb: String,
}

impl Right {
    /// As a rule of its own.
    fn rule(&self) -> Rule {
        let mut rules = rules(std::slice::from_ref(&self.alone()));
        assert_eq!(rules.len(), 1, "{self:?}");
        rules.remove(0)
    }

    fn alone(&self) -> Permission {
        let mut alone = self.permission.clone();
        alone.verbs = vec![self.verb.clone()];
        alone
    }

    fn describe(&self) -> String {
        let rule = self.rule();
        let place = rule.namespace.unwrap_or_else(|| "all".to_owned());
        let resource = self.permission.qualified_resource();
        format!("{} {resource} in {place}", self.verb)
    }
}

fn with_place<T>(work: impl FnOnce(&Place<'_>) -> T) -> T {
    let names = CredentialNames::first();
    work(&Place {
        namespace: Some(NAMESPACE),
        ingress: "istio-system",
        prunes: true,
        gateway: None,
        services: &[SERVICE.to_owned(), "nothing".to_owned()],
        provider: Some("a-example-com"),
        names: &names,
    })
}

fn rules(permissions: &[Permission]) -> Vec<Rule> {
    let roles = with_place(|place| roles("test", permissions, place));
    let of_role = |role: &Role| {
        let value = json!(role.rules);
        let namespace = match &role.scope {
            Scope::Namespace(name) => Some(name.clone()),
            _ => None,
        };
        let texts = |value: &serde_json::Value| -> Vec<String> {
            let texts = value.as_array().into_iter().flatten();
            texts
                .map(|text| text.as_str().unwrap().to_owned())
                .collect()
        };
        let rules = value.as_array().unwrap().iter();
        rules
            .map(|rule| Rule {
                namespace: namespace.clone(),
                group: rule["apiGroups"][0].as_str().unwrap().to_owned(),
                resources: texts(&rule["resources"]),
                names: texts(&rule["resourceNames"]),
                verbs: texts(&rule["verbs"]),
            })
            .collect::<Vec<_>>()
    };
    roles.iter().flat_map(of_role).collect()
}

/// All permissions but those that allow any of what a right allows.
fn without(permissions: &[Permission], right: &Right) -> Vec<Permission> {
    let denied = with_place(|place| place.accesses(&right.alone()));
    let covers = |wide: &Access, narrow: &Access| {
        (wide.namespace.is_empty() || wide.namespace == narrow.namespace)
            && (wide.name.is_empty() || narrow.name.is_empty() || wide.name == narrow.name)
            && (&wide.group, &wide.resource) == (&narrow.group, &narrow.resource)
    };
    let left = |permission: &Permission| {
        let mut left = permission.clone();
        left.verbs.retain(|verb| {
            let one = Right {
                permission: permission.clone(),
                verb: verb.clone(),
            };
            let given = with_place(|place| place.accesses(&one.alone()));
            *verb != right.verb
                || !given
                    .iter()
                    .any(|wide| denied.iter().any(|narrow| covers(wide, narrow)))
        });
        left
    };
    let left = permissions.iter().map(left);
    left.filter(|one| !one.verbs.is_empty()).collect()
}

/// What became of one run without one right.
struct Cell {
    scene: String,
    right: String,
    is_required: bool,
    outcome: String,
    fault: Option<String>,
}

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Each right in the first situation that uses it.
    All,
    /// One right in so many, of the usual run only.
    OneIn(usize),
}

/// Runs the matrix of these commands, prints it, and fails where a command did not do as `plugin.yaml` says.
#[expect(clippy::print_stdout, reason = "the table is a result")]
pub(crate) fn matrix(stage: &Stage, commands: &[&str], extent: Extent) {
    let all = Permissions::load().unwrap();
    let mut wrong = Vec::new();
    for command in commands {
        let permissions = all.of(command).unwrap();
        let (cells, unused) = of_command(stage, command, permissions, extent);
        let count = |required: bool| {
            let of_kind = cells.iter().filter(|cell| cell.is_required == required);
            of_kind.count()
        };
        println!(
            "\n{command}: {} required and {} optional rights taken away, {} in no situation here",
            count(true),
            count(false),
            unused.len()
        );
        for cell in &cells {
            let need = if cell.is_required {
                "required"
            } else {
                "optional"
            };
            println!(
                "{} | {} | {need} | {}",
                cell.scene, cell.right, cell.outcome
            );
            wrong.extend(
                cell.fault
                    .iter()
                    .map(|fault| format!("{} without {}: {fault}", cell.scene, cell.right)),
            );
        }
        for right in unused {
            println!("{command} | {right} | optional | in no situation here");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The cells of a command, and the rights that no situation uses.
fn of_command(
    stage: &Stage,
    command: &str,
    permissions: &[Permission],
    extent: Extent,
) -> (Vec<Cell>, Vec<String>) {
    let instance = stage.desk.instance;
    let full = instance.user(&rules(permissions)).unwrap();
    let mut rights: Vec<Right> = Vec::new();
    for permission in permissions {
        rights.extend(permission.verbs.iter().map(|verb| Right {
            permission: permission.clone(),
            verb: verb.clone(),
        }));
    }
    // The first scene that uses a right, and what its run said.
    let mut scene_of: BTreeMap<usize, (&Scene, String)> = BTreeMap::new();
    let mut scenes: Vec<&Scene> = SCENES
        .iter()
        .filter(|scene| scene.command == command)
        .collect();
    if extent != Extent::All {
        scenes.truncate(1);
    }
    for scene in scenes {
        scene.situation.make(stage);
        let mark = instance.audit_mark().unwrap();
        let run = scene.run(stage, &full, false).exits(scene.code);
        let events = instance.audit_log_of(&full.name, mark).unwrap();
        for (number, right) in rights.iter().enumerate() {
            let rule = right.rule();
            if events.iter().any(|event| used(&rule, &right.verb, event)) {
                let said = || (scene, format!("{}{}", run.stdout, run.stderr));
                scene_of.entry(number).or_insert_with(said);
            }
        }
    }
    let mut cells = Vec::new();
    let mut unused = Vec::new();
    let mut standing: Option<&Scene> = None;
    for (number, right) in rights.iter().enumerate() {
        let Some((scene, usual)) = scene_of.get(&number) else {
            unused.push(right.describe());
            continue;
        };
        if matches!(extent, Extent::OneIn(step) if number % step != 0) {
            continue;
        }
        let stands = scene.situation == Situation::Standing
            && standing.is_some_and(|before| before.situation == Situation::Standing);
        if !stands {
            scene.situation.make(stage);
        }
        standing = Some(scene);
        cells.push(cell(stage, scene, right, permissions, usual));
    }
    (cells, unused)
}

/// The ways to the proxies: without one of them, `--connect-to` is the other way.
fn is_a_way(right: &Right) -> bool {
    let resource = right.permission.resource.as_str();
    let names = &right.permission.names;
    resource.starts_with("pods") || names.iter().any(|name| name == "istio-ingressgateway")
}

fn cell(
    stage: &Stage,
    scene: &Scene,
    right: &Right,
    permissions: &[Permission],
    usual: &str,
) -> Cell {
    let instance = stage.desk.instance;
    let user = instance.user(&rules(&without(permissions, right))).unwrap();
    let run = scene.run(stage, &user, is_a_way(right));
    let said = format!("{}{}", run.stdout, run.stderr);
    let resource = right.permission.qualified_resource();
    let place = match right.rule().namespace {
        Some(namespace) => format!("in the namespace `{namespace}`"),
        None => "cluster-wide".to_owned(),
    };
    let denial = format!("`{}` `{resource}` {place}", right.verb);
    let names_it = said.contains(&denial);
    let is_refusal = run.code == 2 && scene.code != 2;
    let new = said
        .lines()
        .map(str::trim)
        .filter(|line| !usual.contains(line) && !line.is_empty());
    let told = new
        .clone()
        .find(|line| line.contains(&resource) || line.contains("may not"))
        .or_else(|| {
            new.clone().find(|line| {
                line.contains("could not")
                    || line.contains("not checked")
                    || line.contains("unknown")
            })
        })
        .or_else(|| new.clone().next())
        .unwrap_or("(nothing different)");
    let told: String = told.chars().take(160).collect();
    let goes_on = if run.code == 2 { "refuses" } else { "goes on" };
    let fault = if right.permission.required {
        let says_roles = format!("`kubectl mtls rbac {}` prints the Roles", scene.command);
        let is_right = run.code == 2 && names_it && said.contains(&says_roles);
        (!is_right).then(|| format!("no refusal that names it: {run:#?}"))
    } else if is_refusal {
        // What only a flag asks for cannot be done without the right.
        let is_right = (right.permission.flag.is_some() || scene.arguments.len() > 1) && names_it;
        (!is_right).then(|| format!("refuses, or does not name it: {run:#?}"))
    } else {
        let is_right = run.code == scene.code || (scene.command == "status" && run.code == 1);
        (!is_right).then(|| format!("exit code {}: {run:#?}", run.code))
    };
    Cell {
        scene: scene.title(),
        right: right.describe(),
        is_required: right.permission.required,
        outcome: format!("{goes_on} ({}): {told}", run.code),
        fault,
    }
}

#[test]
fn a_sample_of_the_rights_is_refused_by_name_or_done_without_and_said() {
    let stage = crate::stage::stage();
    let commands = [
        "expose",
        "unexpose",
        "issue-client",
        "list-clients",
        "revoke-client",
        "status",
    ];
    matrix(&stage, &commands, Extent::OneIn(7));
}
