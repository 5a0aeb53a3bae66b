//! Every command does its work under exactly the rules that plugin.yaml lists for it, and asks for nothing else.

mod rules;

use serde_json::json;

use crate::lab::{Desk, gateway};
use crate::shop::unmove;
use crate::situations::{lag_behind, lose, others_ca, set_up_by_hand, unbooked, used};
use crate::stage::{NAMESPACE, SERVICE, Stage, stage};
use rules::{disagreements, is_for_a_new_namespace, rules_of};

pub(crate) use rules::{Cast, is_for_cert_manager, is_for_istio_alone, rules_in, unlisted, unused};

const COMMANDS: [&str; 8] = [
    "expose",
    "unexpose",
    "issue-client",
    "renew-client",
    "list-clients",
    "ca-rotate",
    "status",
    "revoke-client",
];

/// What `status` reads of a Gateway for another ingress than Istio's default one.
fn look_at_another_ingress(stage: &Stage, status: &Cast) {
    let secrets = ["kyma-mtls", "kyma-mtls-clients-cacert"];
    let tls =
        json!({"mode": "MUTUAL", "credentialName": secrets[0], "caCertCredentialName": secrets[1]});
    let mut other = gateway(NAMESPACE, "private", &["private.example.com"], &tls);
    other["spec"]["selector"] = json!({"istio": "private"});
    // Its route names a subset, which a DestinationRule must define.
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": NAMESPACE, "name": "private"},
        "spec": {
            "hosts": ["private.example.com"], "gateways": ["private"],
            "http": [{"route": [{"destination": {"host": SERVICE, "subset": "v1"}}]}],
        },
    });
    // A proxy of another namespace that the host's own Gateway selects, unless istiod keeps it to its namespace.
    let proxy = json!({"name": "istio-proxy", "image": "proxy", "args": ["proxy", "router"]});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": "router", "labels": {"app": "istio-ingressgateway", "istio": "ingressgateway"}},
        "spec": {"containers": [proxy]},
    });
    let objects = vec![other, route, pod];
    stage.desk.instance.create(objects).unwrap();
    let report = stage.run(&status.user, &["status"]).exits(1);
    let several = format!("also run in `{NAMESPACE}`");
    assert!(report.unwrapped().contains(&several), "{report:#?}");
    let delete = ["-n", NAMESPACE, "delete", "pod", "router", "--now"];
    stage.desk.kubectl(&delete, "");
    for kind in [
        "gateways.networking.istio.io",
        "virtualservices.networking.istio.io",
    ] {
        stage
            .desk
            .kubectl(&["-n", NAMESPACE, "delete", kind, "private"], "");
    }
}

/// The sample in the place of the echo, in a namespace that says nothing of sidecars; and the echo again.
fn deploy_the_sample(stage: &Stage, expose: &Cast) {
    let kubectl = |arguments: &[&str]| stage.desk.kubectl(arguments, "");
    let label = |value| kubectl(&["label", "--overwrite", "namespace", NAMESPACE, value]);
    let sample = "services,serviceaccounts,deployments";
    kubectl(&["-n", NAMESPACE, "delete", "service", SERVICE]);
    label("istio-injection-");
    stage
        .run(
            &expose.user,
            &["expose", "--sample", "--inject", "--no-wait"],
        )
        .exits(0);
    kubectl(&["-n", NAMESPACE, "delete", sample, SERVICE]);
    label("istio-injection=enabled");
    stage.desk.instance.deploy_echo(NAMESPACE, SERVICE).unwrap();
}

/// A mesh whose istiod is said to see labelled namespaces only; that of the stage goes by a file.
fn select_namespaces(stage: &Stage, expose: &Cast, status: &Cast) {
    let kubectl = |arguments: &[&str]| stage.desk.kubectl(arguments, "");
    let mesh = "discoverySelectors: [{matchLabels: {mesh: seen}}]";
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh},
    });
    stage.desk.instance.create(vec![config]).unwrap();
    let run = stage.run(&expose.user, &["expose", SERVICE]).exits(0);
    let labelled = "namespace/kubectl-mtls configured";
    assert!(run.stdout.contains(labelled), "{run:#?}");
    let report = stage.run(&status.user, &["status"]).exits(1);
    let unseen = format!("istiod does not see the namespace `{NAMESPACE}`, where the Service is");
    assert!(report.unwrapped().contains(&unseen), "{report:#?}");
    kubectl(&["-n", "istio-system", "delete", "configmap", "istio"]);
    kubectl(&["label", "namespace", "kubectl-mtls", "mesh-"]);
}

/// Runs something while no istiod is found, so that another cluster may have the one that configures the proxies.
fn without_istiod(stage: &Stage, run: impl FnOnce()) {
    let istiod = ["-n", "istio-system", "label", "deployment", "istiod"];
    let label = |app: &str| stage.desk.kubectl(&[&istiod[..], &[app]].concat(), "");
    label("app-");
    run();
    label("app=istiod");
}

#[test]
fn register_domain_works_under_its_roles_and_uses_all_of_them() {
    let stage = stage();
    let desk = &stage.desk;
    let of_domain = ["--domain", "a.example.com"];
    let cast = Cast::new(&stage, "register-domain", &of_domain);
    let mark = desk.instance.audit_mark().unwrap();
    let token = desk.folder.path().join("token");
    let from_file = format!("--from-file={}", token.display());
    for value in ["first", "second"] {
        std::fs::write(&token, value).unwrap();
        let arguments = [
            "register-domain",
            "a.example.com",
            "--provider",
            "cloudflare-dns",
            &from_file,
        ];
        stage.run(&cast.user, &arguments).exits(0);
    }
    let events = desk.instance.audit_log_of(&cast.user.name, mark).unwrap();
    let denied: Vec<_> = events.iter().filter(|event| event.code == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    for rule in &cast.rules {
        for verb in &rule.verbs {
            let is_used = events.iter().any(|event| used(rule, verb, event));
            assert!(is_used, "never used `{verb}` of {rule:?}");
        }
    }
    let made = "dnsproviders,secrets";
    desk.kubectl(
        &["-n", NAMESPACE, "delete", made, "--all", "--wait=false"],
        "",
    );
}

#[test]
fn a_namespace_is_made_by_who_may_create_namespaces_and_has_the_rest_of_the_rights_in_it() {
    let stage = stage();
    stage.clear();
    let instance = &stage.desk.instance;
    // A Role in a namespace cannot be there before it.
    let mut rules = rules_of("expose", &[]);
    for rule in &mut rules {
        rule.namespace = rule.namespace.take().filter(|name| name != NAMESPACE);
    }
    let user = instance.user(&rules).unwrap();
    let mark = instance.audit_mark().unwrap();
    let desk = Desk::new(instance, "brought").with_kubeconfig(&user.kubeconfig);
    let arguments = ["expose", "--sample", "--create-namespace", "--no-wait"];
    desk.run(&arguments).exits(0);
    let events = instance.audit_log_of(&user.name, mark).unwrap();
    let create = rules
        .iter()
        .find(|rule| is_for_a_new_namespace(rule))
        .unwrap();
    assert!(events.iter().any(|event| used(create, "create", event)));
    let denied: Vec<_> = events.iter().filter(|event| event.code == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let kinds = "apirules.gateway.kyma-project.io,gateways.networking.istio.io";
    desk.kubectl(&["-n", "brought", "delete", kinds, "--all"], "");
}

/// Runs something while there is a Service without selector for clients outside the cluster, which may lead anywhere.
fn beside_a_public_service(stage: &Stage, run: impl FnOnce()) {
    let public = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": "public"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    });
    stage.desk.instance.create(vec![public]).unwrap();
    run();
    let delete = ["-n", NAMESPACE, "delete", "service", "public"];
    stage.desk.kubectl(&delete, "");
}

#[test]
fn every_command_works_under_its_roles_and_uses_all_of_them() {
    let stage = stage();
    stage.clear();
    let instance = &stage.desk.instance;
    let mark = instance.audit_mark().unwrap();
    let services = ["--service", SERVICE, "--service", "nothing"];
    let [expose, unexpose, issue, renew, list, rotate, status, revoke] =
        COMMANDS.map(|command| Cast::new(&stage, command, &services));
    let run = |cast: &Cast, code: i32, arguments: &[&str]| {
        stage
            .run(&cast.user, &[&[cast.command], arguments].concat())
            .exits(code);
    };
    // The first client makes the authority, and `expose` tells it its Gateway.
    run(&issue, 0, &["alice"]);
    run(&expose, 2, &["nothing"]);
    run(&expose, 2, &[SERVICE, "--domain", "nobodys.example.net"]);
    run(&expose, 2, &[SERVICE, "--selector", "istio=private"]);
    run(&expose, 0, &[SERVICE]);
    run(&issue, 0, &["alice", "--another"]);
    run(&issue, 0, &["dora", "--uri", "urn:dora"]);
    let host = format!("{SERVICE}.mtls.{}", stage.desk.instance.domain());
    let by_gateway = ["--gateway", "kyma-mtls-gateway"];
    for (cast, client) in [
        (&issue, &["carol", "--another"][..]),
        (&list, &[]),
        (&renew, &["carol"]),
    ] {
        run(cast, 0, &[client, &by_gateway].concat());
        run(cast, 0, &[client, &["--host", &host]].concat());
    }
    // A Gateway as earlier versions made it, whose Secret lags behind the authority each time.
    let secret = unmove(&stage.desk, "kyma-mtls");
    let lag = || lag_behind(&stage, &secret);
    lag();
    run(&issue, 0, &["bob"]);
    lag();
    run(&renew, 0, &["bob"]);
    lag();
    run(&revoke, 0, &["bob"]);
    run(&issue, 0, &["bob", "--another", "--force"]);
    run(&expose, 0, &[SERVICE]);
    let all = ["--expiring-within", "1000d", "--out", "renewed"];
    run(&renew, 0, &all);
    run(&list, 0, &[]);
    run(&list, 0, &["bob"]);
    run(&list, 0, &["-A"]);
    run(&revoke, 0, &["bob"]);
    // One that the inventory does not hold gets its entry.
    let certificate = unbooked(&stage);
    run(&revoke, 0, &["--certificate", &certificate]);
    run(&status, 0, &[]);
    look_at_another_ingress(&stage, &status);
    run(&rotate, 0, &[]);
    run(&rotate, 0, &["--finish", "--force"]);
    run(&revoke, 0, &["carol", "--close-connections"]);
    lose(&stage, "kubectl-mtls", "kyma-mtls");
    run(&rotate, 0, &["--restore", "--accept-loss"]);
    lose(&stage, "kubectl-mtls-clients", "authority-kyma-mtls");
    run(&rotate, 0, &["--accept-inventory"]);
    beside_a_public_service(&stage, || run(&expose, 0, &[SERVICE, "--allow", "alice"]));
    run(&expose, 0, &[SERVICE, "--dns-entry"]);
    run(&expose, 0, &[SERVICE, "--dns-entry=false"]);
    run(&expose, 0, &[SERVICE, "--dns-entry"]);
    run(&expose, 0, &[SERVICE, "--allow-any"]);
    run(&expose, 0, &[SERVICE, "--allow", "alice"]);
    let another = "spiffe://example.com/bob";
    run(&expose, 0, &[SERVICE, "--allow-add", another]);
    let switched_off = [
        "-n",
        "istio-system",
        "annotate",
        "authorizationpolicies.security.istio.io",
        "--all",
        "istio.io/dry-run=true",
    ];
    stage.desk.kubectl(&switched_off, "");
    run(&expose, 0, &[SERVICE]);
    select_namespaces(&stage, &expose, &status);
    without_istiod(&stage, || run(&expose, 0, &[SERVICE]));
    deploy_the_sample(&stage, &expose);
    run(&unexpose, 0, &[SERVICE, "--purge", "--yes"]);
    set_up_by_hand(&stage);
    run(&issue, 2, &["erin"]);
    run(&expose, 0, &[SERVICE, "--fail-closed"]);
    // And without an authority `expose` makes it. A Certificate that cannot be issued goes when another source is chosen.
    stage.clear();
    let certificates = instance.stand_ins().certificates();
    certificates.restrict_default_issuer(["nowhere.example.org"]);
    run(&expose, 2, &[SERVICE]);
    certificates.restrict_default_issuer(Vec::<String>::new());
    run(
        &expose,
        0,
        &[SERVICE, "--server-certificate", "self-signed"],
    );
    // Beside CAs of others `ca-rotate` makes it.
    stage.clear();
    run(&expose, 0, &[SERVICE, "--client-ca", &others_ca(&stage)]);
    run(&rotate, 0, &[]);

    let mut wrong = Vec::new();
    for cast in [expose, unexpose, issue, renew, list, rotate, status, revoke] {
        let events = instance.audit_log_of(&cast.user.name, mark).unwrap();
        wrong.extend(disagreements(&cast, &events));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_required_rules_of_one_service_are_enough() {
    let stage = stage();
    stage.clear();
    let only = ["--required-only", "--service", SERVICE];
    // `status` requires nothing: what it may not read it says.
    stage
        .desk
        .run(&[&["rbac", "status"], &only[..]].concat())
        .exits(0)
        .says("no permissions are needed");
    let nothing = stage.desk.instance.user(&[]).unwrap();
    let required = COMMANDS.into_iter().filter(|command| *command != "status");
    let casts: Vec<Cast> = required
        .map(|command| Cast::new(&stage, command, &only))
        .collect();
    let [expose, unexpose, issue, renew, list, rotate, revoke] = casts.as_slice() else {
        panic!("seven commands");
    };
    // None of them may port-forward.
    let run = |cast: &Cast, arguments: &[&str]| {
        let desk = stage.desk.with_kubeconfig(&cast.user.kubeconfig);
        desk.at_the_balancer().run(arguments)
    };
    run(expose, &["expose", SERVICE]).exits(0);
    let mark = stage.desk.instance.audit_mark().unwrap();
    run(issue, &["issue-client", "alice"]).exits(0);
    run(list, &["list-clients"]).exits(0);
    run(list, &["list-clients", "alice"]).exits(0);
    run(renew, &["renew-client", "alice"]).exits(0);
    run(revoke, &["revoke-client", "alice"])
        .exits(0)
        .says("replicas were not checked one by one");
    run(rotate, &["ca-rotate"]).exits(0);
    run(rotate, &["ca-rotate", "--finish", "--force"]).exits(0);
    // Where the Gateway reads its authority, none of them needs a Secret beside the proxies.
    let log = stage.desk.instance.audit_log(mark).unwrap();
    for cast in [issue, list, renew, revoke, rotate] {
        let own = log.iter().filter(|event| event.user == cast.user.name);
        let mut secrets = own.clone().filter(|event| event.resource == "secrets");
        assert!(own.count() > 0, "{}", cast.command);
        let beside = secrets.find(|event| event.namespace != "kubectl-mtls");
        assert!(beside.is_none(), "{}: {beside:#?}", cast.command);
    }
    // What it could not look at, it says.
    let desk = stage.desk.with_kubeconfig(&nothing.kubeconfig);
    let told = desk.at_the_balancer().run(&["status"]).exits(1);
    assert!(
        told.stdout.contains("kubectl mtls rbac status"),
        "{told:#?}"
    );
    run(unexpose, &["unexpose", SERVICE]).exits(0);
}
