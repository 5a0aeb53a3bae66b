//! What each command does without each single one of its rights: without a required one it refuses and names it, without an
//! optional one it goes on and says what it did not do. All of it in `cargo soak`, a sample with the other tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use kubectl_mtls::resources::names::CredentialNames;
use kubectl_mtls::resources::permissions::{
    Access, Permission, Permissions, Place, Role, Scope, roles,
};
use sandbox::{AuditEvent, Rule, User};
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
    /// istiod is said to see labelled namespaces only.
    Selecting,
    /// The same since a host was exposed.
    SelectingLater,
    /// No Service stands, and the namespace says nothing of sidecars.
    Bare,
    /// The default issuer issues for another domain only, and a Certificate waits for it.
    Unissued,
    /// A certificate of `alice` ended a year ago.
    Ended,
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
        restore(stage);
        stage.clear();
        if self == Self::ByHand {
            return set_up_by_hand(stage);
        }
        if self == Self::CaOfOthers {
            return run(&["expose", SERVICE, "--client-ca", &others_ca(stage)]);
        }
        match self {
            Self::Nothing
            | Self::Domain
            | Self::ByHand
            | Self::CaOfOthers
            | Self::Selecting
            | Self::Bare
            | Self::Unissued => {}
            Self::Issued => run(&["issue-client", "alice", "--force"]),
            _ => exposed(),
        }
        match self {
            Self::Allowed => run(&["expose", SERVICE, "--allow", "alice"]),
            Self::DnsEntry => run(&["expose", SERVICE, "--dns-entry"]),
            Self::Rotating => run(&["ca-rotate"]),
            Self::AuthorityLost => lose(stage, "kubectl-mtls", "kyma-mtls"),
            Self::WitnessLost => lose(stage, "kubectl-mtls-clients", "authority-kyma-mtls"),
            Self::Selecting | Self::SelectingLater => select_namespaces(stage),
            Self::Bare => undeploy(stage),
            Self::Unissued => {
                let certificates = stage.desk.instance.stand_ins().certificates();
                certificates.restrict_default_issuer(["nowhere.example.org"]);
                stage.desk.run(&["expose", SERVICE]).exits(2);
            }
            Self::Ended => ended(stage),
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

/// A ConfigMap with a mesh configuration; the one of the stage goes by a file.
fn select_namespaces(stage: &Stage) {
    let mesh = "discoverySelectors: [{matchLabels: {mesh: seen}}]";
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh},
    });
    stage.desk.instance.create(vec![config]).unwrap();
}

/// Whether the Service of the stage is gone, or another one has its name.
static UNDEPLOYED: AtomicBool = AtomicBool::new(false);

fn undeploy(stage: &Stage) {
    UNDEPLOYED.store(true, Ordering::Relaxed);
    let kubectl = |arguments: &[&str]| stage.desk.kubectl(arguments, "");
    kubectl(&["-n", NAMESPACE, "delete", "service", SERVICE]);
    kubectl(&["label", "namespace", NAMESPACE, "istio-injection-"]);
}

/// Takes back what `Stage::clear` knows nothing of.
fn restore(stage: &Stage) {
    let kubectl = |arguments: &[&str]| stage.desk.kubectl(arguments, "");
    let config = ["delete", "configmap", "istio", "--ignore-not-found"];
    kubectl(&[&["-n", "istio-system"], &config[..]].concat());
    kubectl(&["label", "namespace", "kubectl-mtls", "mesh-"]);
    if UNDEPLOYED.swap(false, Ordering::Relaxed) {
        let sample = "services,serviceaccounts,deployments";
        let delete = ["delete", sample, SERVICE, "--ignore-not-found"];
        kubectl(&[&["-n", NAMESPACE], &delete[..]].concat());
        let label = "istio-injection=enabled";
        kubectl(&["label", "--overwrite", "namespace", NAMESPACE, label]);
        stage.desk.instance.deploy_echo(NAMESPACE, SERVICE).unwrap();
    }
    // The note of a removal that did not end.
    let note = ["delete", "configmap", "httpbin-mtls", "--ignore-not-found"];
    kubectl(&[&["-n", NAMESPACE], &note[..]].concat());
    let certificates = stage.desk.instance.stand_ins().certificates();
    certificates.restrict_default_issuer(Vec::<String>::new());
}

/// Lets the second certificate of `alice` have ended a year ago.
fn ended(stage: &Stage) {
    let another = ["issue-client", "alice", "--another", "--force"];
    stage.desk.run(&another).exits(0);
    let inventory = ["-n", "kubectl-mtls-clients"];
    let get = ["get", "configmaps", "-o", "name"];
    let names = stage.desk.kubectl(&[&inventory[..], &get].concat(), "");
    let second = names.lines().find(|name| name.ends_with("-2")).unwrap();
    let ended = "kubectl-mtls.dev/not-after=2025-01-01T00:00:00Z";
    let annotate = ["annotate", "--overwrite", second, ended];
    stage
        .desk
        .kubectl(&[&inventory[..], &annotate].concat(), "");
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

    /// Whether it is the first of its command.
    fn is_usual(&self) -> bool {
        let mut scenes = SCENES.iter();
        let first = scenes.find(|scene| scene.command == self.command);
        first.is_some_and(|first| std::ptr::eq(first, self))
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
        istiod: "istio-system",
        revisions: &[],
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

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let need = if self.is_required {
            "required"
        } else {
            "optional"
        };
        let (scene, right) = (&self.scene, &self.right);
        write!(f, "{scene} | {right} | {need} | {}", self.outcome)
    }
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
            wrong.extend(
                cell.fault
                    .iter()
                    .map(|fault| format!("{} without {}: {fault}", cell.scene, cell.right)),
            );
        }
        for right in unused.iter().filter(|_| extent == Extent::All) {
            println!("{command} | {right} | optional | in no situation here");
        }
    }
    restore(stage);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The cells of a command, and the rights that no situation uses.
#[expect(clippy::print_stdout, reason = "the table is a result")]
fn of_command(
    stage: &Stage,
    command: &str,
    permissions: &[Permission],
    extent: Extent,
) -> (Vec<Cell>, Vec<String>) {
    let instance = &stage.desk.instance;
    let full = instance.user(&rules(permissions)).unwrap();
    let mut rights: Vec<Right> = Vec::new();
    for permission in permissions {
        rights.extend(permission.verbs.iter().map(|verb| Right {
            permission: permission.clone(),
            verb: verb.clone(),
        }));
    }
    let own: Vec<Rule> = rights.iter().map(Right::rule).collect();
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
            let made = |event| needed((right, &own[number]), &rights, &own, event);
            if events.iter().any(made) {
                let said = || (scene, unwrapped(&run));
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
        let cell = cell(stage, scene, right, permissions, usual);
        println!("{cell}");
        cells.push(cell);
    }
    (cells, unused)
}

/// How a command says that it did something another way, or not, without naming the right.
const OTHER_WORDS: [&str; 5] = [
    "may not be listed",
    "replicas were not checked one by one",
    "replicas could not be checked one by one",
    "not checked",
    "could not be",
];

/// Rights to read and to tell without which a run is as good as with them: the command, or any; the resource; the name, or any.
const SILENT: [(&str, &str, &str); 7] = [
    // The change itself says who made it, where that is known.
    ("", "events", ""),
    ("", "selfsubjectreviews", ""),
    // It tells why a write failed, and it did not.
    ("", "namespaces", ""),
    // Without the question nothing is read that must not be.
    ("status", "selfsubjectaccessreviews", ""),
    // They explain a Service without Pods, and a DNSEntry that nobody serves.
    ("status", "workloadentries", ""),
    ("status", "configmaps", "shoot-info"),
    // It only tells how a sample is removed.
    ("unexpose", "services", ""),
];

fn is_silent(command: &str, right: &Right) -> bool {
    let is_any = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
    let permission = &right.permission;
    SILENT.iter().any(|(of, resource, name)| {
        let is_named = name.is_empty() || permission.names == [*name];
        is_any(of, command) && permission.resource == *resource && is_named
    })
}

/// What a run says, with single blanks: lines are as long as a terminal is wide.
fn unwrapped(run: &Run) -> String {
    let all = format!("{} {}", run.stdout, run.stderr);
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a request was made by a right, and not by one of these that is for its namespace only.
fn needed(
    (right, rule): (&Right, &Rule),
    rights: &[Right],
    rules: &[Rule],
    event: &AuditEvent,
) -> bool {
    let is_narrower = |(other, own): &(&Right, &Rule)| {
        other.verb == right.verb && own.namespace.is_some() && used(own, &other.verb, event)
    };
    used(rule, &right.verb, event)
        && (rule.namespace.is_some() || !rights.iter().zip(rules).any(|other| is_narrower(&other)))
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
    let instance = &stage.desk.instance;
    let user = instance.user(&rules(&without(permissions, right))).unwrap();
    let run = scene.run(stage, &user, is_a_way(right));
    let said = unwrapped(&run);
    let resource = right.permission.qualified_resource();
    let place = match right.rule().namespace {
        Some(namespace) => format!("in the namespace `{namespace}`"),
        None => "cluster-wide".to_owned(),
    };
    let denial = format!("you may not `{}` `{resource}` {place}", right.verb);
    let names_it = said.contains(&denial);
    let told = [denial.as_str()]
        .into_iter()
        .chain(OTHER_WORDS)
        .find(|words| said.contains(words) && !usual.contains(words));
    let is_refusal = run.code == 2 && scene.code != 2;
    let fault = if right.permission.required {
        let says_roles = format!("`kubectl mtls rbac {}` prints the Roles", scene.command);
        let is_right = run.code == 2 && names_it && said.contains(&says_roles);
        (!is_right).then(|| format!("no refusal that names it: {run:#?}"))
    } else if is_refusal {
        // The usual run of a command needs no optional right.
        let is_right = !scene.is_usual() && names_it;
        (!is_right).then(|| format!("refuses, or does not name it: {run:#?}"))
    } else {
        let code = run.code == scene.code || (scene.command == "status" && run.code == 1);
        let is_right = code && (told.is_some() || is_silent(scene.command, right));
        (!is_right).then(|| format!("says nothing of it, or ends otherwise: {run:#?}"))
    };
    let outcome = match (is_refusal || right.permission.required, told) {
        (true, Some(words)) => format!("exit code {}: {words}", run.code),
        (false, Some(words)) => format!("goes on ({}): {words}", run.code),
        (_, None) => format!("goes on ({}), nothing is lost", run.code),
    };
    Cell {
        scene: scene.title(),
        right: right.describe(),
        is_required: right.permission.required,
        outcome,
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
