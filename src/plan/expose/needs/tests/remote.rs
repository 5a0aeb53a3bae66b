//! A remote cluster, whose proxies are configured by the istiod of another cluster, from that one's API server.

use super::*;

/// A gateway Pod of a cluster without any istiod, whose namespace names clusters that manage it.
fn managed_by(clusters: &str) -> Mesh {
    let variable = json!({"name": "ISTIO_META_CLUSTER_ID", "value": "west"});
    let proxy = json!({"name": "istio-proxy", "env": [variable]});
    let pod = pod("default").with("spec", json!({"containers": [proxy]}));
    let namespace = Object::new(ObjectRef::namespace("istio-system"))
        .with_annotation("topology.istio.io/controlPlaneClusters", clusters);
    Mesh::default().with(&pod).with(&namespace)
}

#[test]
fn a_remote_cluster_is_refused_with_the_cluster_whose_api_server_counts() {
    for clusters in ["east", "east,north"] {
        for reads in [Reads::Nothing, Reads::Secret] {
            let said = managed_by(clusters).is_refused(reads);
            for says in [
                "this API server is not the config cluster of the mesh",
                "the cluster `west`",
                "run the same command against the API server of `east`",
            ] {
                assert!(said.contains(says), "{said}");
            }
        }
        let needs = managed_by(clusters).is_served(Reads::Authority);
        assert!(
            needs.notes[0].contains("config cluster"),
            "{:?}",
            needs.notes
        );
    }
}

#[test]
fn a_cluster_that_may_be_the_config_cluster_is_not_refused() {
    let unmarked = Mesh::default().with(&pod("default"));
    let with_istiod = managed_by("east").with_istiod("default", "pilot:1.30.2");
    for mut mesh in [
        managed_by("*"),
        managed_by("east,west"),
        unmarked,
        with_istiod,
    ] {
        let notes = mesh.is_served(Reads::Nothing).notes.join("\n");
        assert!(!notes.contains("config cluster"), "{notes}");
    }
}
