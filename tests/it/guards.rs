//! The guards on the ingress gateway: what comes in past the certificate check or without being listed is denied there, and
//! nothing else is.

use kubectl_mtls::resources::guard::{self, IDENTITY_HEADERS, spellings};
use kubectl_mtls::resources::names::{CLIENTS_ANNOTATION, GatewayName};
use sandbox::{Caller, Environment, Fault, Interceptor, Reply, Rule};
use serde_json::{Value, json};

use crate::lab::{
    Desk, Run, call, eventually, let_in, own_namespace, own_namespace_on, seen_by_application,
    started,
};
use crate::shop::Shop;

const GATEWAYS: &str = "gateways.networking.istio.io";
const POLICIES: &str = "authorizationpolicies.security.istio.io";

fn host_guard(desk: &Desk) -> String {
    guard::host_reference("istio-system", &desk.namespace, "httpbin").name
}

fn header_guard(desk: &Desk) -> String {
    guard::headers_reference(
        "istio-system",
        &GatewayName::new(&desk.namespace, "kyma-mtls-gateway"),
    )
    .name
}

fn policy(desk: &Desk, name: &str) -> Value {
    desk.get("istio-system", POLICIES, name)
}

fn has_policy(desk: &Desk, name: &str) -> bool {
    let found = [
        "-n",
        "istio-system",
        "get",
        POLICIES,
        name,
        "--ignore-not-found",
        "-o",
        "name",
    ];
    !desk.kubectl(&found, "").is_empty()
}

#[track_caller]
fn status(reply: &Reply) -> u16 {
    match reply {
        Reply::Answered { status, .. } => *status,
        other => panic!("{other:?}"),
    }
}

/// What each replica answers a client.
fn at_each_replica(shop: &Shop, client: &str) -> Vec<u16> {
    let desk = &shop.desk;
    let replicas = desk.instance.replicas().iter();
    let [certificate, key] = ["crt", "key"].map(|suffix| desk.read(&format!("{client}.{suffix}")));
    replicas
        .map(|replica| {
            let caller =
                Caller::careless(replica.tls().to_string()).with_certificate(&certificate, &key);
            status(&call(&caller, &shop.host, &[]))
        })
        .collect()
}

fn expose(shop: &Shop, flags: &[&str]) -> Run {
    shop.desk.run(&[&["expose", "httpbin"], flags].concat())
}

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
fn a_guard_of_the_old_form_gets_the_rules_of_the_new_one() {
    let shop = Shop::open("old-form", &["ada", "ben"]);
    let desk = &shop.desk;
    expose(&shop, &["--allow", "ada"]).exits(0);
    let new = policy(desk, &host_guard(desk))["spec"]["rules"].clone();
    // One rule without conditions on the connection, as earlier versions wrote it.
    let mut old = new[0].clone();
    old.as_object_mut().unwrap().remove("when");
    let patch = json!([{"op": "replace", "path": "/spec/rules", "value": [old]}]).to_string();
    let object = ["-n", "istio-system", "patch", POLICIES, &host_guard(desk)];
    desk.kubectl(&[&object[..], &["--type=json", "-p", &patch]].concat(), "");
    expose(&shop, &[]).exits(0);
    assert_eq!(policy(desk, &host_guard(desk))["spec"]["rules"], new);
    assert_eq!(new.as_array().unwrap().len(), 3);
    assert_eq!(at_each_replica(&shop, "ada"), [200, 200]);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);
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

#[test]
fn a_lost_or_weakened_guard_is_restored_with_its_names() {
    let shop = Shop::open("restored", &["ada", "ben", "zoe"]);
    let desk = &shop.desk;
    expose(&shop, &["--allow", "ada,zoe"]).exits(0);
    let name = host_guard(desk);
    let right = policy(desk, &name)["spec"].clone();
    let in_istio = |arguments: &[&str]| {
        desk.kubectl(&[&["-n", "istio-system"], arguments].concat(), "");
    };
    let patch = |patch: Value| {
        in_istio(&[
            "patch",
            POLICIES,
            &name,
            "--type=json",
            "-p",
            &patch.to_string(),
        ]);
    };
    let is_right = |words: &str| {
        let run = expose(&shop, &[]).exits(0);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(words), "{run:#?}");
        let listed = said.split_once("only these clients may call the host: ");
        assert!(
            listed.is_none_or(|(_, names)| names.contains("/ada") && names.contains("/zoe")),
            "{run:#?}"
        );
        assert_eq!(policy(desk, &name)["spec"], right);
        assert_eq!(at_each_replica(&shop, "ben"), [403, 403], "{words}");
        assert_eq!(at_each_replica(&shop, "ada"), [200, 200], "{words}");
    };
    in_istio(&["delete", POLICIES, &name]);
    is_right("only these clients may call the host");
    in_istio(&["annotate", POLICIES, &name, "istio.io/dry-run=true"]);
    is_right("configured");
    let metadata = policy(desk, &name)["metadata"].clone();
    assert!(
        metadata["annotations"].get("istio.io/dry-run").is_none(),
        "{metadata}"
    );
    in_istio(&["label", POLICIES, &name, "istio.io/rev=canary"]);
    is_right("configured");
    for (path, value) in [
        ("/spec/action", json!("AUDIT")),
        ("/spec/selector/matchLabels", json!({"app": "other"})),
        ("/spec/rules/0/from/0/source/notPrincipals", json!(["*"])),
        ("/spec/rules/0/to/0/operation/hosts", json!([shop.host])),
        (
            "/spec/rules/0/to/0/operation/hosts",
            json!(["other.example.com", "other.example.com:*"]),
        ),
        ("/spec/rules", json!([])),
    ] {
        patch(json!([{"op": "replace", "path": path, "value": value}]));
        is_right("configured");
    }
    in_istio(&["delete", POLICIES, &header_guard(desk)]);
    is_right("created");
    assert!(has_policy(desk, &header_guard(desk)));
}

#[test]
fn no_spelling_of_an_identity_header_reaches_the_application() {
    let shop = Shop::open("forged", &["alice"]);
    let alice = shop.desk.client("alice");
    let of_envoy = spellings("X-Forwarded-Client-Cert");
    let of_client = IDENTITY_HEADERS.into_iter().flat_map(spellings);
    // Envoy sets this one itself, and takes none with `-` only from a client.
    let forged: Vec<String> = of_client.chain(of_envoy.into_iter().skip(1)).collect();
    assert_eq!(forged.len(), 31);
    for forged in &forged {
        for value in ["CN=mallory", ""] {
            let reply = call(&alice, &shop.host, &[(forged, value)]);
            assert_eq!(status(&reply), 403, "{forged}: {value:?}");
        }
    }
    let capital = call(&alice, &shop.host, &[("X-CLIENT_SSL-SAN", "CN=mallory")]);
    assert_eq!(status(&capital), 403);
    let honest = [("X-Client-Ssl", "a"), ("X-Forwarded-For", "10.0.0.1")];
    let headers = seen_by_application(&call(&alice, &shop.host, &honest));
    assert_eq!(headers["X-Client-Ssl-Cn"], "CN=alice");
}

#[test]
fn a_client_cannot_choose_a_header_that_the_route_sets_from_its_certificate() {
    let shop = Shop::open("chosen", &["alice"]);
    expose(
        &shop,
        &["--header", "X-CLIENT-DNS=%DOWNSTREAM_PEER_DNS_SAN%"],
    )
    .exits(0);
    let alice = shop.desk.client("alice");
    for spelling in ["X-CLIENT-DNS", "x_client_dns", "X_CLIENT-DNS"] {
        let reply = call(&alice, &shop.host, &[(spelling, "admin.example.com")]);
        assert_eq!(status(&reply), 403, "{spelling}");
    }
    seen_by_application(&call(&alice, &shop.host, &[]));
}

/// A server that somebody adds to the Gateway of a shop.
fn add_server(desk: &Desk, server: &Value) {
    let patch = json!([{"op": "add", "path": "/spec/servers/-", "value": server}]);
    let arguments = [
        "-n",
        &desk.namespace,
        "patch",
        GATEWAYS,
        "kyma-mtls-gateway",
        "--type=json",
        "-p",
    ];
    desk.kubectl(&[&arguments[..], &[&patch.to_string()]].concat(), "");
}

#[test]
fn another_server_of_the_gateway_is_refused_by_its_name_and_closed_by_the_guard() {
    let shop = Shop::open("opened", &["alice"]);
    let desk = &shop.desk;
    let parent = format!("*.{}", shop.host.split_once('.').unwrap().1);
    let server = json!({
        "hosts": [parent], "port": {"name": "open", "number": 443, "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": shop.authority},
    });
    add_server(desk, &server);
    let elsewhere = format!("other.{}", shop.host.split_once('.').unwrap().1);
    let careless = || Caller::careless(desk.instance.connect_to());
    let by_another_name = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let caller = careless().with_server_name(&elsewhere);
        runtime
            .unwrap()
            .block_on(caller.get(&shop.host, "/headers", &[]))
            .unwrap()
    };
    eventually("nobody is let in by another server name", || {
        matches!(by_another_name(), Reply::Answered { status: 200, .. })
    });
    let mark = desk.instance.audit_mark().unwrap();
    expose(&shop, &[])
        .exits(2)
        .says("server `open` (port 443, HTTPS SIMPLE)")
        .says(&format!(
            "kyma-mtls-gateway` serves `{}` to anybody",
            shop.host
        ))
        .says("--guard");
    let log = desk.instance.audit_log(mark).unwrap();
    // The objects beside the proxies and the authority have it in their names.
    let namespace = &desk.namespace;
    let written = log.iter().find(|event| {
        event.is_write() && !event.dry_run && event.request_uri.contains(namespace.as_str())
    });
    assert!(written.is_none(), "{written:?}");

    expose(&shop, &["--guard", "--dry-run=client"])
        .exits(0)
        .says("open connections");
    expose(&shop, &["--guard"])
        .exits(0)
        .says("open connections");
    assert_eq!(status(&by_another_name()), 403);
    assert_eq!(at_each_replica(&shop, "alice"), [200, 200]);
    let again = expose(&shop, &[]).exits(0);
    assert!(again.stdout.contains("already up to date"), "{again:#?}");
    expose(&shop, &["--guard=false"])
        .exits(2)
        .says("server `open`");
}

#[test]
fn a_gateway_that_somebody_opened_is_restored() {
    let shop = Shop::open("repaired", &["alice"]);
    let desk = &shop.desk;
    let gateway = || desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let right = gateway()["spec"].clone();
    let patch = |path: &str, value: Value| {
        let patch = json!([{"op": "replace", "path": path, "value": value}]).to_string();
        let arguments = [
            "-n",
            &desk.namespace,
            "patch",
            GATEWAYS,
            "kyma-mtls-gateway",
            "--type=json",
            "-p",
            &patch,
        ];
        desk.kubectl(&arguments, "");
    };
    for (path, value) in [
        ("/spec/servers/0/tls/mode", json!("SIMPLE")),
        ("/spec/servers/0/tls/mode", json!("OPTIONAL_MUTUAL")),
        ("/spec/servers/0/tls/credentialName", json!("other")),
        (
            "/spec/servers/0",
            json!({"hosts": [shop.host], "port": {"name": "http", "number": 80, "protocol": "HTTP"}}),
        ),
    ] {
        patch(path, value.clone());
        expose(&shop, &[]).exits(0);
        assert_eq!(gateway()["spec"], right, "{path}: {value}");
        assert!(
            matches!(call(&desk.nobody(), &shop.host, &[]), Reply::Refused(_)),
            "{path}: {value}"
        );
        let_in(&desk.client("alice"), &shop.host);
    }
    desk.kubectl(
        &[
            "-n",
            &desk.namespace,
            "delete",
            GATEWAYS,
            "kyma-mtls-gateway",
        ],
        "",
    );
    expose(&shop, &[]).exits(0);
    assert_eq!(gateway()["spec"], right);
    let_in(&desk.client("alice"), &shop.host);
}

#[test]
fn who_may_not_write_policies_gets_them_as_yaml_and_goes_on_when_they_stand() {
    let (desk, host) = own_namespace("unprivileged");
    let rules = [
        Rule::in_cluster("", &["*"], &["*"]),
        Rule::in_cluster("networking.istio.io", &["*"], &["*"]),
        Rule::in_cluster("gateway.kyma-project.io", &["*"], &["*"]),
        Rule::in_cluster("cert.gardener.cloud", &["*"], &["*"]),
        Rule::in_cluster("dns.gardener.cloud", &["*"], &["*"]),
        Rule::in_cluster(
            "security.istio.io",
            &["authorizationpolicies"],
            &["get", "list"],
        ),
    ];
    let user = desk.instance.user(&rules).unwrap();
    let limited = desk.with_kubeconfig(&user.kubeconfig);
    // The policies that are missing or wrong, as an administrator can apply them.
    let refused = |arguments: &[&str]| {
        let mark = desk.instance.audit_mark().unwrap();
        let refused = limited
            .run(arguments)
            .exits(2)
            .says("forbidden")
            .says("ask an administrator");
        let events = desk.instance.audit_log_of(&user.name, mark).unwrap();
        assert!(!events.iter().any(|event| event.is_write()
            && !event.dry_run
            && event.resource != "selfsubjectreviews"));
        let yaml = refused.stderr.split_once("apiVersion:").unwrap().1;
        format!("apiVersion:{yaml}")
    };
    let goes_on = |arguments: &[&str], yaml: &str| {
        desk.kubectl(&["apply", "-f", "-"], yaml);
        limited.run(arguments).exits(0);
        let again = limited.run(arguments).exits(0);
        assert!(again.stdout.contains("already up to date"), "{again:#?}");
    };
    let any = ["expose", "httpbin", "--host", &host];
    goes_on(&any, &refused(&any));
    let listed = [&any[..], &["--allow", "spiffe://clients.example.com/ada"]].concat();
    let yaml = refused(&listed);
    assert!(yaml.contains("clients.example.com/ada"), "{yaml}");
    goes_on(&listed, &yaml);
    // One that stands there and is wrong is none.
    let audit = json!([{"op": "replace", "path": "/spec/action", "value": "AUDIT"}]).to_string();
    let patch = ["-n", "istio-system", "patch", POLICIES, &host_guard(&desk)];
    desk.kubectl(&[&patch[..], &["--type=json", "-p", &audit]].concat(), "");
    goes_on(&any, &refused(&any));
    assert_eq!(policy(&desk, &host_guard(&desk))["spec"]["action"], "DENY");
}

/// Sends a line to a TCP server through the gateway's load balancer port; the answer's first line.
fn over_tcp(address: &std::net::SocketAddr) -> String {
    use std::io::{BufRead, BufReader, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        return String::new();
    };
    let wait = Some(std::time::Duration::from_secs(5));
    stream.set_read_timeout(wait).unwrap();
    let _ = stream.write_all(b"GET /headers HTTP/1.1\r\nHost: plain\r\nConnection: close\r\n\r\n");
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// A guard names the TCP servers that it spares, and so none that is newer: `status` says so, and a rerun spares it.
fn a_later_tcp_server_is_cut_until_the_guard_is_written_anew(shop: &Shop) {
    const PORT: u16 = 15432;
    let desk = &shop.desk;
    let namespace = &desk.namespace;
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": "later"},
        "spec": {
            "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
            "servers": [{"hosts": ["*"], "port": {"name": "db", "number": PORT, "protocol": "TCP"}}],
        },
    });
    let backend = json!({"destination": {"host": format!("httpbin.{namespace}.svc.cluster.local"), "port": {"number": 8000}}});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "later"},
        "spec": {"hosts": ["*"], "gateways": ["later"],
            "tcp": [{"match": [{"port": PORT}], "route": [backend]}]},
    });
    desk.instance.create(vec![gateway, route]).unwrap();
    let replica = &desk.instance.replicas()[0];
    let address = std::net::SocketAddr::new(replica.pod_ip.into(), PORT);
    eventually("the proxy listens on the later port", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    assert_eq!(over_tcp(&address), "", "the guard closes the connection");
    // Their routes lead to the same Service, which is a finding of its own.
    let of_guards = || {
        let status = desk.run(&["status", "-o", "json"]).exits(1).json();
        let findings = status["findings"].as_array().unwrap().iter();
        let is_of_guard = |finding: &&Value| finding["id"].as_str().unwrap().starts_with("guard/");
        findings.filter(is_of_guard).cloned().collect::<Vec<_>>()
    };
    let found = of_guards();
    let [finding] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(finding["id"], "guard/cuts-others");
    let seen = finding["seen"].as_str().unwrap();
    let server = format!("server `db` (port {PORT}) of the Gateway {namespace}/later");
    assert!(seen.contains(&server), "{seen}");
    expose(shop, &[]).exits(0);
    assert!(over_tcp(&address).starts_with("HTTP/1.1 200"));
    assert_eq!(at_each_replica(shop, "ben"), [403, 403]);
    assert_eq!(of_guards(), Vec::<Value>::new());
    desk.kubectl(&["-n", namespace, "delete", GATEWAYS, "later"], "");
    expose(shop, &[]).exits(0);
}

#[test]
fn the_tcp_https_and_passthrough_servers_of_others_serve_whatever_is_guarded() {
    // A TCP server takes a port for itself: this test has a cluster of its own.
    let instance = started(Environment::PlainIstio);
    let shop = Shop::exposed_in(own_namespace_on(&instance, "neighbour"), &[]);
    shop.issue("ada", &["--force"]);
    shop.issue("ben", &["--force"]);
    let desk = &shop.desk;
    let namespace = &desk.namespace;
    let parent = shop.host.split_once('.').unwrap().1;
    let [passed, ordinary] =
        ["passed", "ordinary"].map(|name| format!("{name}-{namespace}.{parent}"));
    let selector = json!({"app": "istio-ingressgateway", "istio": "ingressgateway"});
    // The Service's port 80 is the only other one that the proxies have: nothing else uses it here.
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": "theirs"},
        "spec": {"selector": selector, "servers": [
            {"hosts": ["*"], "port": {"name": "tcp", "number": 80, "protocol": "TCP"}},
            {"hosts": [passed], "port": {"name": "tls", "number": 443, "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}},
            {"hosts": [ordinary], "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
             "tls": {"mode": "SIMPLE", "credentialName": shop.authority}},
        ]},
    });
    let backend = json!({"destination": {"host": format!("httpbin.{namespace}.svc.cluster.local"), "port": {"number": 8000}}});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "theirs"},
        "spec": {"hosts": ["*"], "gateways": ["theirs"],
            "tcp": [{"match": [{"port": 80}], "route": [backend]}],
            "tls": [{"match": [{"port": 443, "sniHosts": [passed]}], "route": [backend]}]},
    });
    let http = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": "their-http"},
        "spec": {"hosts": [ordinary], "gateways": ["theirs"], "http": [{"route": [backend]}]},
    });
    instance.create(vec![gateway, route, http]).unwrap();
    let replica = &instance.replicas()[0];
    let tcp = std::net::SocketAddr::new(replica.pod_ip.into(), replica.http_port);
    let careless = || Caller::careless(instance.connect_to());
    // The backend speaks plain HTTP: a ClientHello that reaches it is answered with `400`, which is no TLS.
    let serve = || {
        let by_tcp = over_tcp(&tcp).starts_with("HTTP/1.1 200");
        let by_https = matches!(
            call(&careless(), &ordinary, &[]),
            Reply::Answered { status: 200, .. }
        );
        let by_passthrough = matches!(
            call(&careless(), &passed, &[]),
            Reply::Broken(reason) if reason.contains("corrupt message")
        );
        [by_tcp, by_https, by_passthrough]
    };
    for (number, name) in ["TCP", "HTTPS", "passthrough"].iter().enumerate() {
        eventually(&format!("the {name} server of others serves"), || {
            serve()[number]
        });
    }
    for flags in [
        &[][..],
        &["--guard"],
        &["--allow", "ada"],
        &["--allow-add", "ben"],
        &["--allow-remove", "ben"],
        &["--allow-any"],
    ] {
        expose(&shop, flags).exits(0);
        assert_eq!(serve(), [true; 3], "{flags:?}: TCP, HTTPS, passthrough");
    }
    expose(&shop, &["--allow", "ada"]).exits(0);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);
    a_later_tcp_server_is_cut_until_the_guard_is_written_anew(&shop);
    desk.run(&["unexpose", "httpbin"]).exits(0);
    assert_eq!(serve(), [true; 3], "after unexpose");
    desk.kubectl(&["-n", namespace, "delete", GATEWAYS, "theirs"], "");
}
