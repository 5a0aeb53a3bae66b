//! Bulk issue with the authority of a cluster, beside a loop that does nothing but create `ConfigMaps` of the same size.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use sandbox::{Environment, Instance};

use super::{PLUGIN, table};

const CLIENTS: usize = 1_000;
/// As many requests at a time as the plugin begins with.
const AT_ONCE: usize = 16;
/// About what an inventory entry has, in bytes.
const SIZE: usize = 1_200;

pub(crate) fn run() {
    let instance = Instance::start(Environment::PlainIstio).expect("a cluster");
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("password"), "benchmark").expect("a password file");
    table(&at.join("clients.csv"), CLIENTS, 0);
    std::fs::create_dir(at.join("out")).expect("a folder");

    let issue = timed(|| {
        let arguments = "issue-client -f clients.csv --out out --format pem";
        let status = Command::new(PLUGIN)
            .args(arguments.split(' '))
            .env("KUBECONFIG", instance.kubeconfig())
            .current_dir(at)
            .status();
        assert!(status.expect("the plugin starts").success());
    });
    let bare = bare_loop(&instance);
    let rate = |requests: usize, time: Duration| requests as f64 / time.as_secs_f64();
    println!("{CLIENTS} clients into a cluster");
    println!(
        "issue-client -f       {:6.0} clients/s, {:6.0} writes/s",
        rate(CLIENTS, issue),
        rate(2 * CLIENTS, issue)
    );
    println!("creating ConfigMaps   {:6.0} writes/s", rate(CLIENTS, bare));
}

fn bare_loop(instance: &Instance) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(instance.kubeconfig()).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options);
        let client = Client::try_from(config.await.expect("a configuration")).expect("a client");
        let maps: Api<ConfigMap> = Api::namespaced(client, "default");
        let start = Instant::now();
        stream::iter(0..CLIENTS)
            .map(|number| {
                let maps = &maps;
                async move {
                    let map = ConfigMap {
                        metadata: kube::api::ObjectMeta {
                            name: Some(format!("bare-{number}")),
                            ..Default::default()
                        },
                        data: Some([("tls.crt".to_owned(), "x".repeat(SIZE))].into()),
                        ..Default::default()
                    };
                    maps.create(&PostParams::default(), &map)
                        .await
                        .expect("it is created");
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        start.elapsed()
    })
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
