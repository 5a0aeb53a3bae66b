//! Suggestions for a misspelt client name.

use std::collections::BTreeSet;

use super::command_line::{on_clients_of, separated};
use crate::resources::listing::shortened;

/// How many names a message shows.
const MOST_NAMES: usize = 5;
/// The least similarity of a suggestion, from 0 to 1 (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// A line with suggestions for an unknown name.
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let folded = name.to_lowercase();
    let score = |known: &str| {
        let known = known.to_lowercase();
        let is_part = known.contains(&folded) || folded.contains(&known);
        let alike = strsim::jaro_winkler(&folded, &known);
        if is_part { alike.max(ALIKE) } else { alike }
    };
    let mut alike: Vec<(f64, &str)> = known
        .iter()
        .map(|known| (score(known), *known))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    if !alike.is_empty() {
        let names: Vec<&str> = alike.into_iter().map(|(_, name)| name).collect();
        return format!("did you mean {}?", listed(&names));
    }
    if known.is_empty() {
        return "no client has a certificate of this authority".to_owned();
    }
    let names: Vec<&str> = known.into_iter().collect();
    format!("known clients: {}", listed(&names))
}

/// The lines on an unknown name, for a command on clients; the flag says whose. A name with a comma was meant as several names: the names
/// of a command line are separated by blanks.
pub fn unknown<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    (command, flag): (&str, &str),
) -> Vec<String> {
    let parts: Vec<&str> = separated(name);
    if parts.len() < 2 {
        return vec![meant(name, known)];
    }
    vec![
        "names are separated by blanks:".to_owned(),
        format!("  {}", on_clients_of(command, &parts, flag)),
    ]
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    shortened(&quoted, MOST_NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_first() {
        assert_eq!(meant("adda", ["ben", "ada"]), "did you mean `ada`?");
        assert_eq!(meant("Alice", ["alice", "bob"]), "did you mean `alice`?");
        assert_eq!(meant("zoe", ["ada", "ben"]), "known clients: `ada`, `ben`");
        let many = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"];
        assert!(meant("zz", many).ends_with("and 2 more"));
    }

    #[test]
    fn a_comma_between_names_is_answered_with_the_command_that_was_meant() {
        let of = ("revoke-client", "--ca-dir ca");
        let lines = unknown("ada, ben,", ["ada"], of);
        assert_eq!(lines[1], "  kubectl mtls revoke-client ada ben --ca-dir ca");
        assert_eq!(unknown("adda", ["ada"], of), ["did you mean `ada`?"]);
    }
}
