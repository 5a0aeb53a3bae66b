//! `kubectl mtls rbac` with the flags of this run, for messages.

use super::Args;
use crate::plan::rights::Report;
use crate::resources::names::{FIRST_AUTHORITY, INGRESS_NAMESPACE, ISTIO_NAMESPACE};
use crate::resources::permissions::Subject;

/// The command that prints the checked Roles, bound to the user; it names only the commands that lack something, or the role.
pub(super) fn same_command(args: &Args, commands: &[&str], report: &Report) -> String {
    let user = report.user.as_deref().map(Subject::of_user);
    let subject = user.map_or_else(|| SOMEBODY.to_owned(), |user| word(&user));
    let namespace = Some(report.namespace.as_str());
    line(args, commands, namespace, &[("--to", &subject)])
}

/// The command with a flag that it lacks.
pub(super) fn completed(args: &Args, namespace: Option<&str>, flag: &str) -> String {
    let commands: Vec<&str> = args.commands.iter().map(String::as_str).collect();
    let subjects: Vec<String> = args.to.iter().map(word).collect();
    let subjects = subjects.join(",");
    let mut further = Vec::new();
    if args.check {
        further.push(("--check", ""));
    }
    if !subjects.is_empty() {
        further.push(("--to", subjects.as_str()));
    }
    if flag == "--service" && namespace.is_none() {
        // The names of guards hold that of the namespace.
        further.push(("-n", "NAMESPACE"));
    }
    further.push(match flag {
        "--namespace" => ("-n", "NAMESPACE"),
        "--service" => (flag, "SERVICE"),
        "--domain" => (flag, "DOMAIN"),
        _ => (flag, ""),
    });
    line(args, &commands, namespace, &further)
}

/// The command for these commands, with the flags of this one that choose objects, and further ones.
fn line(
    args: &Args,
    commands: &[&str],
    namespace: Option<&str>,
    further: &[(&str, &str)],
) -> String {
    let mut words = vec!["kubectl mtls rbac".to_owned()];
    let mut flag = |name: &str, value: &str| words.push(format!("{name} {value}"));
    if let Some(role) = args.role {
        flag("--role", role.name());
    } else if !commands.is_empty() {
        flag(&commands.join(" "), "");
    }
    if let Some(namespace) = namespace {
        flag("-n", namespace);
    }
    if args.authority != FIRST_AUTHORITY {
        flag("--authority", &args.authority);
    }
    if args.shared {
        flag("--shared", "");
    }
    if !args.service.is_empty() {
        flag("--service", &args.service.join(","));
    }
    if let Some(gateway) = &args.gateway {
        flag("--gateway", gateway);
    }
    if args.ingress_namespace != [INGRESS_NAMESPACE] {
        flag("--ingress-namespace", &args.ingress_namespace.join(","));
    }
    if args.istio_namespace != ISTIO_NAMESPACE {
        flag("--istio-namespace", &args.istio_namespace);
    }
    if !args.revision.is_empty() {
        flag("--revision", &args.revision.join(","));
    }
    if let Some(domain) = &args.domain {
        flag("--domain", &domain.to_string());
    }
    if args.prune {
        flag("--prune", "");
    }
    for (name, value) in further {
        flag(name, value);
    }
    let words: Vec<&str> = words.iter().map(|word| word.trim_end()).collect();
    words.join(" ")
}

/// Stands for a subject that the reader fills in.
const SOMEBODY: &str = "user:NAME";

/// A subject as a value of `--to`, if it is one word for a shell and for that flag.
fn word(subject: &Subject) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "._:/@+-".contains(character);
    let argument = subject.argument();
    if argument.chars().all(is_plain) {
        argument
    } else {
        SOMEBODY.to_owned()
    }
}
