//! Flags that several commands share, and the parsers of their values.

use clap::{Args, ValueEnum};

use crate::error::Failure;
pub use crate::io::clock::duration;
use crate::io::environment;
pub use crate::output::Format;
use crate::pki::names::{Error, Subject};
use crate::plan::DryRun;
use crate::resources::address::with_port;
use crate::resources::names::GatewayName;
use crate::resources::object_name::{self, is_label};

/// Flags for how a command probes the gateway.
#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Probing the gateway")]
pub struct LookFlags {
    /// Reach the gateway at this address only, instead of at each of its Pods [env: `KUBECTL_MTLS_CONNECT_TO`]
    #[arg(long, value_name = "HOST[:PORT]")]
    connect_to: Option<String>,
    /// Ask this DNS server instead of the system's [env: `KUBECTL_MTLS_RESOLVER`]
    #[arg(long, value_name = "HOST[:PORT]")]
    resolver: Option<String>,
}

impl LookFlags {
    /// The value of `--connect-to` as `HOST:PORT`; the default port is 443.
    pub fn address(&self) -> Option<String> {
        // Not clap's: its usage in errors would show flags that nobody typed.
        let given = self.connect_to.clone();
        let address = given.or_else(|| environment::variable("KUBECTL_MTLS_CONNECT_TO"))?;
        Some(with_port(&address, 443))
    }

    /// The DNS server to ask, instead of the system's.
    pub fn resolver(&self) -> Option<String> {
        let given = self.resolver.clone();
        given.or_else(|| environment::variable("KUBECTL_MTLS_RESOLVER"))
    }
}

/// kubectl's output flag.
#[derive(Debug, Clone, Copy, Args, Default)]
pub struct OutputFlags {
    /// Print the result in this form
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t)]
    pub output: Format,
}

/// kubectl's `--dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DryRunFlag {
    /// Write
    #[default]
    None,
    /// Print what would be written
    Client,
    /// Have the API server check what would be written, without storing it
    Server,
}

impl From<DryRunFlag> for DryRun {
    fn from(flag: DryRunFlag) -> Self {
        match flag {
            DryRunFlag::None => Self::None,
            DryRunFlag::Client => Self::Client,
            DryRunFlag::Server => Self::Server,
        }
    }
}

/// Reads a period between two dates, in the format of [`duration`].
pub fn period(text: &str) -> Result<time::Duration, String> {
    time::Duration::try_from(duration(text)?).map_err(|_| "this time is too long".to_owned())
}

/// Reads the lifetime of a certificate: a [`period`] longer than zero.
pub fn lifetime(text: &str) -> Result<time::Duration, String> {
    let length = period(text)?;
    if length.is_zero() {
        return Err(
            "a certificate's lifetime must be longer than zero; give `90d`, or `12h`".to_owned(),
        );
    }
    Ok(length)
}

/// Reads the subject of a new CA.
pub fn ca_subject(text: &str) -> Result<Subject, String> {
    let subject: Subject = text.parse().map_err(|error: Error| error.to_string())?;
    if subject.is_empty() {
        return Err("a CA needs a subject; give one such as `CN=Example client CA`".to_owned());
    }
    Ok(subject)
}

/// Refuses a value of `--authority` that cannot be an authority's name: authorities are named like Kubernetes objects, and the name is also
/// a label value (at most 63 characters).
pub(super) fn check_authority_name(name: &str) -> Result<(), Failure> {
    if is_label(name) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`--authority {name}` is not a valid authority name"
    ))
    .hint("give 1 to 63 lower-case letters, digits and `-`; `kubectl mtls status` shows the authorities"))
}

/// Reads the value of `--gateway`: `[NAMESPACE/]NAME`; the default is the given namespace.
pub(super) fn gateway_name(text: &str, namespace: &str) -> Result<GatewayName, Failure> {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    let name = object_name::label(namespace)
        .and_then(|namespace| Ok(GatewayName::new(namespace, object_name::subdomain(name)?)));
    name.map_err(|reason| {
        Failure::usage(format!(
            "`--gateway {text}` is not `NAME` or `NAMESPACE/NAME`: {reason}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_needs_a_unit_unless_it_is_nothing() {
        assert_eq!(duration("0").unwrap(), Duration::ZERO);
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        let fault = duration("10").unwrap_err();
        assert!(
            fault.contains("`10s`") && fault.contains("`10d`"),
            "{fault}"
        );
        assert_eq!(duration("90d").unwrap(), Duration::from_secs(90 * 86400));
        for text in ["", "-5s", "soon"] {
            let fault = duration(text).unwrap_err();
            assert!(fault.starts_with("give a time such as"), "{text}: {fault}");
        }
        let fault = lifetime("0").unwrap_err();
        assert!(fault.contains("must be longer than zero"), "{fault}");
    }
}
