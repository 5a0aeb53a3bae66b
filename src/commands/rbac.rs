//! `rbac`: prints the Roles with exactly the permissions that a command needs, binds them, and checks which of them a user lacks.

mod check;
mod command;
mod user_role;

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::flags::{check_authority_name, gateway_name};
use super::names::service;
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::runtime::block_on;
use crate::io::terminal::Terminal;
use crate::output;
use crate::plan::command_line::separated;
use crate::resources::dns_provider::provider_name;
use crate::resources::domain::Domain;
use crate::resources::names::{
    CredentialNames, FIRST_AUTHORITY, GATEWAY, GatewayName, INGRESS_NAMESPACE, ISTIO_NAMESPACE,
};
use crate::resources::object_name::label;
use crate::resources::permissions::{
    Permission, Permissions, Place, Subject, bindings, left_out, role_name, roles,
};
use check::{Checked, check};
use command::{completed, same_command};
use user_role::UserRole;

const EXAMPLES: &str = "With `--to`, each user, group or ServiceAccount has bindings of its own:
a later run for another subject removes nothing.

EXAMPLES:
  Let a group issue and renew client certificates for the hosts of `shop`
    kubectl mtls rbac --role issuer -n shop --to group:support | kubectl apply -f -

  Let a pipeline expose the Services of the namespace `shop`
    kubectl mtls rbac expose -n shop --to serviceaccount:ci/deployer | kubectl apply -f -

  Which permissions do I lack?
    kubectl mtls rbac --check -n shop

  Which permissions does another user lack?
    kubectl mtls rbac --check --role issuer -n shop --as alice --as-group support

  Only one Service, and the list of the clients that may call it
    kubectl mtls rbac expose unexpose -n shop --service httpbin

  On a Gateway that another team manages
    kubectl mtls rbac expose -n shop --gateway ingress/shared

  Only the right to register one domain
    kubectl mtls rbac register-domain -n shop --domain my.example.com

  Where the ingress gateway is a Helm release in a namespace of its own
    kubectl mtls rbac expose -n shop --ingress-namespace istio-ingress

  Where istiod runs elsewhere and has a revision, as on AKS
    kubectl mtls rbac issue-client -n shop --istio-namespace aks-istio-system --revision asm-1-28

  Only the permissions that a pipeline needs to issue certificates
    kubectl mtls rbac issue-client --required-only

  Which objects a role consists of, and whether they exist
    kubectl mtls rbac --role issuer -n shop --to group:support -o name | xargs -L1 kubectl get";

/// Flags of `rbac`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each field is a flag")]
pub struct Args {
    /// The commands [default: all commands]
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,
    /// The commands of people in this role, instead of a list of commands
    #[arg(long, value_enum, value_name = "ROLE", conflicts_with = "commands")]
    role: Option<UserRole>,
    /// Bind the Roles: user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME; repeatable, or separated by commas
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    to: Vec<Subject>,
    /// Print which permissions the current user lacks, as the API server says; exit code 1 if a required one is missing
    #[arg(long, conflicts_with = "to")]
    check: bool,
    /// The authority that the subjects work with; object names depend on it
    #[arg(long, value_name = "NAME", default_value = FIRST_AUTHORITY)]
    authority: String,
    /// The Gateway reads an authority that belongs to another Gateway, as with `expose --authority`; needs `-n`
    #[arg(long)]
    shared: bool,
    /// Only these Services, with the right to change their host guards; repeatable, or separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = service)]
    service: Vec<String>,
    /// The Gateway for exposed Services: NAME in the namespace of -n, or NAMESPACE/NAME [default: kyma-mtls-gateway]
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,
    /// The namespace in which the ingress gateway's Pods run; of several, each: repeatable, or separated by commas
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',', value_parser = label, default_value = INGRESS_NAMESPACE)]
    ingress_namespace: Vec<String>,
    /// The namespace in which istiod runs, and where policies of the whole mesh are
    #[arg(long, value_name = "NAMESPACE", value_parser = label, default_value = ISTIO_NAMESPACE)]
    istio_namespace: String,
    /// The revision of istiod, where Istio was installed with one; repeatable, or separated by commas
    #[arg(long, value_name = "REVISION", value_delimiter = ',', value_parser = label)]
    revision: Vec<String>,
    /// The domain for `register-domain`
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<Domain>,
    /// Also let `list-clients --prune` remove entries of the inventory; the role `admin` always may
    #[arg(long)]
    prune: bool,
    /// Leave out optional permissions
    #[arg(long)]
    required_only: bool,
    /// Print in this form [default: yaml; with `--check`: table]
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<OutputForm>,
}

/// The output forms for manifests, and for the result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputForm {
    /// YAML, with the reason of each rule
    Yaml,
    /// JSON
    Json,
    /// Names only, as arguments of kubectl: `role.rbac.authorization.k8s.io/NAME -n NAMESPACE`
    Name,
    /// The result of `--check`, for people
    Table,
}

/// Prints the Roles without contacting a cluster; with `--check`, prints which permissions the user
/// lacks.
pub fn run(args: &Args, connection: &Connection, terminal: &Terminal) -> Result<Exit, Failure> {
    check_authority_name(&args.authority)?;
    match args.output {
        Some(OutputForm::Name) if args.check => Err(Failure::usage(
            "`-o name` prints names of Roles, and `--check` prints no Roles",
        )
        .hint("give `-o table`, `-o json` or `-o yaml`")),
        Some(OutputForm::Table) if !args.check => Err(Failure::usage(
            "`-o table` prints the result of `--check`, and cannot print Roles",
        )
        .hint("give `-o yaml`, `-o json` or `-o name`, or `--check`")),
        _ if args.check => block_on(print_check(args, connection, terminal)),
        _ => print_roles(args, connection.namespace.as_deref(), terminal),
    }
}

fn print_roles(args: &Args, namespace: Option<&str>, terminal: &Terminal) -> Result<Exit, Failure> {
    let permissions = load()?;
    let wanted = chosen(args, &permissions)?;
    let grounds = Grounds::of(args, namespace)?;
    let place = grounds.place(args, namespace);
    for (flag, without) in left_out_by_flag(&wanted, &place) {
        let completed = completed(args, namespace, flag);
        terminal.warn(&output::rbac::left_out(flag, &without, &completed));
    }
    let needed = || wanted.iter().flat_map(|(_, needed)| needed.iter().copied());
    let roles = roles(&title(args, &wanted), needed(), &place);
    if roles.is_empty() {
        terminal.note("no permissions are needed");
        return Ok(Exit::Success);
    }
    let bindings = bindings(&roles, &args.to);
    let text = match args.output {
        Some(OutputForm::Json) => output::rbac::json(&roles, &bindings)?,
        Some(OutputForm::Name) => output::rbac::names(&roles, &bindings),
        _ => output::rbac::yaml(&roles, &bindings)?,
    };
    terminal.data(&text);
    Ok(Exit::Success)
}

async fn print_check(
    args: &Args,
    connection: &Connection,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let permissions = load()?;
    let wanted = chosen(args, &permissions)?;
    let cluster = connect(connection).await?;
    let namespace = Some(cluster.namespace());
    let grounds = Grounds::of(args, namespace)?;
    let place = grounds.place(args, namespace);
    let Checked {
        report,
        unevaluated,
    } = check(&cluster, &wanted, &place).await?;
    for (flag, without) in left_out_by_flag(&wanted, &place) {
        let completed = completed(args, namespace, flag);
        terminal.note(&output::rbac::not_checked(flag, &without, &completed));
    }
    for text in unevaluated {
        terminal.warn(&format!(
            "the API server could not evaluate all of its authorization rules: {text}"
        ));
    }
    let text = match args.output {
        Some(OutputForm::Json) => output::json(&report)?,
        Some(OutputForm::Yaml) => output::yaml(&report)?,
        _ => output::rbac::rights(&report),
    };
    terminal.data(&text);
    let not_allowed = report.not_allowed();
    if not_allowed.is_empty() {
        return Ok(Exit::Success);
    }
    terminal.note(&output::rbac::what_to_do(
        &report,
        &same_command(args, &not_allowed, &report),
    ));
    Ok(Exit::Findings)
}

/// What is left out without a flag of `rbac`: the flag, and the permissions with the commands that need them.
type LeftOut<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a Permission)>>;

fn left_out_by_flag<'a>(
    wanted: &[(&'a str, Vec<&'a Permission>)],
    place: &Place<'_>,
) -> LeftOut<'a> {
    let mut by_flag = LeftOut::new();
    for (command, needed) in wanted {
        for permission in left_out(needed.iter().copied(), place) {
            let flag = permission.only_with.as_deref().unwrap_or_default();
            by_flag
                .entry(flag)
                .or_default()
                .push((*command, permission));
        }
    }
    by_flag
}

/// The names and namespaces to which a [`Place`] refers.
struct Grounds {
    provider: Option<String>,
    gateway: Option<GatewayName>,
    names: CredentialNames,
    /// The namespaces of the ingress gateway's Pods, separated by commas.
    ingress: String,
}

impl Grounds {
    fn of(args: &Args, namespace: Option<&str>) -> Result<Self, Failure> {
        let gateway = gateway(args, namespace)?;
        Ok(Self {
            provider: args.domain.as_ref().map(provider_name),
            names: names(args, namespace, gateway.as_ref())?,
            gateway,
            ingress: args.ingress_namespace.join(","),
        })
    }

    fn place<'a>(&'a self, args: &'a Args, namespace: Option<&'a str>) -> Place<'a> {
        Place {
            namespace,
            ingress: &self.ingress,
            istiod: &args.istio_namespace,
            revisions: &args.revision,
            prunes: args.prune || args.role == Some(UserRole::Admin),
            gateway: self.gateway.as_ref(),
            services: &args.service,
            provider: self.provider.as_deref(),
            names: &self.names,
        }
    }
}

/// The name of the Roles: that of the role or of the commands, whatever permissions are left out.
fn title(args: &Args, wanted: &[(&str, Vec<&Permission>)]) -> String {
    let commands: Vec<&str> = wanted.iter().map(|(command, _)| *command).collect();
    match args.role {
        Some(role) => role_name(&[role.name()], &args.authority),
        None if args.commands.is_empty() => role_name(&["all"], &args.authority),
        None => role_name(&commands, &args.authority),
    }
}

/// The permissions that a command needs, for its help; `None` if it needs none.
pub fn permissions_of(command: &str) -> Option<String> {
    // A descriptor that cannot be read is no reason to refuse help; `rbac` tells it.
    let permissions = Permissions::load().ok()?;
    let needed = permissions.of(command)?;
    (!needed.is_empty()).then(|| output::rbac::section(command, needed))
}

/// The names of the objects that the commands use: those of the authority, or of a Gateway that shares it.
fn names(
    args: &Args,
    namespace: Option<&str>,
    gateway: Option<&GatewayName>,
) -> Result<CredentialNames, Failure> {
    if !args.shared {
        return Ok(CredentialNames::of_authority(&args.authority));
    }
    let own = || namespace.map(|namespace| GatewayName::new(namespace, GATEWAY));
    let gateway = gateway.cloned().or_else(own).ok_or_else(|| {
        Failure::usage("`--shared` needs the name and the namespace of the Gateway")
            .hint("give the Gateway's namespace with `-n`, and another name than `kyma-mtls-gateway` with `--gateway`")
    })?;
    Ok(CredentialNames::sharing(&gateway, &args.authority))
}

fn gateway(args: &Args, namespace: Option<&str>) -> Result<Option<GatewayName>, Failure> {
    let Some(text) = &args.gateway else {
        return Ok(None);
    };
    match namespace {
        None if !text.contains('/') => Err(Failure::usage(format!(
            "the namespace of the Gateway `{text}` is missing"
        ))
        .hint(format!(
            "give `--gateway NAMESPACE/{text}`, or `-n NAMESPACE`"
        ))),
        namespace => gateway_name(text, namespace.unwrap_or_default()).map(Some),
    }
}

fn load() -> Result<Permissions, Failure> {
    Permissions::load().map_err(|error| {
        Failure::internal(format!(
            "this build's list of permissions is damaged: {error}"
        ))
    })
}

/// The chosen commands with their permissions, in a fixed order, whatever their order and repetition on the command line: the same Roles
/// get the same name.
fn chosen<'a>(
    args: &Args,
    permissions: &'a Permissions,
) -> Result<Vec<(&'a str, Vec<&'a Permission>)>, Failure> {
    if let Some(unknown) = args
        .commands
        .iter()
        .find(|name| permissions.of(name).is_none())
    {
        let known: Vec<&str> = permissions.commands().collect();
        let failure = Failure::usage(format!("there is no command `{unknown}`"));
        return Err(match separated(unknown).as_slice() {
            [] | [_] => failure.hint(format!(
                "these commands need permissions: {}",
                known.join(", ")
            )),
            commands => failure
                .hint("commands are separated by blanks:")
                .hint(format!("  kubectl mtls rbac {}", commands.join(" "))),
        });
    }
    let is_meant = |known: &&str| match args.role {
        Some(role) => role.may_run(known),
        None => args.commands.is_empty() || args.commands.iter().any(|name| name == known),
    };
    let is_left = |permission: &&Permission| {
        let of_role = args.role.is_none_or(|role| role.has(permission));
        of_role && (permission.required || !args.required_only)
    };
    let with_permissions = |command| {
        let permissions = permissions.of(command).unwrap_or_default();
        (command, permissions.iter().filter(is_left).collect())
    };
    let meant = permissions.commands().filter(is_meant);
    Ok(meant.map(with_permissions).collect())
}
