//! The Secret that a Gateway read before it was moved is closed only when every proxy reads the authority.

use super::*;
use crate::resources::authority::AuthorityState;
use crate::resources::fail_closed::{Standing, standing};
use crate::resources::names::AUTHORITY_NAMESPACE;
use crate::resources::{Kind, ObjectRef, client_ca};

/// The marks of the tools that manage objects.
const MARKS: [(&str, &str); 4] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
];

const OLD: &str = "shop-tls-cacert";

fn old() -> ObjectRef {
    client_ca::secret("istio-system", OLD)
}

/// The authority to which the Gateway is moved.
fn authority(cluster: &Cluster) -> AuthorityState {
    let mut objects = cluster.objects.values();
    let own = objects.find(|object| {
        object.namespace() == AUTHORITY_NAMESPACE && object.reference().kind == Kind::ConfigMap
    });
    AuthorityState::read(own.unwrap()).unwrap()
}

/// Runs it while the second proxy still has a listener that reads the old Secret, and once more when it has none.
#[track_caller]
fn closes_once_every_proxy_reads_the_authority(cluster: &mut Cluster, request: &Request) {
    let before = cluster.objects[&old()].clone();
    cluster.proxies.still_reading = Some((1, OLD.to_owned()));
    for _ in 0..2 {
        let notes = run(cluster, request, HOST).notes.join("\n");
        let says = "-2 still reads the Secret";
        assert!(notes.contains(says), "{notes}");
        assert_eq!(cluster.objects[&old()], before);
        let followed = authority(cluster).client_ca_secret;
        assert!(followed.is_some(), "it follows the authority as before");
    }
    cluster.proxies.still_reading = None;
    let notes = run(cluster, request, HOST).notes.join("\n");
    assert!(notes.contains("rejects every client now"), "{notes}");
    assert_eq!(standing(&cluster.objects[&old()]), Standing::Closed);
    assert_eq!(authority(cluster).client_ca_secret, None);
}

#[test]
fn the_old_secret_stays_until_every_proxy_reads_the_authority() {
    for mut cluster in [Cluster::kyma(), Cluster::plain()] {
        let request = moving_request(by_hand(&mut cluster));
        closes_once_every_proxy_reads_the_authority(&mut cluster, &request);
    }
}

#[test]
fn a_gateway_of_git_waits_for_its_field_and_then_for_every_proxy() {
    for (mark, tool) in MARKS {
        let mut cluster = Cluster::kyma();
        let gateway = by_hand(&mut cluster);
        let live = cluster.objects[&gateway.reference()].clone();
        let live = cluster.put(&live.with_annotation(mark, "shop"));
        let secret = cluster.objects[&old()].clone();
        let forced = Request {
            force_conflicts: true,
            ..moving_request(gateway.clone())
        };
        for request in [moving_request(gateway.clone()), forced] {
            let notes = run(&mut cluster, &request, HOST).notes.join("\n");
            let says = format!("waiting for Git: {tool} manages the Gateway `{gateway}`");
            assert!(notes.contains(&says), "{notes}");
            assert_eq!(cluster.objects[&gateway.reference()], live);
            assert_eq!(cluster.objects[&old()], secret);
        }
        let mut spec = live.at(&["spec"]).unwrap().clone();
        let own = format!(
            "configmap://{AUTHORITY_NAMESPACE}/{}",
            authority(&cluster).authority
        );
        spec["servers"][0]["tls"]["caCertCredentialName"] = own.into();
        cluster.put(&live.with("spec", spec));
        cluster.load();
        let request = Request {
            fail_closed: false,
            ..moving_request(gateway)
        };
        closes_once_every_proxy_reads_the_authority(&mut cluster, &request);
    }
}
