//! The flags for how the route treats requests.

use clap::ValueEnum;

use crate::commands::flags::duration;
use crate::plan::expose::RouteChoice;
use crate::resources::api_rule::{IdentityHeaders, LONGEST_TIMEOUT, METHODS};
use crate::resources::paths::Paths;

/// How the route treats requests.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Route")]
pub(super) struct RouteFlags {
    /// Admit this method; repeatable, or separated by commas [default: all but CONNECT and TRACE]
    #[arg(long = "method", value_name = "METHOD", value_delimiter = ',', value_parser = METHODS)]
    methods: Vec<String>,
    /// Admit only this path and everything below it; `/api/*` admits only what is below [default:
    /// /*]
    #[arg(long, value_name = "PATH", value_parser = Paths::under)]
    path: Option<Paths>,
    /// Give the Service this long to answer [default: 300s]
    #[arg(long, value_name = "TIME", value_parser = timeout_seconds)]
    request_timeout_upstream: Option<u32>,
    /// Set a further header, such as `X-CLIENT-CERT-SERIAL=%DOWNSTREAM_PEER_SERIAL%`; repeatable, one header each (a value may hold commas)
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Format of the identity headers: guarded prefixes each value, so that clients of external CAs cannot forge it
    #[arg(long, value_name = "HOW")]
    identity_headers: Option<IdentityFlag>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum IdentityFlag {
    /// The value without a prefix
    Plain,
    /// A prefix before the value, which a client cannot leave out
    Guarded,
}

impl From<&RouteFlags> for RouteChoice {
    fn from(flags: &RouteFlags) -> Self {
        Self {
            paths: flags.path.clone(),
            methods: flags.methods.clone(),
            timeout: flags.request_timeout_upstream,
            identity: flags.identity_headers.map(|flag| match flag {
                IdentityFlag::Plain => IdentityHeaders::Plain,
                IdentityFlag::Guarded => IdentityHeaders::Guarded,
            }),
            headers: flags.headers.iter().cloned().collect(),
        }
    }
}

fn timeout_seconds(text: &str) -> Result<u32, String> {
    let seconds = duration(text)?.as_secs();
    match u32::try_from(seconds) {
        Ok(seconds @ 1..=LONGEST_TIMEOUT) => Ok(seconds),
        _ => Err(format!("give a time from 1 s to {LONGEST_TIMEOUT} s")),
    }
}

/// Reads a header as `NAME=VALUE` (RFC 9110: the name is a token, the value has no line ends).
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`{name}` is not a valid header name"));
    }
    if value.is_empty() || value.contains(char::is_control) {
        return Err("the header's value is empty or has control characters".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
