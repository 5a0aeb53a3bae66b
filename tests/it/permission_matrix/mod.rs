//! What each command does without each single one of its rights: without a required one it refuses and names it, without an
//! optional one it goes on and says what it did not do. All of it in `cargo soak`, a sample with the other tests.

mod rights;
mod scenes;
mod situation;

use std::collections::BTreeMap;
use std::fmt;

use kubectl_mtls::resources::permissions::{Permission, Permissions};
use sandbox::Rule;

use crate::lab::Run;
use crate::stage::Stage;

use self::rights::{Right, is_a_way, needed, rules, without};
use self::scenes::{SCENES, Scene};
use self::situation::Situation;

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
    situation::restore(stage);
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

/// Rights to read and to tell without which a run is as good as with them: the command, or any; the resource; the name, any, or `*` for
/// a right to all.
const SILENT: [(&str, &str, &str); 9] = [
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
    // A Certificate of Gardener's fills the Secret, and so none of cert-manager's does.
    ("status", "certificates.cert-manager.io", ""),
    // The entries of a name are in the whole inventory too, which only takes longer.
    ("list-clients", "configmaps", "*"),
    // It only tells how a sample is removed.
    ("unexpose", "services", ""),
];

fn is_silent(command: &str, right: &Right) -> bool {
    let is_any = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
    let permission = &right.permission;
    SILENT.iter().any(|(of, resource, name)| {
        let is_named = match *name {
            "*" => permission.names.is_empty(),
            name => name.is_empty() || permission.names == [name],
        };
        let is_of =
            permission.resource == *resource || permission.qualified_resource() == *resource;
        is_any(of, command) && is_of && is_named
    })
}

/// What a run says, with single blanks: lines are as long as a terminal is wide.
fn unwrapped(run: &Run) -> String {
    let all = format!("{} {}", run.stdout, run.stderr);
    all.split_whitespace().collect::<Vec<_>>().join(" ")
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
    matrix(&stage, &commands, Extent::OneIn(11));
}
