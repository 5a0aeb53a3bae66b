//! What is wrong with an APIRule, as its status says it.

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub attribute: String,
    pub message: String,
}

impl Fault {
    pub(super) fn new(attribute: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            attribute: attribute.into(),
            message: message.into(),
        }
    }
}

/// The status text: three faults at most, and how many more there are.
pub(super) fn description(faults: &[Fault]) -> String {
    const SHOWN: usize = 3;
    let mut lines: Vec<String> = faults
        .iter()
        .take(SHOWN)
        .map(|fault| format!("Attribute '{}': {}", fault.attribute, fault.message))
        .collect();
    if faults.len() > SHOWN {
        lines.push(format!("{} more error(s)...", faults.len() - SHOWN));
    }
    format!("Validation errors: {}", lines.join("\n"))
}
