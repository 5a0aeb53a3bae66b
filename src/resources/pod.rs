//! The conditions of Pods.

use serde_json::Value;

use super::Object;

/// The condition `Ready` of a Pod that runs or will run, if it is not true.
pub fn unready(pod: &Object) -> Option<&Value> {
    let is_leaving = pod.at(&["metadata", "deletionTimestamp"]).is_some();
    let is_over = ["Succeeded", "Failed"].contains(&pod.text(&["status", "phase"]));
    let conditions = pod.at(&["status", "conditions"])?.as_array()?;
    let field = |condition: &Value, name: &str, value: &str| {
        condition.get(name).and_then(Value::as_str) == Some(value)
    };
    let ready = conditions
        .iter()
        .find(|condition| field(condition, "type", "Ready"))?;
    (!is_leaving && !is_over && !field(ready, "status", "True")).then_some(ready)
}

/// Whether a Pod takes requests: it has the condition Ready, and stays.
pub fn is_ready(pod: &Object) -> bool {
    let is_leaving = pod.at(&["metadata", "deletionTimestamp"]).is_some();
    let phase = pod.text(&["status", "phase"]);
    let runs = !is_leaving && !["Pending", "Failed", "Succeeded"].contains(&phase);
    runs && unready(pod).is_none()
}
