//! A changed server certificate: the run ends once every proxy shows it.

use std::sync::Arc;

use super::*;
use crate::plan::testing::kyma::server_identity;
use crate::resources::{Kind, ObjectRef};

/// An exposed host whose certificate is made by a CA of the plugin, and two proxies.
fn exposed() -> Cluster {
    let mut cluster = Cluster::plain();
    run(&mut cluster, &plain_request(), HOST);
    cluster
}

fn with(server: ServerChoice) -> Request {
    Request {
        server,
        timeout: std::time::Duration::from_secs(60),
        ..plain_request()
    }
}

/// Asserts that a run, its rerun and one without the choice wait for the second proxy, and end once that has loaded the change.
#[track_caller]
fn waits(mut cluster: Cluster, request: &Request, says: &str) {
    cluster.proxies.lagging = vec![1];
    let unsaid = with(ServerChoice::Auto);
    for request in [request, request, &unsaid] {
        let failure = cluster.run(request).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let lines = failure.what_to_do().join("\n");
        let told = format!("{failure}\n{lines}");
        assert!(told.contains(says), "{told}");
    }
    cluster.proxies.lagging.clear();
    cluster.load();
    run(&mut cluster, request, HOST);
    run(&mut cluster, &unsaid, HOST);
}

const OTHER: &str = "the proxy shows another server certificate than the Secret";

#[test]
fn a_proxy_that_shows_the_former_certificate_is_waited_for() {
    let given = || ServerChoice::Given(Arc::new(server_identity(HOST)));
    waits(exposed(), &with(given()), OTHER);
    let mut cluster = Cluster::plain();
    run(&mut cluster, &with(given()), HOST);
    waits(cluster, &with(ServerChoice::SelfSigned), OTHER);
}

#[test]
fn a_proxy_that_does_not_use_the_named_secret_is_waited_for() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    let identity = server_identity(HOST);
    let data = json!({
        "tls.crt": BASE64.encode(identity.chain_pem()),
        "tls.key": BASE64.encode(identity.key().to_pem().as_bytes()),
    });
    let mut cluster = exposed();
    let secret = ObjectRef::new(Kind::Secret, "istio-system", "others");
    cluster.put(&crate::resources::Object::new(secret).with("data", data));
    let says = "it does not use the server Secret `others` yet";
    waits(
        cluster,
        &with(ServerChoice::Secret("others".to_owned())),
        says,
    );
}

/// Several handshakes at each proxy may come to the same.
#[test]
fn a_timeout_tells_what_a_proxy_does_once() {
    for (mut cluster, request, _) in both() {
        cluster.proxies.lagging = vec![0, 1];
        let failure = cluster.run(&request).unwrap_err();
        let hints = failure.what_to_do();
        let different: std::collections::BTreeSet<&String> = hints.iter().collect();
        assert!(hints.len() > 2, "{hints:#?}");
        assert_eq!(different.len(), hints.len(), "{hints:#?}");
    }
}
