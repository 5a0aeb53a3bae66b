//! More clients than anybody lists, and longer names than anybody has: no command ends by them, and no table is unreadable.

use serde_json::json;

use crate::lab::Run;
use crate::list_clients::entry;
use crate::shop::Shop;

const FORMS: [&str; 5] = ["table", "wide", "json", "yaml", "name"];

/// The run ended by itself, and its table stays readable; `wide` shows all.
#[track_caller]
fn is_readable(run: &Run, form: &str) {
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    if form == "table" {
        let longest = run.stdout.lines().map(str::len).max();
        assert!(longest < Some(2_000), "{form}: {longest:?}");
    }
}

#[test]
fn a_list_of_1400_clients_is_written_shown_and_changed() {
    let shop = Shop::open("crowd", &["alice", "bob"]);
    let desk = &shop.desk;
    let uri = |number: usize| format!("spiffe://clients.example.com/device-{number:04}");
    let mut listed: Vec<String> = (0..1_400).map(uri).collect();
    listed.push("alice".to_owned());
    let expose = |flags: &[&str]| desk.run(&[&["expose", "httpbin"], flags].concat());
    expose(&["--allow", &listed.join(",")]).exits(0);
    let again = expose(&[]).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
    shop.admits("alice");
    assert!(matches!(
        shop.call("bob"),
        sandbox::Reply::Answered { status: 403, .. }
    ));
    for form in FORMS {
        is_readable(&desk.run(&["status", "-o", form]).exits(0), form);
        let again = desk.run(&["expose", "httpbin", "-o", form]).exits(0);
        is_readable(&again, form);
    }
    let report = desk.run(&["status", "-o", "json"]).exits(0).json();
    assert!(report.to_string().contains("device-1399"));
    expose(&["--allow-remove", &uri(700), "--allow-add", "bob"]).exits(0);
    shop.admits("bob");
}

#[test]
fn a_uri_of_70_000_characters_in_an_entry_ends_no_command() {
    let shop = Shop::open("longest", &["alice"]);
    let desk = &shop.desk;
    let uri = format!("spiffe://clients.example.com/{}", "a".repeat(70_000));
    let mut giant = entry(&shop.authority, "giant", "issued", 30);
    giant["metadata"]["annotations"]["kubectl-mtls.dev/uri"] = json!(uri);
    desk.instance.create(vec![giant]).unwrap();
    for form in FORMS {
        let listed = shop.run(&["list-clients", "-o", form]).exits(0);
        is_readable(&listed, form);
        assert!(listed.stdout.contains("giant") && listed.stdout.contains("alice"));
        is_readable(&desk.run(&["status", "-o", form]), form);
    }
    let clients = shop.run(&["list-clients", "-o", "json"]).exits(0).json();
    let uris = clients["clients"].as_array().unwrap().iter();
    assert!(
        uris.map(|client| &client["uri"])
            .any(|shown| shown.as_str() == Some(uri.as_str()))
    );
    let listed = desk.run(&["expose", "httpbin", "--allow", "alice,giant"]);
    // Who is added is told in full, however long.
    is_readable(&listed, "json");
    listed.exits(0);
    shop.admits("alice");
    for form in FORMS {
        for run in [
            desk.run(&["status", "-o", form]),
            desk.run(&["expose", "httpbin", "-o", form]).exits(0),
        ] {
            is_readable(&run, "json");
        }
    }
}
