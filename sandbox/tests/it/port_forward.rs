//! The API server forwards to each replica's Pod.

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use sandbox::Replica;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::shared;

fn pods() -> Api<Pod> {
    Api::namespaced(shared().client().unwrap(), "istio-system")
}

/// What the administration page of a replica says about it, through a port-forward to its Pod.
pub(crate) async fn ask_admin(pods: &Api<Pod>, replica: &Replica) -> String {
    let mut forward = pods.portforward(&replica.pod, &[15_000]).await.unwrap();
    let mut stream = forward.take_stream(15_000).unwrap();
    let request = b"GET /server_info HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn each_replica_answers_through_its_own_pod() {
    let pods = pods();
    for replica in shared().replicas() {
        let answer = ask_admin(&pods, replica).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            body.contains(&format!("{}.istio-system", replica.pod)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn sixty_forwards_at_once_arrive_whole() {
    let pods = pods();
    let replicas = shared().replicas();
    let asked = (0..60).map(|number| ask_admin(&pods, &replicas[number % replicas.len()]));
    for answer in futures::future::join_all(asked).await {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200") && body.ends_with("\r\n0\r\n\r\n"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_reported() {
    let pods = pods();
    let mut forward = pods
        .portforward(&shared().replicas()[0].pod, &[1])
        .await
        .unwrap();
    let error = forward.take_error(1).unwrap().await;
    assert!(
        error
            .as_deref()
            .is_some_and(|text| text.contains("connection refused")),
        "{error:?}"
    );
}
