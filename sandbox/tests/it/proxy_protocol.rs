//! The gateway behind a load balancer that speaks the PROXY protocol.

use sandbox::{Caller, Environment, Instance, ProxyProtocol, Reply, Settings};

use crate::loopback::is_on_loopback_only;
use crate::shared;

fn start(proxy_protocol: ProxyProtocol) -> Instance {
    Instance::start_with(Settings {
        environment: Environment::KymaDefault,
        proxy_protocol,
        ..Settings::default()
    })
    .unwrap()
}

/// Answers of each replica to a connection without a header, to one with a header, and of the load balancer.
async fn answers(sandbox: &Instance) -> Vec<[Reply; 3]> {
    let host = format!("orders.{}", sandbox.domain());
    let root = sandbox.stand_ins().root_certificate();
    let balancer = Caller::new(sandbox.connect_to(), &root);
    let mut answers = Vec::new();
    for replica in sandbox.replicas() {
        let plain = balancer.at(replica.tls().to_string());
        let with_header = plain.clone().with_proxy_header();
        let mut of_replica = Vec::new();
        for caller in [&plain, &with_header, &balancer] {
            of_replica.push(caller.get(&host, "/", &[]).await.unwrap());
        }
        answers.push(of_replica.try_into().unwrap());
    }
    answers
}

/// There is no route: whoever gets past the handshake is answered 404.
fn is_served(reply: &Reply) -> bool {
    matches!(reply, Reply::Answered { status: 404, .. })
}

/// No alert tells the client why.
fn is_reset(reply: &Reply) -> bool {
    matches!(reply, Reply::Broken(_))
}

#[tokio::test]
async fn a_gateway_that_requires_proxy_headers_resets_connections_without_one() {
    let sandbox = start(ProxyProtocol::Required);
    for [plain, with_header, balanced] in answers(&sandbox).await {
        assert!(is_reset(&plain), "{plain}");
        assert!(is_served(&with_header), "{with_header}");
        assert!(is_served(&balanced), "{balanced}");
    }
    is_on_loopback_only(&sandbox);
    // A replica that comes back is seen to be ready.
    sandbox.stop_replica(1).unwrap();
    sandbox.start_replica(1).unwrap();
    for [plain, with_header, balanced] in answers(&sandbox).await {
        assert!(is_reset(&plain), "{plain}");
        assert!(is_served(&with_header), "{with_header}");
        assert!(is_served(&balanced), "{balanced}");
    }
}

#[tokio::test]
async fn a_gateway_with_optional_proxy_headers_serves_connections_with_and_without_one() {
    for replies in answers(&start(ProxyProtocol::Optional)).await {
        assert!(replies.iter().all(is_served), "{replies:?}");
    }
}

#[tokio::test]
async fn a_gateway_without_proxy_protocol_resets_connections_with_a_header() {
    for [plain, with_header, balanced] in answers(shared()).await {
        assert!(is_served(&plain), "{plain}");
        assert!(is_reset(&with_header), "{with_header}");
        assert!(is_served(&balanced), "{balanced}");
    }
}
