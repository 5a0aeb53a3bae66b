//! The flags for the host's domain, and the check of host names.

use crate::commands::flags::duration;
use crate::error::Failure;
use crate::plan::expose::DnsChoice;
use crate::resources::Kind;
use crate::resources::domain::Domain;
use crate::resources::object_name::{is_label, is_subdomain};

/// The longest TTL of a DNS record: a week, in seconds.
const LONGEST_TTL: u32 = 604_800;

/// The host's DNS, and its server certificate.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Domain")]
pub(super) struct DnsFlags {
    /// Serve `SERVICE.mtls.DOMAIN` below this domain, registered with `register-domain`, and maintain its DNS record
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Maintain a DNS record for the host, so that a DNS challenge of the issuer cannot hide it; `--dns-entry=false` leaves it out
    /// [default: where Gardener's DNS management serves the domain]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    dns_entry: Option<bool>,
    /// How long resolvers may cache the DNS record [default: 600s]
    #[arg(long, value_name = "TIME", value_parser = ttl_seconds)]
    dns_ttl: Option<u32>,
    /// The issuer of the server certificate: a Gardener issuer, or NS/NAME of an Issuer in the cluster; for cert-manager an Issuer in the
    /// namespace of the gateway's Pods, or ClusterIssuer/NAME [default: Gardener's garden, cert-manager's only issuer]
    #[arg(long, value_name = "[NS/]NAME", value_parser = issuer)]
    pub issuer: Option<String>,
}

impl DnsFlags {
    /// The DNS record that the flags ask for.
    pub fn choice(&self) -> Result<DnsChoice, Failure> {
        let parse = |text: &String| {
            text.parse().map_err(|fault: String| {
                Failure::usage(format!("`--domain {text}` is not a domain: {fault}"))
            })
        };
        Ok(DnsChoice {
            domain: self.domain.as_ref().map(parse).transpose()?,
            entry: self.dns_entry,
            ttl: self.dns_ttl,
        })
    }
}

fn issuer(text: &str) -> Result<String, String> {
    let (namespace, name) = text
        .split_once('/')
        .map_or((None, text), |(namespace, name)| (Some(namespace), name));
    let is_kind = |kind: &str| kind == Kind::ClusterIssuer.name();
    let is_place = |place: &str| is_label(place) || is_kind(place);
    if namespace.is_none_or(is_place) && is_subdomain(name) {
        return Ok(text.to_owned());
    }
    Err("give `NAME` or `NAMESPACE/NAME` of a Gardener Issuer in the cluster, or `ClusterIssuer/NAME` of cert-manager".to_owned())
}

fn ttl_seconds(text: &str) -> Result<u32, String> {
    match u32::try_from(duration(text)?.as_secs()) {
        Ok(seconds @ 1..=LONGEST_TTL) => Ok(seconds),
        _ => Err(format!("give a time from 1 s to {LONGEST_TTL} s")),
    }
}

/// Refuses a text that is not a host name that clients can call, such as a wildcard.
pub(super) fn check_host(host: &str) -> Result<(), Failure> {
    let refused =
        |fault: String| Failure::usage(format!("`--host {host}` is not a host name: {fault}"));
    if let Some(rest) = host.strip_prefix("*.") {
        return Err(refused(format!(
            "a host cannot be a wildcard; give one host below it, such as `httpbin.{rest}`"
        )));
    }
    host.parse::<Domain>().map(drop).map_err(refused)
}
