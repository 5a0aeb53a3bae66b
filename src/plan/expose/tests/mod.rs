//! Whole runs of `expose` on a cluster in memory.

mod cert_manager;
mod conflicts;
mod control_plane;
mod external;
mod faults;
mod guards;
mod headers;
mod hostile;
mod hosts;
mod ingress;
mod kubernetes_gateways;
mod managed_proxies;
mod moving;
mod server_certificate;
mod service;
mod several;
mod workload;

use serde_json::json;

use super::*;
use crate::plan::testing::kyma::{DOMAIN, expose_request};
use crate::plan::testing::{Cluster, Controllers};
use crate::resources::Object;
use crate::resources::names::GatewayName;

/// The host on the Kyma cluster.
fn default_host() -> String {
    format!("httpbin.mtls.{DOMAIN}")
}

/// The host on the cluster without Kyma.
const HOST: &str = "orders.example.com";

fn plain_request() -> Request {
    Request {
        host: Some(HOST.to_owned()),
        ..expose_request()
    }
}

/// Both clusters, each with its request and host.
fn both() -> [(Cluster, Request, String); 2] {
    [
        (Cluster::kyma(), expose_request(), default_host()),
        (Cluster::plain(), plain_request(), HOST.to_owned()),
    ]
}

/// Runs it, with every order asserted after each effect.
#[track_caller]
fn run(cluster: &mut Cluster, request: &Request, host: &str) -> Report {
    let mut run = crate::plan::testing::Run::begin(request);
    let result = cluster.finish_watched(&mut run, &mut |cluster: &Cluster| {
        cluster.assert_closed(host);
        cluster.assert_order_stands();
    });
    result.unwrap_or_else(|failure| panic!("{failure}: {:?}", failure.what_to_do()))
}

#[test]
fn a_first_run_ends_well_and_only_clients_get_in() {
    for (mut cluster, request, host) in both() {
        let report = run(&mut cluster, &request, &host);
        assert_eq!(report.host, host);
        assert!(report.looked.unwrap().own_client_admitted);
        assert_eq!(report.pending, Vec::<String>::new());
        let is_open = |note: &&String| note.contains("no AuthorizationPolicy");
        assert_eq!(report.notes.iter().find(is_open), None);
        let client = cluster.issue("alice");
        let alice = cluster.certificate(client).clone();
        assert_eq!(cluster.statuses(&host, Some(&alice)), [Some(200); 2]);
        let foreign = cluster.foreign_client();
        let foreign = cluster.certificate(foreign).clone();
        assert_eq!(cluster.statuses(&host, Some(&foreign)), [None; 2]);
    }
}

#[test]
fn a_proxy_that_rejects_its_listener_is_why_it_times_out() {
    for (mut cluster, request, _) in both() {
        cluster.proxies.rejecting = vec![1];
        cluster.proxies.listener_error = Some("script load error".to_owned());
        let failure = cluster.run(&request).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let why = "istio-ingressgateway-2: it rejects the listener 0.0.0.0_8443: script load error";
        let hints = failure.what_to_do();
        assert!(hints.iter().any(|hint| hint == why), "{hints:#?}");
    }
}

/// What was written beside what belongs to the authority itself.
fn written(cluster: &Cluster) -> Vec<&str> {
    let own = [
        " Namespace ",
        " Event ",
        " kubectl-mtls-clients/",
        " Secret kubectl-mtls/",
    ];
    let writes = cluster.writes.iter().map(String::as_str);
    writes
        .filter(|write| !own.iter().any(|own| write.contains(own)))
        .collect()
}

#[test]
fn all_is_written_in_the_order_that_keeps_the_host_closed() {
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    let headers = format!(
        "apply {}",
        crate::resources::guard::headers_reference("istio-system", &gateway)
    );
    let [
        (mut kyma, request, host),
        (mut plain, plain_request, plain_host),
    ] = both();
    run(&mut kyma, &request, &host);
    assert_eq!(
        written(&kyma),
        [
            "create ConfigMap kubectl-mtls/kyma-mtls",
            "create Secret istio-system/kyma-mtls-cacert",
            &headers,
            "apply DNSEntry shop/dns-entry",
            "apply Certificate istio-system/domain-certificate",
            "apply Gateway shop/kyma-mtls-gateway",
            "apply APIRule shop/httpbin-mtls",
        ]
    );
    run(&mut plain, &plain_request, &plain_host);
    assert_eq!(
        written(&plain),
        [
            "create ConfigMap kubectl-mtls/kyma-mtls",
            "create Secret istio-system/kyma-mtls-cacert",
            &headers,
            "create Secret istio-system/kyma-mtls",
            "apply Gateway shop/kyma-mtls-gateway",
            "apply AuthorizationPolicy shop/httpbin-mtls",
            "apply VirtualService shop/httpbin-mtls",
        ]
    );
}

#[test]
fn a_second_run_writes_nothing() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        cluster.writes.clear();
        let report = run(&mut cluster, &request, &host);
        assert_eq!(cluster.writes, Vec::<String>::new());
        assert!(!report.looked.unwrap().own_client_admitted, "no CA is new");
        // Nor does one that does not wait.
        let hasty = Request {
            wait: false,
            ..request
        };
        run(&mut cluster, &hasty, &host);
        assert_eq!(cluster.writes, Vec::<String>::new());
    }
}

#[test]
fn a_dry_run_on_a_fresh_cluster_has_a_placeholder_for_the_client_ca() {
    for dry_run in [DryRun::Client, DryRun::Server] {
        for (mut cluster, request, host) in both() {
            let report = run(&mut cluster, &Request { dry_run, ..request }, &host);
            assert!(report.new_client_ca && report.trusted.is_empty());
            let first = report.changes[0].object.clone();
            assert_eq!(first, "configmap/kyma-mtls");
            let names: Vec<&str> = report.objects.iter().map(Object::name).collect();
            assert!(!names.contains(&"kyma-mtls") && names.contains(&"kyma-mtls-gateway"));
            let says = report.notes.join("\n");
            assert!(says.contains("kubectl mtls issue-client NAME"), "{says}");
            assert_eq!(cluster.writes, Vec::<String>::new());
        }
    }
}

#[test]
fn a_service_of_another_namespace_is_found_there() {
    for namespace in ["default", "nowhere"] {
        let request = Request {
            namespace: namespace.to_owned(),
            ..expose_request()
        };
        let failure = Cluster::kyma().run(&request).unwrap_err();
        let hints = failure.what_to_do().join("\n");
        assert!(
            hints.contains("  kubectl mtls expose httpbin -n shop"),
            "{failure}: {hints}"
        );
    }
    let misspelt = Request {
        service: "httpbim".to_owned(),
        ..expose_request()
    };
    let failure = Cluster::kyma().run(&misspelt).unwrap_err();
    let hints = failure.what_to_do().join("\n");
    assert!(hints.contains("existing Services: httpbin"), "{hints}");
}

#[test]
fn a_dry_run_writes_nothing() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        cluster.writes.clear();
        let guarded = Request {
            dry_run: DryRun::Server,
            access: AccessChoice {
                guard: Some(true),
                ..AccessChoice::default()
            },
            ..request
        };
        let report = run(&mut cluster, &guarded, &host);
        assert_eq!(cluster.writes, Vec::<String>::new());
        assert!(report.dry_run);
    }
}

#[test]
fn a_controller_that_does_nothing_is_named_and_a_rerun_goes_on_once_it_works() {
    type Switch = fn(&mut Controllers) -> &mut bool;
    let controllers: [(Switch, &str); 2] = [
        (
            |all| &mut all.certificates,
            "Certificate istio-system/domain-certificate",
        ),
        (|all| &mut all.routes, "APIRule shop/httpbin-mtls"),
    ];
    for (switch, said) in controllers {
        let mut cluster = Cluster::kyma();
        *switch(&mut cluster.controllers) = false;
        let failure = cluster.run(&expose_request()).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        assert!(failure.to_string().contains(said), "{failure}");
        cluster.assert_closed(&default_host());
        *switch(&mut cluster.controllers) = true;
        run(&mut cluster, &expose_request(), &default_host());
    }
}

#[test]
fn a_proxy_that_loads_nothing_is_named() {
    for (mut cluster, request, host) in both() {
        cluster.proxies.lagging = vec![1];
        let failure = cluster.run(&request).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let told = failure.what_to_do().join("\n");
        assert!(told.contains("istio-ingressgateway-2"), "{told}");
        cluster.proxies.lagging.clear();
        cluster.load();
        run(&mut cluster, &request, &host);
    }
}

#[test]
fn an_allow_list_admits_its_clients_only() {
    let mut cluster = Cluster::kyma();
    let [alice, mallory] = ["alice", "mallory"].map(|name| {
        let client = cluster.issue(name);
        cluster.certificate(client).clone()
    });
    let host = default_host();
    let allowed = |allow| Request {
        access: AccessChoice {
            allow,
            ..AccessChoice::default()
        },
        ..expose_request()
    };
    run(
        &mut cluster,
        &allowed(Allow::Only(vec!["alice".to_owned()])),
        &host,
    );
    assert_eq!(cluster.statuses(&host, Some(&alice)), [Some(200); 2]);
    assert_eq!(cluster.statuses(&host, Some(&mallory)), [Some(403); 2]);
    // What is not said stays.
    run(&mut cluster, &expose_request(), &host);
    assert_eq!(cluster.statuses(&host, Some(&mallory)), [Some(403); 2]);
    let other = Allow::Change {
        add: vec!["mallory".to_owned()],
        remove: vec!["alice".to_owned()],
    };
    let report = run(&mut cluster, &allowed(other), &host);
    assert_eq!(report.allowed_added.len(), 1);
    assert_eq!(report.allowed_removed.len(), 1);
    assert_eq!(cluster.statuses(&host, Some(&alice)), [Some(403); 2]);
    assert_eq!(cluster.statuses(&host, Some(&mallory)), [Some(200); 2]);

    // A guard that is lifted is waited for as well.
    cluster.proxies.lagging = vec![1];
    let failure = cluster.run(&allowed(Allow::Any)).unwrap_err();
    let told = failure.to_string();
    assert!(told.contains("the guards are not enforced yet"), "{told}");
    cluster.proxies.lagging.clear();
    cluster.load();
    run(&mut cluster, &allowed(Allow::Any), &host);
    assert_eq!(cluster.statuses(&host, Some(&alice)), [Some(200); 2]);
}

/// A Gateway that was made by hand as in the tutorial, for [`HOST`], with clients of a CA of others.
fn by_hand(cluster: &mut Cluster) -> GatewayName {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use crate::resources::{Object, client_ca};

    let name = GatewayName::new("shop", "by-hand");
    let ca = crate::plan::testing::foreign_ca();
    let server = crate::plan::testing::kyma::server_identity(HOST);
    let servers = json!([{
        "hosts": [HOST],
        "port": {"name": "mtls", "number": 443, "protocol": "HTTPS"},
        "tls": {"mode": "MUTUAL", "credentialName": "shop-tls"},
    }]);
    let selector = json!({"istio": "ingressgateway", "app": "istio-ingressgateway"});
    let gateway = Object::new(name.reference())
        .with("spec", json!({"selector": selector, "servers": servers}));
    let pair = json!({
        "tls.crt": BASE64.encode(server.chain_pem()),
        "tls.key": BASE64.encode(server.key().to_pem().as_bytes()),
    });
    let pair = Object::new(client_ca::secret("istio-system", "shop-tls")).with("data", pair);
    let clients = json!({"cacert": BASE64.encode(ca.certificate().pem())});
    let clients =
        Object::new(client_ca::secret("istio-system", "shop-tls-cacert")).with("data", clients);
    for object in [pair, clients, gateway] {
        cluster.put(&object);
    }
    cluster.load();
    name
}

/// The request that moves it to an authority.
fn moving_request(gateway: GatewayName) -> Request {
    Request {
        gateway: Some(gateway),
        fail_closed: true,
        ..plain_request()
    }
}

#[test]
fn a_gateway_that_is_moved_keeps_its_clients_and_its_old_secret_lets_nobody_in() {
    for mut cluster in [Cluster::kyma(), Cluster::plain()] {
        let gateway = by_hand(&mut cluster);
        let live = cluster.objects[&gateway.reference()].clone();
        cluster
            .put(&live.with_annotation("kubectl.kubernetes.io/last-applied-configuration", "{}"));
        let client = cluster.foreign_client();
        let foreign = cluster.certificate(client).clone();
        let request = moving_request(gateway);
        let report = run(&mut cluster, &request, HOST);
        assert_eq!(cluster.statuses(HOST, Some(&foreign)), [Some(200); 2]);
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.contains("rejects every client now")),
            "{:?}",
            report.notes
        );
        let is_told = |report: &Report| {
            let mut notes = report.notes.iter();
            notes.any(|note| note.contains("was applied with kubectl"))
        };
        assert!(is_told(&report), "{:?}", report.notes);
        cluster.writes.clear();
        let again = run(&mut cluster, &request, HOST);
        assert_eq!(cluster.writes, Vec::<String>::new());
        assert!(!is_told(&again), "once is enough: {:?}", again.notes);
    }
}
