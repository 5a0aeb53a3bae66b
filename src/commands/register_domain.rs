//! `register-domain`: DNS credentials and provider of a custom domain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::flags::{DryRunFlag, OutputFlags, duration};
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::files;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::Render;
use crate::plan::register_domain::{Request, Source, check, reconcile};
use crate::resources::dns_account::{ACCOUNTS, Account};
use crate::resources::dns_credentials::{Credentials, is_key};
use crate::resources::dns_provider::provider_name;
use crate::resources::domain::Domain;
use crate::resources::object_name::{is_subdomain, subdomain};

const EXAMPLES: &str = "Credentials come from files, from stdin or from a Secret, never from an argument, which would end up in the shell's history. A
run without credentials keeps those of an earlier run. The Secret and the DNSProvider are in one namespace (`-n`).

EXAMPLES:
  Keep the records of my.example.com in Google Cloud DNS
    kubectl mtls register-domain my.example.com --provider google-clouddns --from-file serviceaccount.json

  In Route 53, with AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… in a file
    kubectl mtls register-domain my.example.com --provider aws-route53 --from-env-file aws.env

  In Cloudflare, with a token from stdin
    pass show cloudflare | kubectl mtls register-domain my.example.com --provider cloudflare-dns --from-file -

  With credentials that are in the cluster already
    kubectl mtls register-domain my.example.com --provider azure-dns --secret azure-credentials";

/// The longest name of a DNSProvider: the name of its Secret adds an ending to it (Kubernetes: 253 characters in all).
const LONGEST_NAME: usize = 241;
const STDIN: &str = "-";

/// Flags of `register-domain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The domain
    domain: String,
    /// The type of DNS account
    #[arg(long, value_name = "TYPE", value_parser = clap::builder::PossibleValuesParser::new(ACCOUNTS.iter().map(|account| account.name)))]
    provider: String,
    /// Read a key of the credentials from a file, or from stdin with `-`; repeatable, or separated by commas
    #[arg(
        long,
        value_name = "[KEY=]FILE",
        value_delimiter = ',',
        conflicts_with = "secret"
    )]
    from_file: Vec<String>,
    /// Read the credentials from lines `KEY=VALUE` of a file, or of stdin with `-`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "from_file"])]
    from_env_file: Option<PathBuf>,
    /// Use the credentials in this Secret as it is
    #[arg(long, value_name = "NAME", value_parser = subdomain)]
    secret: Option<String>,
    /// The DNSProvider's name [default: the domain with dashes for dots]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print or check what would be written instead of writing it
    #[arg(long, value_enum, value_name = "HOW", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRunFlag,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    timeout: Duration,
    #[command(flatten)]
    output: OutputFlags,
}

/// Registers the domain.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let request = request(args)?;
    block_on(async {
        let cluster = connect(connection).await?;
        let request = Request {
            namespace: cluster.namespace().to_owned(),
            ..request
        };
        let mut live = Live::new(Store::Cluster(&cluster), terminal);
        let report = live
            .run(|observed, _| reconcile(&request, observed))
            .await?;
        terminal.data(&report.render(args.output.output)?);
        for note in &report.notes {
            terminal.warn(note);
        }
        Ok(Exit::Success)
    })
}

/// The request that the flags describe, with all checks that need no cluster.
fn request(args: &Args) -> Result<Request, Failure> {
    let domain: Domain = args.domain.parse().map_err(|fault: String| {
        Failure::usage(format!("`{}` is not a domain: {fault}", args.domain))
    })?;
    let account = Account::of(&args.provider)
        .ok_or_else(|| Failure::usage(format!("there is no provider `{}`", args.provider)))?;
    let name = args.name.clone().unwrap_or_else(|| provider_name(&domain));
    check_name(&name)?;
    let request = Request {
        namespace: String::new(),
        domain,
        account,
        name,
        source: source(args, account)?,
        dry_run: args.dry_run.into(),
        timeout: args.timeout,
    };
    if let Source::Given(credentials) = &request.source {
        check(&request, credentials, "the given credentials")?;
    }
    Ok(request)
}

fn source(args: &Args, account: &Account) -> Result<Source, Failure> {
    if let Some(name) = &args.secret {
        return Ok(Source::Secret(name.clone()));
    }
    let mut credentials = Credentials::default();
    let fault = |fault: String| Failure::usage(format!("the credentials cannot be used: {fault}"));
    if let Some(path) = &args.from_env_file {
        let bytes = read(path)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| fault(format!("`{}` is not text", path.display())))?;
        credentials
            .add_env_file(text)
            .map_err(|error| fault(format!("`{}`: {error}", path.display())))?;
        return Ok(Source::Given(credentials));
    }
    if args.from_file.is_empty() {
        return Ok(Source::Earlier);
    }
    let mut from_stdin = 0;
    for given in &args.from_file {
        let (key, path) = key_and_path(given, account)?;
        from_stdin += usize::from(path == Path::new(STDIN));
        if from_stdin > 1 {
            return Err(fault("stdin can be read only once".to_owned()));
        }
        credentials
            .add(&key, std::mem::take(&mut *read(&path)?))
            .map_err(fault)?;
    }
    Ok(Source::Given(credentials))
}

/// Reads `KEY=FILE` as in kubectl, or a file whose name is the key; for a type with a single key, any file holds that key.
fn key_and_path(given: &str, account: &Account) -> Result<(String, PathBuf), Failure> {
    if let Some((key, path)) = given.split_once('=')
        && is_key(key)
        && !path.is_empty()
    {
        return Ok((key.to_owned(), path.into()));
    }
    let path = PathBuf::from(given);
    let name = path.file_name().and_then(|name| name.to_str());
    let key = name
        .filter(|name| account.knows(name))
        .or(account.only_key());
    match key {
        Some(key) => Ok((key.to_owned(), path)),
        None => Err(Failure::usage(format!(
            "`--from-file {given}` does not name the key of the credentials Secret"
        ))
        .hint(format!(
            "write `KEY={given}`; `{}` needs {}",
            account.name,
            account.required_names()
        ))),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    files::read_or_stdin(path, "the credentials").map(Zeroizing::new)
}

fn check_name(name: &str) -> Result<(), Failure> {
    if name.len() <= LONGEST_NAME && is_subdomain(name) && !name.contains('.') {
        return Ok(());
    }
    Err(
        Failure::usage(format!("a DNSProvider cannot have the name `{name}`")).hint(format!(
            "choose a name with `--name`, of up to {LONGEST_NAME} lower-case letters, digits and `-`"
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_for_the_key_that_is_said_or_named_or_the_only_one() {
        let key = |given: &str, account: &str| {
            let (key, path) = key_and_path(given, Account::of(account).unwrap()).ok()?;
            Some(format!("{key} {}", path.display()))
        };
        let known = |text: &str| Some(text.to_owned());
        assert_eq!(key("Zone=a=b", "rfc2136"), known("Zone a=b"));
        assert_eq!(key("keys/Zone", "rfc2136"), known("Zone keys/Zone"));
        assert_eq!(key("zone.txt", "rfc2136"), None);
        assert_eq!(key("-", "cloudflare-dns"), known("CLOUDFLARE_API_TOKEN -"));
        assert_eq!(
            key("key-1.json", "google-clouddns"),
            known("serviceaccount.json key-1.json")
        );
    }
}
