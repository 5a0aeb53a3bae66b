//! Suggestions for a command that lacks its argument.

use clap::Error;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands, and the ways to run each without the argument that it requires.
const OTHER_WAYS: &[(&str, &[&str])] = &[
    ("expose", &["the sample: kubectl mtls expose --sample"]),
    (
        "issue-client",
        &["the clients of a table: kubectl mtls issue-client -f TABLE"],
    ),
    (
        "renew-client",
        &[
            "all that end soon: kubectl mtls renew-client --expiring-within 30d",
            "all of a CA that a rotation has retired: kubectl mtls renew-client --retired-ca",
        ],
    ),
    (
        "revoke-client",
        &[
            "by serial number: kubectl mtls revoke-client --serial HEX",
            "by file: kubectl mtls revoke-client --certificate FILE",
            "all that have a successor: kubectl mtls revoke-client --superseded",
        ],
    ),
    (
        "completion",
        &["for `kubectl mtls`: kubectl mtls completion --install"],
    ),
];

/// Takes the advice out of an error about an unknown flag to write `--` in front of it: a command would take the flag for a name.
pub(super) fn without_advice_on_dashes(mut error: Error) -> Error {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::StyledStrs(tips)) = error.get(ContextKind::Suggested)
    {
        let is_other = |tip: &&StyledStr| !tip.to_string().contains("as a value");
        let others: Vec<StyledStr> = tips.iter().filter(is_other).cloned().collect();
        let others = if others.is_empty() {
            ContextValue::None
        } else {
            ContextValue::StyledStrs(others)
        };
        error.insert(ContextKind::Suggested, others);
    }
    error
}

/// Adds the other ways of the command to an error about its missing argument.
pub(super) fn with_other_ways(mut error: Error) -> Error {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return error;
    }
    let lacks_argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => missing.iter().any(|name| name.starts_with('<')),
        _ => false,
    };
    let usage = error
        .get(ContextKind::Usage)
        .map(ToString::to_string)
        .unwrap_or_default();
    let of_usage = |command: &&str| usage.split_whitespace().any(|word| word == *command);
    let ways = OTHER_WAYS.iter().find(|(command, _)| of_usage(command));
    if let Some((_, ways)) = ways.filter(|_| lacks_argument) {
        let ways = ways.iter().map(|&way| way.into()).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(ways));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn refused(words: &[&str]) -> String {
        let words = std::iter::once(&"kubectl-mtls").chain(words);
        let error = Cli::try_parse_from(words).unwrap_err();
        without_advice_on_dashes(with_other_ways(error)).to_string()
    }

    #[test]
    fn nobody_is_told_to_give_an_unknown_flag_as_a_name() {
        let said = refused(&["issue-client", "alice", "--dry-run"]);
        assert!(said.contains("unexpected argument '--dry-run'"), "{said}");
        assert!(!said.contains("tip:"), "{said}");
        assert!(!said.contains("\n\n\n"), "{said}");
        let said = refused(&["issue-client", "alice", "--fromat", "pem"]);
        assert!(said.contains("'--format'"), "{said}");
    }

    #[test]
    fn the_error_about_a_missing_argument_shows_the_other_ways_and_each_of_them_works() {
        for (command, ways) in OTHER_WAYS {
            let said = refused(&[command]);
            for way in *ways {
                assert!(said.contains(&format!("  tip: {way}\n")), "{said}");
                let (_, line) = way.split_once(": kubectl mtls ").unwrap();
                let line = line.replace("TABLE", "clients.csv");
                let words = std::iter::once("kubectl-mtls").chain(line.split_whitespace());
                Cli::try_parse_from(words).unwrap();
            }
        }
        let of_flag = refused(&["ca-rotate", "--from-cert", "a.crt"]);
        assert!(!of_flag.contains("tip:"), "{of_flag}");
    }
}
