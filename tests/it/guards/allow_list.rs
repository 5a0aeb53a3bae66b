//! The list of the clients that may call a host.

use super::*;

#[test]
fn a_changed_allow_list_is_in_force_at_every_proxy_when_the_command_ends() {
    let shop = Shop::open("access", &["ada", "ben", "mallory"]);
    expose(&shop, &["--allow", "ada,mallory"]).exits(0);
    assert_eq!(at_each_replica(&shop, "mallory"), [200, 200]);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);

    let changed = expose(&shop, &["--allow-add", "ben", "--allow-remove", "mallory"]).exits(0);
    assert_eq!(at_each_replica(&shop, "mallory"), [403, 403]);
    assert_eq!(at_each_replica(&shop, "ben"), [200, 200]);
    let line = |name: &str| {
        let mut lines = changed.stdout.lines();
        lines
            .find(|line| line.trim_start().starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(line("added").ends_with("/ben"), "{changed:#?}");
    assert!(line("removed").ends_with("/mallory"), "{changed:#?}");

    let again = expose(&shop, &[]).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
    assert!(!again.stderr.contains("open connections"), "{again:#?}");
    expose(&shop, &["--allow-any"]).exits(0);
    assert_eq!(at_each_replica(&shop, "mallory"), [200, 200]);
    assert!(!has_policy(&shop.desk, &host_guard(&shop.desk)));
}

#[test]
fn clients_that_no_list_can_mean_are_refused_with_the_nearest_name() {
    let shop = Shop::open("misspelt", &["ada", "zoe"]);
    shop.revoke(&["zoe"]).exits(0);
    let refused = |flags: &[&str]| expose(&shop, flags).exits(2);
    refused(&["--allow", "adda"])
        .says("no client named `adda`")
        .says("did you mean `ada`?");
    refused(&["--allow", "ada,zoe"]).says("every certificate of client `zoe` is revoked");
    refused(&["--allow-add", "ada"]).says("has no allow-list");
    assert!(!has_policy(&shop.desk, &host_guard(&shop.desk)));

    expose(&shop, &["--allow", "ada,adda", "--allow-unknown"]).exits(0);
    refused(&["--allow-remove", "ben"]).says("is not on the allow-list");
    refused(&["--allow-remove", "ada,adda"]).says("no client could call");
    expose(&shop, &["--allow-remove", "adda"]).exits(0);
    let list = policy(&shop.desk, &host_guard(&shop.desk));
    let principals = &list["spec"]["rules"][0]["from"][0]["source"]["notPrincipals"];
    assert_eq!(
        *principals,
        json!([format!("{}-clients/ada", shop.authority)])
    );
}

#[test]
fn a_client_with_a_uri_of_its_own_is_listed_by_that() {
    let shop = Shop::open("uri", &[]);
    shop.issue("robot", &["--uri", "spiffe://corp.example/robot"]);
    expose(&shop, &["--allow", "robot"]).exits(0);
    assert_eq!(at_each_replica(&shop, "robot"), [200, 200]);
    let list = policy(&shop.desk, &host_guard(&shop.desk));
    let principals = &list["spec"]["rules"][0]["from"][0]["source"]["notPrincipals"];
    assert_eq!(*principals, json!(["corp.example/robot"]));
}

#[test]
fn two_changes_of_an_allow_list_at_once_lose_nobody() {
    let shop = Shop::open("together", &["ada", "ben", "mallory"]);
    expose(&shop, &["--allow", "ada,mallory"]).exits(0);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| expose(&shop, &["--allow-add", "ben"]));
        let other = scope.spawn(|| expose(&shop, &["--allow-remove", "mallory"]));
        one.join().unwrap().exits(0);
        other.join().unwrap().exits(0);
    });
    expose(&shop, &[]).exits(0);
    assert_eq!(at_each_replica(&shop, "ada"), [200, 200]);
    assert_eq!(at_each_replica(&shop, "ben"), [200, 200]);
    assert_eq!(at_each_replica(&shop, "mallory"), [403, 403]);
}

/// The change that read the list first is written last: it begins anew with what the other one wrote.
#[test]
fn a_change_of_an_allow_list_that_was_overtaken_loses_nobody() {
    let shop = Shop::open("overtaken", &["ada", "ben", "mallory"]);
    let desk = &shop.desk;
    expose(&shop, &["--allow", "ada,mallory"]).exits(0);
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let through = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    let add = ["expose", "httpbin", "--allow-add", "ben"];
    let writes = || {
        let name = host_guard(desk);
        let lines = door.lines().into_iter().enumerate();
        let puts = lines.filter(|(_, line)| line.starts_with("PUT ") && line.contains(&name));
        puts.map(|(place, _)| place).collect::<Vec<_>>()
    };
    door.let_through();
    through.run(&add).exits(0);
    // The first one is a dry run.
    let [_, write] = writes()[..] else {
        panic!("{:#?}", door.lines());
    };
    expose(&shop, &["--allow", "ada,mallory"]).exits(0);
    // The guard has been read, and is about to be written.
    door.plan(u32::try_from(write).unwrap() - 1, Fault::Pause);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| through.run(&add));
        eventually("the slow change is held", || door.is_holding());
        expose(&shop, &["--allow-remove", "mallory"]).exits(0);
        door.release();
        late.join().unwrap().exits(0);
    });
    assert!(writes().len() > 2, "one in vain: {:#?}", door.lines());
    let list = policy(desk, &host_guard(desk));
    let principals = &list["spec"]["rules"][0]["from"][0]["source"]["notPrincipals"];
    let named = |name: &str| format!("{}-clients/{name}", shop.authority);
    assert_eq!(*principals, json!([named("ada"), named("ben")]));
}

#[test]
fn where_guard_and_route_name_different_clients_the_guard_counts_and_status_warns() {
    let shop = Shop::open("differing", &["ada", "ben"]);
    let desk = &shop.desk;
    expose(&shop, &["--allow", "ada"]).exits(0);
    let rule = "apirules.gateway.kyma-project.io";
    let route = || desk.get(&desk.namespace, rule, "httpbin-mtls")["metadata"].clone();
    let noted = route()["annotations"][CLIENTS_ANNOTATION].clone();
    let change = format!(
        "{CLIENTS_ANNOTATION}=spiffe://{}-clients/ben",
        shop.authority
    );
    let annotate = [
        "-n",
        &desk.namespace,
        "annotate",
        "--overwrite",
        rule,
        "httpbin-mtls",
    ];
    desk.kubectl(&[&annotate[..], &[&change]].concat(), "");
    let found = desk.run(&["status", "-o", "json"]).exits(1).json();
    let findings = found["findings"].as_array().unwrap();
    let ids: Vec<_> = findings
        .iter()
        .map(|one| (&one["id"], &one["severity"]))
        .collect();
    assert_eq!(ids, [(&json!("guard/differs"), &json!("warning"))]);
    assert_eq!(at_each_replica(&shop, "ada"), [200, 200]);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);
    expose(&shop, &[]).exits(0);
    assert_eq!(route()["annotations"][CLIENTS_ANNOTATION], noted);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);
    desk.run(&["status"]).exits(0);
}
