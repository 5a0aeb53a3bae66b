//! `rbac`: the Roles that allow a command what it does, and nothing else.

use clap::ValueEnum;

use super::flags::{check_authority_name, gateway_name};
use super::names::service;
use crate::error::{Exit, Failure};
use crate::io::connect::Connection;
use crate::io::terminal::Terminal;
use crate::output;
use crate::resources::dns_provider::provider_name;
use crate::resources::domain::Domain;
use crate::resources::names::{
    CredentialNames, FIRST_AUTHORITY, GATEWAY, GatewayName, INGRESS_NAMESPACE,
};
use crate::resources::object_name::label;
use crate::resources::permissions::{Permission, Permissions, Place, left_out, role_name, roles};

const EXAMPLES: &str = "The Roles are bound to nobody yet: `kubectl create rolebinding` and `clusterrolebinding` do that.

EXAMPLES:
  Let those who may use it expose the Services of the namespace `shop`
    kubectl mtls rbac expose -n shop | kubectl apply -f -

  Only one Service of it, and the list of the clients that may call it
    kubectl mtls rbac expose unexpose -n shop --service httpbin

  On a Gateway that another team keeps
    kubectl mtls rbac expose -n shop --gateway ingress/shared

  Let them register one domain
    kubectl mtls rbac register-domain -n shop --domain my.example.com

  Where the ingress gateway is a Helm release in a namespace of its own
    kubectl mtls rbac expose -n shop --ingress-namespace istio-ingress

  Only what a pipeline that issues certificates cannot do without
    kubectl mtls rbac issue-client --required-only

  Which Roles all commands together need
    kubectl mtls rbac -o name";

/// Flags of `rbac`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The commands; all of them without
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,
    /// The authority that they work with; it tells the names of the objects
    #[arg(long, value_name = "NAME", default_value = FIRST_AUTHORITY)]
    authority: String,
    /// The Gateway only reads that authority, which belongs to another one, as with `expose --authority`; needs `-n`
    #[arg(long)]
    shared: bool,
    /// The Service that they work for; repeatable, or separated by commas; without it, all of the namespace
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = service)]
    service: Vec<String>,
    /// The Gateway on which they expose: NAME of the namespace of -n, or NAMESPACE/NAME; without it, `kyma-mtls-gateway`
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,
    /// The namespace in which the ingress gateway's Pods run
    #[arg(long, value_name = "NAMESPACE", value_parser = label, default_value = INGRESS_NAMESPACE)]
    ingress_namespace: String,
    /// The domain that `register-domain` is for
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<Domain>,
    /// Let `list-clients --prune` remove entries of the inventory, too
    #[arg(long)]
    prune: bool,
    /// Leave out what the commands can do without
    #[arg(long)]
    required_only: bool,
    /// Print the Roles in this form
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t)]
    output: ManifestFormat,
}

/// The forms of manifests.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ManifestFormat {
    /// YAML, with the reason of each rule
    #[default]
    Yaml,
    /// JSON
    Json,
    /// Names only
    Name,
}

/// Prints the Roles; no cluster is asked.
pub fn run(args: &Args, connection: &Connection, terminal: &Terminal) -> Result<Exit, Failure> {
    check_authority_name(&args.authority)?;
    let permissions = load()?;
    let wanted = chosen(args, &permissions)?;
    let provider = args.domain.as_ref().map(provider_name);
    let gateway = gateway(args, connection)?;
    let names = names(args, connection, gateway.as_ref())?;
    let place = Place {
        namespace: connection.namespace.as_deref(),
        ingress: &args.ingress_namespace,
        prunes: args.prune,
        gateway: gateway.as_ref(),
        services: &args.service,
        provider: provider.as_deref(),
        names: &names,
    };
    let title = match args.commands.as_slice() {
        [] => role_name(&["all"], &args.authority),
        _ => role_name(&wanted, &args.authority),
    };
    let is_left = |permission: &&Permission| permission.required || !args.required_only;
    let needed = wanted
        .iter()
        .filter_map(|command| permissions.of(command))
        .flatten()
        .filter(is_left);
    for permission in left_out(needed.clone(), &place) {
        terminal.warn(&output::rbac::left_out(permission));
    }
    let roles = roles(&title, needed, &place);
    if roles.is_empty() {
        terminal.note("no permissions are needed");
        return Ok(Exit::Success);
    }
    let text = match args.output {
        ManifestFormat::Yaml => output::rbac::yaml(&roles)?,
        ManifestFormat::Json => output::rbac::json(&roles)?,
        ManifestFormat::Name => output::rbac::names(&roles),
    };
    terminal.data(&text);
    Ok(Exit::Success)
}

/// Adds to each command's help what the command needs; only that of the command that is asked for is read.
pub fn explain_in_help(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|subcommand| subcommand.defer(explain))
}

fn explain(subcommand: clap::Command) -> clap::Command {
    // A descriptor that cannot be read is no reason to refuse help; `rbac` tells it.
    let permissions = Permissions::load().ok();
    let name = subcommand.get_name().to_owned();
    let needed = permissions.as_ref().and_then(|all| all.of(&name));
    let Some(needed) = needed.filter(|needed| !needed.is_empty()) else {
        return subcommand;
    };
    let after = subcommand.get_after_help().map(ToString::to_string);
    let section = output::rbac::section(&name, needed);
    subcommand.after_long_help(format!("{}\n\n{section}", after.unwrap_or_default()))
}

/// The names of what the commands work with: those of the authority, but for a Gateway that shares it.
fn names(
    args: &Args,
    connection: &Connection,
    gateway: Option<&GatewayName>,
) -> Result<CredentialNames, Failure> {
    if !args.shared {
        return Ok(CredentialNames::of_authority(&args.authority));
    }
    let namespace = connection.namespace.as_deref();
    let own = || namespace.map(|namespace| GatewayName::new(namespace, GATEWAY));
    let gateway = gateway.cloned().or_else(own).ok_or_else(|| {
        Failure::usage("`--shared` needs to know which Gateway it is")
            .hint("give its namespace with `-n`, and another name than `kyma-mtls-gateway` with `--gateway`")
    })?;
    Ok(CredentialNames::sharing(&gateway, &args.authority))
}

fn gateway(args: &Args, connection: &Connection) -> Result<Option<GatewayName>, Failure> {
    let Some(text) = &args.gateway else {
        return Ok(None);
    };
    match connection.namespace.as_deref() {
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

/// The commands that are meant, in one order, whatever their order and repetition on the command line: the same Roles bear the
/// same name.
fn chosen<'a>(args: &Args, permissions: &'a Permissions) -> Result<Vec<&'a str>, Failure> {
    if let Some(unknown) = args
        .commands
        .iter()
        .find(|name| permissions.of(name).is_none())
    {
        let known: Vec<&str> = permissions.commands().collect();
        return Err(
            Failure::usage(format!("there is no command `{unknown}`")).hint(format!(
                "these commands need permissions: {}",
                known.join(", ")
            )),
        );
    }
    let is_meant =
        |known: &&str| args.commands.is_empty() || args.commands.iter().any(|name| name == known);
    Ok(permissions.commands().filter(is_meant).collect())
}
