//! The audit trail: lines in the history of an authority's state, and Events.
//!
//! The line is part of the change itself and so is never missing; an Event is for whoever watches the cluster, and is gone
//! after an hour on most.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::listing::shortened;
use super::names::FIELD_MANAGER;
use super::{Kind, Object, ObjectRef};

/// Lines that a history keeps; the oldest go first.
const MOST_LINES: usize = 100;
/// Fingerprints or serials that one line names.
const MOST_IDS: usize = 8;
const LONGEST_NAME: usize = 128;
/// Kubernetes: a message of an Event has at most 1024 bytes.
const LONGEST_MESSAGE: usize = 1000;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// By whom, as the API server knows them.
    pub who: String,
    /// The API server's time.
    pub at: OffsetDateTime,
    /// For programs, in the form of an Event's reason: `ClientsRevoked`.
    pub reason: &'static str,
    /// For people: `revoked alice`.
    pub what: String,
    /// Fingerprints or serials, lower-case hexadecimal.
    pub ids: Vec<String>,
}

impl Deed {
    /// `TIME WHO WHAT (ID, ID …)`, one line of bounded length.
    pub fn line(&self) -> String {
        let at = self.at.replace_nanosecond(0).unwrap_or(self.at);
        let at = at.format(&Rfc3339).unwrap_or_default();
        bounded(&format!("{at} {} {}", self.who(), self.said()))
    }

    /// The Event of the deed on an object as it was read or written. It bears the object's name and `tail`, which tells it
    /// from other Events on the object.
    pub fn event(&self, on: &Object, tail: &str) -> Object {
        let about = on.reference();
        let name = format!("{}.{tail}", about.name);
        let at = self.at.replace_nanosecond(0).unwrap_or(self.at);
        let at = at.format(&Rfc3339).unwrap_or_default();
        let involved = json!({
            "apiVersion": about.kind.api_version(),
            "kind": about.kind.name(),
            "namespace": about.namespace,
            "name": about.name,
            "uid": on.text(&["metadata", "uid"]),
            "resourceVersion": on.resource_version(),
        });
        Object::new(ObjectRef::new(Kind::Event, &about.namespace, name))
            .with("involvedObject", involved)
            .with("type", "Normal".into())
            .with("reason", self.reason.into())
            .with(
                "message",
                bounded(&format!("{} {}", self.who(), self.said())).into(),
            )
            .with("source", json!({"component": FIELD_MANAGER}))
            .with("firstTimestamp", at.clone().into())
            .with("lastTimestamp", at.into())
            .with("count", 1.into())
    }

    fn who(&self) -> String {
        let who: String = self.who.chars().take(LONGEST_NAME).collect();
        if who.is_empty() {
            "an unknown user".to_owned()
        } else {
            who
        }
    }

    fn said(&self) -> String {
        if self.ids.is_empty() {
            return self.what.clone();
        }
        format!("{} ({})", self.what, shortened(&self.ids, MOST_IDS))
    }
}

/// One line of printable text: a name may hold anything.
fn bounded(text: &str) -> String {
    let printable = text.chars().map(|character| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    });
    let mut line = String::new();
    for character in printable {
        if line.len() + character.len_utf8() > LONGEST_MESSAGE {
            line.push('…');
            break;
        }
        line.push(character);
    }
    line
}

/// Adds a deed to a history, and drops the oldest lines where there are too many.
pub fn add(history: &mut Vec<String>, deed: &Deed) {
    history.push(deed.line());
    let excess = history.len().saturating_sub(MOST_LINES);
    history.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::NOW;

    fn deed(who: &str, ids: usize) -> Deed {
        Deed {
            who: who.to_owned(),
            at: NOW,
            reason: "ClientsRevoked",
            what: "revoked alice".to_owned(),
            ids: (0..ids).map(|n| format!("{n:040x}")).collect(),
        }
    }

    #[test]
    fn a_line_says_when_who_what_and_to_which() {
        let line = deed("system:serviceaccount:ci:robot", 1).line();
        assert_eq!(
            line,
            "2026-06-01T12:00:00Z system:serviceaccount:ci:robot revoked alice (0000000000000000000000000000000000000000)"
        );
        assert!(deed("", 0).line().contains("an unknown user"));
    }

    #[test]
    fn no_name_makes_a_second_line_or_a_long_one() {
        let line = deed(&format!("a\nforged{}", "x".repeat(5000)), 1000).line();
        assert!(!line.contains('\n') && line.len() < 1010, "{line}");
        assert!(line.contains("and 992 more"), "{line}");
    }

    #[test]
    fn a_history_keeps_the_newest_lines() {
        let mut history = vec!["old".to_owned(); 200];
        add(&mut history, &deed("alice", 1));
        assert_eq!(history.len(), MOST_LINES);
        assert!(history.last().unwrap().contains("alice"));
    }
}
