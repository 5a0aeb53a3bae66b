//! The flags for the names in a client's certificate.

use std::net::IpAddr;

use crate::error::Failure;
use crate::pki::names::Subject;
use crate::plan::command_line::{quoted, separated};
use crate::plan::identity::Names;
use crate::resources::printable::printable_line;

/// Refuses a comma in a name of the command line, where names are separated by blanks. With `--another` the client exists.
pub(super) fn check_separated(names: &[String]) -> Result<(), Failure> {
    let Some(joined) = names.iter().find(|name| name.contains(',')) else {
        return Ok(());
    };
    let parts = names.iter().flat_map(|name| separated(name));
    let parts: Vec<String> = parts.map(quoted).collect();
    Err(Failure::usage(format!(
        "`{}` has a comma, and names are separated by blanks",
        printable_line(joined)
    ))
    .hint("several clients:")
    .hint(format!("  kubectl mtls issue-client {}", parts.join(" ")))
    .hint("for a name with a comma, use a table with `-f`"))
}

/// Reads an IP address.
fn address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| "give an IPv4 or IPv6 address".to_owned())
}

/// Subject and subject alternative names.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Names in the certificate")]
pub(super) struct NameFlags {
    /// The whole subject (RFC 4514), most specific part first: `CN=alice,OU=devices,O=Example` [default: CN=NAME]
    #[arg(long, value_name = "DN")]
    subject: Option<Subject>,
    /// A URI that names the client, instead of the default one; repeatable, or separated by commas
    #[arg(
        long,
        value_name = "URI",
        value_delimiter = ',',
        conflicts_with = "trust_domain"
    )]
    uri: Vec<String>,
    /// The SPIFFE trust domain of the default URI, `spiffe://DOMAIN/NAME` [default: AUTHORITY-clients]
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<String>,
    /// A DNS name of the client; repeatable, or separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    dns: Vec<String>,
    /// An e-mail address of the client; repeatable, or separated by commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    email: Vec<String>,
    /// An IP address of the client; repeatable, or separated by commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    ip: Vec<IpAddr>,
}

impl NameFlags {
    /// The trust domain of default URIs.
    pub fn trust_domain(&self) -> Option<String> {
        self.trust_domain.clone()
    }

    /// Refuses flags that belong to a single client.
    pub fn check_for_many(&self) -> Result<(), Failure> {
        let lists = [&self.uri, &self.dns, &self.email];
        let is_empty = lists.iter().all(|list| list.is_empty()) && self.ip.is_empty();
        if is_empty && self.subject.is_none() {
            return Ok(());
        }
        Err(
            Failure::usage("a subject and alternative names are for a single client")
                .hint("a table (`-f`) has a column for each"),
        )
    }
}

impl From<&NameFlags> for Names {
    fn from(flags: &NameFlags) -> Self {
        let flags = flags.clone();
        Self {
            subject: flags.subject,
            uris: flags.uri,
            trust_domain: flags.trust_domain,
            dns: flags.dns,
            emails: flags.email,
            ips: flags.ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_separated_by_commas_are_refused_with_the_command_that_was_meant() {
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            check_separated(&names)
        };
        check(&["alice", "bob"]).unwrap();
        let failure = check(&["alice,bob", "it's carol, "]).unwrap_err();
        assert_eq!(failure.exit().code(), 2);
        let command = "  kubectl mtls issue-client alice bob 'it'\\''s carol'";
        assert_eq!(failure.what_to_do()[1], command);
    }
}
