//! A metric family in the text format of `OpenMetrics`.

use std::collections::BTreeSet;
use std::fmt::Display;

use time::OffsetDateTime;

use crate::resources::printable::printable;

/// One metric family: its description, and its samples so far.
pub(super) struct Family {
    name: String,
    pub(super) text: String,
    /// The label sets that have a sample: a parser rejects a second one, as two Gateways with the same host would make it.
    written: BTreeSet<String>,
}

impl Family {
    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: format!("# TYPE {name} gauge\n# HELP {name} {help}\n"),
            written: BTreeSet::new(),
        }
    }

    /// A gauge of timestamps. Its name includes the unit, as the format requires.
    pub(super) fn expiry(subject: &str, help: &str) -> Self {
        let name = format!("{subject}_expiry_timestamp_seconds");
        Self {
            text: format!("# TYPE {name} gauge\n# UNIT {name} seconds\n# HELP {name} {help}\n"),
            name,
            written: BTreeSet::new(),
        }
    }

    /// Adds a sample, unless these labels have one already.
    fn sample(mut self, labels: &[(&str, &str)], value: impl Display) -> Self {
        let labels = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        if self.written.insert(labels.clone()) {
            self.text += &format!("{}{{{labels}}} {value}\n", self.name);
        }
        self
    }

    pub(super) fn value(self, labels: &[(&str, &str)], value: usize) -> Self {
        self.sample(labels, value)
    }

    pub(super) fn end(self, labels: &[(&str, &str)], end: OffsetDateTime) -> Self {
        self.sample(labels, end.unix_timestamp())
    }
}

/// A label's value without control characters, with the three escapes of the format.
fn escaped(value: &str) -> String {
    printable(value)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
