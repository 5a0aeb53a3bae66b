//! A guard that somebody changed.

use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::eventually;
use crate::shop::Shop;

use super::finds;

/// The host guard of a Service as `expose --allow` wrote it.
struct Guard {
    shop: Shop,
    name: String,
}

impl Guard {
    fn open(purpose: &str) -> Self {
        let shop = Shop::open(purpose, &["alice", "bob"]);
        shop.desk
            .run(&["expose", "httpbin", "--allow", "alice"])
            .exits(0);
        let namespace = &shop.desk.namespace;
        let name =
            kubectl_mtls::resources::guard::host_reference("istio-system", namespace, "httpbin")
                .name;
        Self { shop, name }
    }

    fn kubectl(&self, arguments: &[&str]) {
        let all = [&["-n", "istio-system"], arguments].concat();
        self.shop.desk.kubectl(&all, "");
    }

    fn patch(&self, patch: &Value) {
        let text = patch.to_string();
        self.kubectl(&[
            "patch",
            "authorizationpolicy",
            &self.name,
            "--type=json",
            "-p",
            &text,
        ]);
    }

    fn status_of_bob(&self) -> Option<u16> {
        match self.shop.call("bob") {
            Reply::Answered { status, .. } => Some(status),
            _ => None,
        }
    }
}

#[test]
fn a_guard_that_somebody_weakened_is_an_error_while_it_lets_others_in() {
    let guard = Guard::open("weak-guard");
    let desk = &guard.shop.desk;
    assert_eq!(guard.status_of_bob(), Some(403));
    desk.run(&["status"]).exits(0);
    let reference = ["authorizationpolicy", guard.name.as_str()];
    let annotate = |value: &str| guard.kubectl(&[&["annotate"], &reference[..], &[value]].concat());
    let label = |value: &str| guard.kubectl(&[&["label"], &reference[..], &[value]].concat());
    let audit = json!([{"op": "replace", "path": "/spec/action", "value": "AUDIT"}]);
    let other = json!([{"op": "replace", "path": "/spec/selector", "value": {"matchLabels": {"app": "other"}}}]);
    let opened = json!([{"op": "replace", "path": "/spec/rules/0/from/0/source/notPrincipals", "value": ["*"]}]);
    let foreign = json!([
        {"op": "replace", "path": "/spec/rules/0/to/0/operation/hosts", "value": ["other.example.com"]},
    ]);
    let ways: [(&str, &dyn Fn()); 7] = [
        ("the action of the guard is `AUDIT`", &|| {
            guard.patch(&audit);
        }),
        ("the selector of the guard selects other proxies", &|| {
            guard.patch(&other);
        }),
        ("the rules of the guard were changed", &|| {
            guard.patch(&opened);
        }),
        ("the rules of the guard were changed", &|| {
            guard.patch(&foreign);
        }),
        ("`istio.io/dry-run` disables the guard", &|| {
            annotate("istio.io/dry-run=true");
        }),
        ("`istio.io/rev=canary`", &|| label("istio.io/rev=canary")),
        ("does not exist", &|| {
            guard.kubectl(&[&["delete"], &reference[..]].concat());
        }),
    ];
    for (words, weaken) in ways {
        weaken();
        let open = format!("bob is let in: {words}");
        eventually(&open, || guard.status_of_bob() == Some(200));
        let id = if words == "does not exist" {
            "guard/missing"
        } else {
            "guard/weakened"
        };
        finds(desk, &[], id, "error", words);
        desk.run(&["expose", "httpbin"]).exits(0);
        eventually("bob is denied again", || guard.status_of_bob() == Some(403));
        desk.run(&["status"]).exits(0);
    }
}
