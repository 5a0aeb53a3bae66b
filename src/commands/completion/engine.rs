//! Candidates for the word under the cursor, in the format that kubectl reads from `kubectl_complete-mtls`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

use clap::{ArgMatches, Command, FromArgMatches};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

use super::values::{LIMIT, Source, Value};
use crate::io::connect::Connection;
use crate::resources::printable::printable_line;

/// Cobra's directive (`ShellCompDirective`) against completing file names: the candidates include them where they are wanted.
const NO_FILES: u8 = 4;
/// [`NO_FILES`], and no blank after the word, because the word continues.
const NO_FILES_NO_SPACE: u8 = NO_FILES + 2;

/// The candidates for the last one of these words, which may be empty: one line each, `VALUE` or `VALUE<tab>HELP`, and a last line
/// with the directive.
pub(super) fn answer(command: Command, words: &[OsString], began: Instant) -> String {
    // `help COMMAND` is `COMMAND --help`.
    let words = match words {
        [help, command] if help == "help" => std::slice::from_ref(command),
        words => words,
    };
    let current = words.last().cloned().unwrap_or_default();
    let source = Arc::new(source(&command, words, began));
    let mut command = live(command, &source);
    let arguments: Vec<OsString> = std::iter::once(OsString::from("kubectl-mtls"))
        .chain(words.iter().cloned())
        .collect();
    let index = arguments.len().saturating_sub(1);
    let found = complete(&mut command, arguments, index, None).unwrap_or_default();
    // As kubectl does it: flags are offered to whoever has begun one.
    let wants_flags = current.as_encoded_bytes().first() == Some(&b'-');
    let is_flag = |candidate: &CompletionCandidate| {
        candidate.get_value().as_encoded_bytes().first() == Some(&b'-')
    };
    let lines: Vec<String> = found
        .iter()
        .filter(|candidate| wants_flags || !is_flag(candidate))
        .filter_map(line)
        .collect();
    let goes_on = lines.len() == 1 && lines[0].ends_with(['/', '=']);
    let directive = if goes_on { NO_FILES_NO_SPACE } else { NO_FILES };
    let mut text: String = lines.into_iter().map(|line| line + "\n").collect();
    text.push_str(&format!(":{directive}\n"));
    text
}

/// Whether a shell reads a value as one plain word. Names of objects are chosen by whoever may write the objects, and kubectl's script puts
/// them on the command line unquoted.
fn is_plain(value: &str) -> bool {
    let is_plain = |character: char| character.is_alphanumeric() || "._:/@,=+-".contains(character);
    value.chars().all(is_plain)
}

fn line(candidate: &CompletionCandidate) -> Option<String> {
    let value = candidate.get_value().to_str()?;
    if !is_plain(value) {
        return None;
    }
    let help = candidate.get_help().map(ToString::to_string);
    let first = help.as_deref().and_then(|help| help.lines().next());
    Some(match first {
        Some(help) if !help.is_empty() => format!("{value}\t{}", printable_line(help)),
        _ => value.to_owned(),
    })
}

/// The cluster, authority or directory of the values, from the words before the cursor.
fn source(command: &Command, words: &[OsString], began: Instant) -> Source {
    let before = words.split_last().map_or(&[][..], |(_, before)| before);
    let lenient = command
        .clone()
        .ignore_errors(true)
        .no_binary_name(true)
        .try_get_matches_from(before);
    let matches = lenient.ok();
    let of_command = matches.as_ref().and_then(ArgMatches::subcommand);
    let text = |id: &str| {
        let (_, matches) = of_command?;
        matches.try_get_one::<String>(id).ok().flatten().cloned()
    };
    let ca_dir = of_command.and_then(|(_, matches)| {
        let given = matches.try_get_one::<std::path::PathBuf>("ca_dir");
        given.ok().flatten().cloned()
    });
    let connection = of_command
        .map(|(_, matches)| matches)
        .or(matches.as_ref())
        .and_then(|matches| Connection::from_arg_matches(matches).ok());
    Source {
        connection: connection.unwrap_or_default(),
        authority: text("authority"),
        ca_dir,
        deadline: began + LIMIT,
    }
}

/// The command line, with completers that read live values.
fn live(command: Command, source: &Arc<Source>) -> Command {
    let completed = |name: &str, argument: clap::Arg| {
        let Some(value) = Value::of(name, argument.get_id().as_str()) else {
            return argument;
        };
        let source = source.clone();
        let splits = argument.get_value_delimiter() == Some(',');
        let candidates = move |current: &OsStr| candidates(&source, value, splits, current);
        argument.add(ArgValueCompleter::new(candidates))
    };
    let command = command.mut_args(|argument| completed("", argument));
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        subcommand.mut_args(|argument| completed(&name, argument))
    })
}

fn candidates(
    source: &Source,
    value: Value,
    splits: bool,
    current: &OsStr,
) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else {
        return Vec::new();
    };
    completed(value, &source.values(value), splits, current)
        .into_iter()
        .map(CompletionCandidate::new)
        .collect()
}

/// The values that begin with the word; in a list with commas, with the part after the last comma, and without those before it.
fn completed(value: Value, values: &BTreeSet<String>, splits: bool, current: &str) -> Vec<String> {
    let (before, begun) = match current.rsplit_once(',') {
        Some((before, begun)) if splits => (before, begun),
        _ => ("", current),
    };
    let given: Vec<&str> = before.split(',').map(|word| value.plain(word)).collect();
    let plain = value.plain(begun);
    // What stays as it was typed: the values before the last comma, and a kind before the name.
    let typed = &current[..current.len() - plain.len()];
    values
        .iter()
        .filter(|value| value.starts_with(plain) && !given.contains(&value.as_str()))
        .map(|value| format!("{typed}{value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_before_a_name_and_values_before_a_comma_stay_and_none_comes_twice() {
        let names = ["alice", "alma", "bob"].map(str::to_owned).into();
        let clients = |begun: &str| completed(Value::Client, &names, true, begun);
        assert_eq!(clients("al"), ["alice", "alma"]);
        assert_eq!(clients("client/al"), ["client/alice", "client/alma"]);
        assert_eq!(clients("alice,"), ["alice,alma", "alice,bob"]);
        assert_eq!(clients("client/alice,al"), ["client/alice,alma"]);
        let services = ["httpbin".to_owned()].into();
        for kind in ["svc/", "service/", ""] {
            let found = completed(Value::Service, &services, false, &format!("{kind}h"));
            assert_eq!(found, [format!("{kind}httpbin")]);
        }
    }
}
