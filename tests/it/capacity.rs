//! A state with hardly any room left: `revoke-client` stops in time, and what it advises then can be done.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kubectl_mtls::pki::authority::Authority;
use kubectl_mtls::pki::crl::{Crl, Reason, Revoked};
use kubectl_mtls::pki::serial::Serial;
use kubectl_mtls::resources::capacity::{LIMIT, ROTATION};
use sandbox::{AuditEvent, Reply};
use serde_json::Value;
use time::OffsetDateTime;

use crate::lab::{Run, state_of};
use crate::shop::Shop;

/// Has the CA's list grow until hardly more than `room` bytes are left in the state, and the history take the rest.
fn fill(shop: &Shop, room: usize) {
    let mut state = shop.state();
    let keys = shop.desk.get("kubectl-mtls", "secret", &shop.authority);
    let is_key = |(name, _): &(&String, &Value)| !name.contains('.');
    let mut keys = keys["data"].as_object().unwrap().iter().filter(is_key);
    let (_, key) = keys.next().unwrap();
    let key = BASE64.decode(key.as_str().unwrap()).unwrap();
    let now = OffsetDateTime::now_utc();
    let ca = Authority::load(state["data"]["ca.crt"].as_str().unwrap(), key, now).unwrap();
    let list = |entries: usize| {
        let entry = |number: usize| {
            let mut serial = [0x40; 20];
            serial[12..].copy_from_slice(&number.to_be_bytes());
            Revoked {
                serial: Serial::from_be_bytes(&serial),
                at: now,
                reason: Reason::Unspecified,
            }
        };
        let entries: Vec<Revoked> = (0..entries).map(entry).collect();
        Crl::sign(&ca, 1, &entries, None, now).unwrap().pem()
    };
    let [one, two] = [1000, 2000].map(|entries| list(entries).len());
    let free = |state: &Value| {
        let values = state["data"].as_object().unwrap().values();
        let taken: usize = values.map(|value| value.as_str().unwrap().len()).sum();
        LIMIT - room - taken
    };
    let entries = (free(&state) - one) * 1000 / (two - one) + 1000;
    state["data"]["ca.crl"] = list(entries).into();
    let mut inner = state_of(&state);
    inner["revision"] = 2.into();
    inner["history"] = Value::Array(Vec::new());
    state["data"]["state.json"] = inner.to_string().into();
    let rest = free(&state);
    assert!(rest < 500, "{rest}");
    // Less its quotation marks.
    inner["history"] = vec!["-".repeat(rest - 2)].into();
    state["data"]["state.json"] = inner.to_string().into();
    shop.desk
        .kubectl(&["replace", "-f", "-"], &state.to_string());
}

/// Revokes as somebody whom the audit log tells from all others, and tells what was written.
fn revoke(shop: &Shop, arguments: &[&str]) -> (Run, Vec<AuditEvent>) {
    const WHO: [&str; 4] = ["--as", "paul", "--as-group", "system:masters"];
    let mark = shop.desk.instance.audit_mark().unwrap();
    let run = shop.revoke(&[arguments, &WHO].concat());
    let mut events = shop.desk.instance.audit_log(mark).unwrap();
    events.retain(|event| {
        event.is_write()
            && event.impersonated.as_deref() == Some("paul")
            // A question.
            && event.resource != "selfsubjectreviews"
            && event.subresource != "portforward"
    });
    (run, events)
}

#[test]
fn a_revocation_that_does_not_fit_changes_nothing_and_a_rotation_makes_room() {
    let shop = Shop::open("full", &["alice", "bob"]);
    // One more client fits, with the certificate to look with and its line in the history.
    fill(&shop, ROTATION + 420);
    let (run, writes) = revoke(&shop, &["alice"]);
    run.exits(0).says("takes 96 % of what a ConfigMap can hold");
    assert!(writes.iter().any(|write| write.name == shop.authority));
    shop.refuses("alice");
    shop.admits("bob");

    let before = (shop.state(), shop.inventory());
    for arguments in [&["bob"][..], &["bob", "--dry-run"]] {
        let (run, writes) = revoke(&shop, arguments);
        run.exits(2)
            .says("and can hold 1048576")
            .says("`kubectl mtls ca-rotate` starts a CA with an empty revocation list")
            .says("nothing was changed");
        assert_eq!(writes, []);
    }
    assert_eq!((shop.state(), shop.inventory()), before);
    shop.admits("bob");
    shop.revoke(&["alice"]).exits(0);

    shop.run(&["ca-rotate"]).exits(0);
    shop.admits("bob");
    shop.issue("carol", &["--force"]);
    shop.run(&["ca-rotate", "--finish", "--force"]).exits(0);
    assert_eq!(shop.call("bob"), Reply::Refused("unknown_ca".to_owned()));
    shop.revoke(&["carol"]).exits(0);
    shop.refuses("carol");
}
