//! A Deployment, and whether its Pods are available.

use serde::Deserialize;

use super::{Object, Unreadable};

/// The progress of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Whether the controller has seen the last change.
    pub is_current: bool,
    /// Number of wanted replicas.
    pub wanted: u32,
    /// Number of available replicas.
    pub available: u32,
    /// The reason for missing replicas, in the controller's words; empty if it gives none.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    observed_generation: i64,
    #[serde(default)]
    available_replicas: u32,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    message: String,
}

impl Condition {
    fn hinders(&self) -> bool {
        match self.kind.as_str() {
            "ReplicaFailure" => self.status == "True",
            "Progressing" | "Available" => self.status == "False",
            _ => false,
        }
    }
}

impl Rollout {
    /// Reads a Deployment.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let status: Status = object.read("status")?;
        let number = |path: &[&str]| object.at(path).and_then(serde_json::Value::as_i64);
        let wanted = number(&["spec", "replicas"]).unwrap_or(1);
        let hindrance = status.conditions.into_iter().find(Condition::hinders);
        Ok(Self {
            is_current: number(&["metadata", "generation"])
                .is_none_or(|generation| status.observed_generation >= generation),
            wanted: u32::try_from(wanted).unwrap_or_default(),
            available: status.available_replicas,
            message: hindrance
                .map(|condition| condition.message)
                .unwrap_or_default(),
        })
    }

    /// Whether all wanted replicas are available.
    pub fn is_ready(&self) -> bool {
        self.is_current && self.available >= self.wanted
    }

    /// The state as text: `0 of 1 replicas available`.
    pub fn state(&self) -> String {
        format!("{} of {} replicas available", self.available, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::{Kind, ObjectRef};

    fn rollout(status: serde_json::Value) -> Rollout {
        let object = Object::new(ObjectRef::new(Kind::Deployment, "shop", "httpbin"))
            .with("spec", json!({"replicas": 1}))
            .with("status", status);
        Rollout::read(&object).unwrap()
    }

    #[test]
    fn a_deployment_is_ready_when_its_replicas_serve_and_says_what_hinders_it_before() {
        assert!(rollout(json!({"availableReplicas": 1})).is_ready());
        let failing = rollout(json!({"conditions": [
            {"type": "Progressing", "status": "True", "message": "making progress"},
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
        ]}));
        assert!(!failing.is_ready());
        assert_eq!(failing.state(), "0 of 1 replicas available");
        assert_eq!(failing.message, "exceeded quota");
    }
}
