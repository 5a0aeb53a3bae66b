//! Extensions of a proxy: WebAssembly modules and Lua scripts in the path of its requests
//! (<https://istio.io/latest/docs/reference/config/proxy_extensions>).

use serde_json::Value;

use super::gateway_api::GATEWAY_NAME_LABEL;
use super::workload_access::Labels;
use super::{Kind, Object};

/// The kinds of extensions.
pub const KINDS: [Kind; 2] = [Kind::WasmPlugin, Kind::TrafficExtension];

/// Whether an extension in the namespace of an ingress gateway's proxy, or in the mesh's root namespace, acts on it; unknown counts as yes
/// (istiod, `pilot/pkg/model/policyattachment.go`, `ShouldAttachPolicy`, and `extensions.go`, `matchMode`).
pub fn acts_on(extension: &Object, labels: Labels<'_>) -> bool {
    let targets = items(extension, "targetRefs").chain(extension.at(&["spec", "targetRef"]));
    let mut targets = targets.peekable();
    if targets.peek().is_some() {
        let is_of = |target: &Value| {
            let name = target.get("name").and_then(Value::as_str);
            let mut known = labels.known.iter();
            known.any(|(key, value)| key == GATEWAY_NAME_LABEL && name == Some(value.as_str()))
        };
        return targets.any(is_of);
    }
    // At gateways all listeners are of clients.
    let is_of_clients = |selector: &Value| selector.get("mode") != Some(&"SERVER".into());
    let mut selectors = items(extension, "match").peekable();
    let is_matched = selectors.peek().is_none() || selectors.any(is_of_clients);
    is_matched && labels.are_selected_by(extension.at(&["spec", "selector"])) != Some(false)
}

/// What an extension runs, as text.
pub fn describe(extension: &Object) -> &'static str {
    match extension.at(&["spec", "lua"]) {
        Some(_) => "a Lua script",
        None => "a WebAssembly module",
    }
}

/// Whether proxies let no request pass while they cannot load the extension's module (`extensions/v1alpha1/wasm.proto`, `FailStrategy`).
pub fn is_fail_closed(extension: &Object) -> bool {
    let field = |path: &[&str]| extension.at(path).and_then(Value::as_str);
    let strategy = field(&["spec", "failStrategy"]);
    let strategy = strategy.or_else(|| field(&["spec", "wasm", "failStrategy"]));
    extension.at(&["spec", "lua"]).is_none() && strategy != Some("FAIL_OPEN")
}

fn items<'a>(extension: &'a Object, field: &str) -> impl Iterator<Item = &'a Value> {
    let items = extension.at(&["spec", field]).and_then(Value::as_array);
    items.into_iter().flatten()
}
