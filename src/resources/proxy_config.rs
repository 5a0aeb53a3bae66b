//! What an Envoy of Istio says of its own configuration (`/config_dump`, `envoy.admin.v3.ListenersConfigDump`).

use std::collections::BTreeSet;

use serde_json::Value;

/// The prefix of a Secret's name where istiod hands it to a gateway (`pilot/pkg/model/credentials`).
const OF_KUBERNETES: &str = "kubernetes://";

/// The Secrets by which its active listeners check client certificates.
pub fn trusted_secrets(dump: &Value) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    let listeners = dump.get("configs").and_then(Value::as_array);
    let active = listeners
        .into_iter()
        .flatten()
        .filter_map(|listener| listener.get("active_state"));
    for state in active {
        collect(state, &mut secrets);
    }
    secrets
}

fn collect(value: &Value, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let named = fields
                .get("validation_context_sds_secret_config")
                .and_then(|config| config.get("name")?.as_str());
            secrets.extend(
                named.map(|name| name.strip_prefix(OF_KUBERNETES).unwrap_or(name).to_owned()),
            );
            fields.values().for_each(|field| collect(field, secrets));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_listener_still_drains_counts_no_more() {
        let with = |name: &str| {
            json!({"listener": {"filter_chains": [{"transport_socket": {"typed_config": {
                "common_tls_context": {"combined_validation_context": {
                    "validation_context_sds_secret_config": {"name": format!("kubernetes://{name}")},
                }},
            }}}]}})
        };
        let dump =
            json!({"configs": [{"active_state": with("new"), "draining_state": with("old")}]});
        assert_eq!(trusted_secrets(&dump), ["new".to_owned()].into());
    }
}
