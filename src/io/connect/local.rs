//! Clusters that run on the user's own machine.

use kube::Config;

/// The contexts that tools for clusters on the user's own machine make; those that end in `-` are followed by a name.
const LOCAL_CONTEXTS: [&str; 10] = [
    "kind-",
    "k3d-",
    "minikube",
    "docker-desktop",
    "docker-for-desktop",
    "rancher-desktop",
    "orbstack",
    "colima",
    "colima-",
    "microk8s",
];

/// The API servers of such clusters: `0.0.0.0` is k3d's, the others are Docker Desktop's.
const LOCAL_SERVERS: [&str; 3] = [
    "0.0.0.0",
    "host.docker.internal",
    "kubernetes.docker.internal",
];

/// Whether a cluster runs on the user's own machine, as its context or its API server tells.
///
/// A loopback address tells nothing: tunnels and `kubectl proxy` lead from there to any cluster.
pub(super) fn is_local(context: Option<&str>, config: &Config) -> bool {
    let is_named = |context: &str| {
        LOCAL_CONTEXTS
            .iter()
            .any(|known| match known.strip_suffix('-') {
                Some(_) => context.starts_with(known),
                None => context == *known,
            })
    };
    let host = config.cluster_url.host().unwrap_or_default();
    context.is_some_and(is_named) || LOCAL_SERVERS.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_local_where_its_context_or_server_says_so_but_not_behind_a_tunnel() {
        for (context, server, expected) in [
            (Some("kind-dev"), "https://127.0.0.1:40123", true),
            (Some("k3d-dev"), "https://0.0.0.0:6550", true),
            (Some("minikube"), "https://192.168.49.2:8443", true),
            (Some("docker-desktop"), "https://127.0.0.1:6443", true),
            (Some("rancher-desktop"), "https://127.0.0.1:6443", true),
            (Some("colima-work"), "https://127.0.0.1:6443", true),
            (Some("dev"), "https://0.0.0.0:6550", true),
            (None, "https://kubernetes.docker.internal:6443", true),
            // An SSH tunnel, a port-forward of a bastion, `kubectl proxy`.
            (Some("prod"), "https://127.0.0.1:6443", false),
            (Some("prod"), "https://localhost:8443", false),
            (Some("prod"), "https://[::1]:6443", false),
            (None, "http://127.0.0.1:8001", false),
            (Some("kindergarten"), "https://127.0.0.1:6443", false),
            (Some("minikube-prod"), "https://10.0.0.1:6443", false),
            (
                Some("prod"),
                "https://A.gr7.eu-central-1.eks.amazonaws.com",
                false,
            ),
        ] {
            let config = Config::new(server.parse().unwrap());
            assert_eq!(is_local(context, &config), expected, "{context:?} {server}");
        }
    }
}
