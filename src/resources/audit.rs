//! The audit trail: lines in the history of an authority's state, and Events.
//!
//! The line is part of the change itself and so is never missing; an Event is for people who watch the cluster, and expires after an hour
//! on most clusters.

#[cfg(test)]
mod tests;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::listing::shortened;
use super::names::FIELD_MANAGER;
use super::{Kind, Object, ObjectRef};

/// Number of lines in a history; older ones are dropped.
const MOST_LINES: usize = 100;
/// Number of fingerprints or serial numbers in one line.
const MOST_IDS: usize = 8;
const LONGEST_NAME: usize = 128;
/// Length limit of an Event's message in bytes (Kubernetes allows 1024).
const LONGEST_MESSAGE: usize = 1000;

/// The action of an audit entry, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// An authority took over external CAs.
    AuthorityAdopted,
    /// `ca-rotate` changed the authority.
    Rotation(RotationStep),
    /// The key of an interrupted run was retired.
    KeyRetired,
    /// An authority published revocation lists.
    ClientsRevoked,
    /// One certificate was marked as revoked in the inventory.
    Revoked,
    /// A client's first certificate was issued.
    Issued,
    /// A client's certificate was renewed.
    Renewed,
    /// Entries of a client were removed from the inventory.
    Pruned,
}

impl Transition {
    /// The reason of the action's Event.
    pub fn reason(self) -> &'static str {
        match self {
            Self::AuthorityAdopted => "AuthorityAdopted",
            Self::Rotation(step) => step.reason(),
            Self::KeyRetired => "KeyRetired",
            Self::ClientsRevoked => "ClientsRevoked",
            Self::Revoked => "Revoked",
            Self::Issued => "Issued",
            Self::Renewed => "Renewed",
            Self::Pruned => "Pruned",
        }
    }
}

impl From<RotationStep> for Transition {
    fn from(step: RotationStep) -> Self {
        Self::Rotation(step)
    }
}

/// A change of an authority by `ca-rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// The key of a trusted CA was imported.
    CaTakenIn,
    /// A new CA is trusted.
    Started,
    /// A CA whose rotation was aborted is the target again.
    Resumed,
    /// The new CA issues.
    IssuingMoved,
    /// The old CA issues again.
    Aborted,
    /// CAs are no longer trusted.
    CaDropped,
    /// An existing inventory was accepted.
    InventoryAccepted,
    /// The authority was restored.
    AuthorityRestored,
}

impl RotationStep {
    const ALL: [Self; 8] = [
        Self::CaTakenIn,
        Self::Started,
        Self::Resumed,
        Self::IssuingMoved,
        Self::Aborted,
        Self::CaDropped,
        Self::InventoryAccepted,
        Self::AuthorityRestored,
    ];

    /// The reason of the step's Event.
    pub fn reason(self) -> &'static str {
        match self {
            Self::CaTakenIn => "CATakenIn",
            Self::Started => "RotationStarted",
            Self::Resumed => "RotationResumed",
            Self::IssuingMoved => "IssuingMoved",
            Self::Aborted => "RotationAborted",
            Self::CaDropped => "CADropped",
            Self::InventoryAccepted => "InventoryAccepted",
            Self::AuthorityRestored => "AuthorityRestored",
        }
    }

    /// The step as text in the history.
    pub fn what(self) -> &'static str {
        // Authorities of earlier versions have these words in their history: they must not change.
        match self {
            Self::CaTakenIn => "took in the key of a CA that was trusted already",
            Self::Started => "started a rotation: a new CA is trusted",
            Self::Resumed => "resumed a rotation",
            Self::IssuingMoved => "let the new CA issue",
            Self::Aborted => "aborted a rotation: the CA before issues",
            Self::CaDropped => "dropped CAs: their clients are refused",
            Self::InventoryAccepted => "accepted the inventory as it is",
            Self::AuthorityRestored => "restored the authority of its keys and its inventory",
        }
    }
}

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The action.
    pub transition: Transition,
    /// The user, by the API server's name.
    pub who: String,
    /// The API server's time.
    pub at: OffsetDateTime,
    /// The action as text: `revoked alice`.
    pub what: String,
    /// Fingerprints or serial numbers, lower-case hexadecimal.
    pub ids: Vec<String>,
}

impl AuditEntry {
    /// The entry of a history line, if it is of `ca-rotate` and this user wrote it; else `None`.
    ///
    /// Ids that the line left out stay left out: its last id is then their number.
    pub fn read(line: &str, who: &str) -> Option<Self> {
        let (at, said) = line.split_once(' ')?;
        let said = said
            .strip_prefix(&*bounded(&shown(who)))?
            .strip_prefix(' ')?;
        // No step's words begin with those of another one.
        let (step, ids) = RotationStep::ALL
            .into_iter()
            .find_map(|step| Some((step, said.strip_prefix(step.what())?)))?;
        let ids: Vec<&str> = match ids.strip_prefix(" (") {
            Some(ids) => ids.strip_suffix(')').unwrap_or(ids).split(", ").collect(),
            None if ids.is_empty() => Vec::new(),
            None => return None,
        };
        Some(Self {
            transition: step.into(),
            who: who.to_owned(),
            at: OffsetDateTime::parse(at, &Rfc3339).ok()?,
            what: step.what().to_owned(),
            ids: ids.into_iter().map(str::to_owned).collect(),
        })
    }

    /// `TIME WHO WHAT (ID, ID …)`, one line of bounded length.
    pub fn line(&self) -> String {
        let at = self.at.replace_nanosecond(0).unwrap_or(self.at);
        let at = at.format(&Rfc3339).unwrap_or_default();
        bounded(&format!("{at} {} {}", shown(&self.who), self.said()))
    }

    /// The Event of the entry about an object as it was read or written. Its name is the object's with `tail`, which distinguishes it from
    /// other Events about the object.
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
            .with("reason", self.transition.reason().into())
            .with(
                "message",
                bounded(&format!("{} {}", shown(&self.who), self.said())).into(),
            )
            .with("source", json!({"component": FIELD_MANAGER}))
            .with("firstTimestamp", at.clone().into())
            .with("lastTimestamp", at.into())
            .with("count", 1.into())
    }

    fn said(&self) -> String {
        if self.ids.is_empty() {
            return self.what.clone();
        }
        format!("{} ({})", self.what, shortened(&self.ids, MOST_IDS))
    }
}

/// The time, the user and the action of a history line, whatever the action is; `None` if the line is not one of an [`AuditEntry`].
///
/// A user's name may contain blanks: the action begins at the first words with which actions begin.
pub fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (time, said) = line.split_once(' ')?;
    OffsetDateTime::parse(time, &Rfc3339).ok()?;
    let steps = RotationStep::ALL.into_iter().map(RotationStep::what);
    let others = [
        "revoked ",
        "published the revocation lists",
        "took over ",
        "began with ",
        "retired the key ",
    ];
    let begin = steps
        .chain(others)
        .filter_map(|words| said.find(&format!(" {words}")))
        .min();
    let (who, action) = match begin {
        Some(begin) => (said.get(..begin)?, said.get(begin + 1..)?),
        None => said.split_once(' ')?,
    };
    Some((time, who, action))
}

/// The name of a user, cut to a bounded length.
fn shown(who: &str) -> String {
    let who: String = who.chars().take(LONGEST_NAME).collect();
    if who.is_empty() {
        "an unknown user".to_owned()
    } else {
        who
    }
}

/// One line of printable text, because a name may contain anything.
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

/// Adds an entry to a history, and drops the oldest lines if there are too many.
pub fn add(history: &mut Vec<String>, entry: &AuditEntry) {
    history.push(entry.line());
    let excess = history.len().saturating_sub(MOST_LINES);
    history.drain(..excess);
}

/// When the last rotation in a history was started, resumed or aborted.
pub fn rotation_began(history: &[String]) -> Option<OffsetDateTime> {
    let begins = [
        RotationStep::Started,
        RotationStep::Resumed,
        RotationStep::Aborted,
    ];
    let of_rotation = |line: &&String| begins.iter().any(|step| line.contains(step.what()));
    let line = history.iter().rev().find(of_rotation)?;
    OffsetDateTime::parse(line.split_once(' ')?.0, &Rfc3339).ok()
}
