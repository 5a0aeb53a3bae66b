//! What Argo CD, Flux or Helm manages is refused before the first write.

use super::*;
use crate::resources::Object;

const MARKS: [(&str, &str); 3] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
];

/// A goal, and a cluster in which it changes something.
struct Case {
    goal: Request,
    cluster: Cluster,
    /// Whether the Secret of the keys is changed too.
    changes_keys: bool,
}

fn case(goal: Request, cluster: Cluster, changes_keys: bool) -> Case {
    Case {
        goal,
        cluster,
        changes_keys,
    }
}

fn without_inventory(mut cluster: Cluster) -> Cluster {
    let objects = &mut cluster.objects;
    objects.retain(|name, _| name.namespace != "kubectl-mtls-clients");
    cluster
}

fn without_keys(mut cluster: Cluster) -> Cluster {
    cluster.objects.remove(&CredentialNames::first().keys(1));
    cluster
}

fn rotating() -> Cluster {
    let mut cluster = Cluster::exposed();
    cluster.run(&advance()).unwrap();
    cluster
}

/// An authority that `--restore` completes: its state and its witness are gone.
fn damaged() -> Cluster {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.edit_state("state.json", "{}");
    cluster.objects.remove(&reference(FIRST_AUTHORITY));
    cluster
}

fn cases() -> Vec<Case> {
    let given = || Cluster::exposed().given_ca();
    let to_given = || request(Goal::Advance(Some(given())));
    let take_in = || request(Goal::TakeIn(foreign_ca().clone()));
    let accept = request(Goal::AcceptInventory);
    let restore = || {
        request(Goal::Restore(Restore {
            external: Vec::new(),
            accept_loss: true,
        }))
    };
    vec![
        case(advance(), Cluster::exposed(), true),
        case(advance(), without_keys(Cluster::exposed()), false),
        case(to_given(), Cluster::exposed(), true),
        case(take_in(), Cluster::by_hand(), false),
        case(finish(), rotating(), true),
        case(abort(), rotating(), false),
        case(accept, without_inventory(Cluster::exposed()), false),
        case(restore(), damaged(), false),
    ]
}

fn marked(cluster: &mut Cluster, object: &Object, mark: &str) {
    cluster.put(&object.clone().with_annotation(mark, "shop"));
}

#[test]
fn every_goal_refuses_what_a_tool_keeps_before_its_first_write() {
    for (mark, tool) in MARKS {
        for Case {
            goal,
            cluster,
            changes_keys,
        } in cases()
        {
            let keys = CredentialNames::first().keys(1);
            let kept = [Some(own(&cluster)), cluster.objects.get(&keys).cloned()];
            let kept = kept.into_iter().flatten();
            for object in kept.take(if changes_keys { 2 } else { 1 }) {
                let mut cluster = cluster.clone();
                marked(&mut cluster, &object, mark);
                let before = cluster.objects.clone();
                let failure = cluster.run(&goal).unwrap_err();
                let says = format!("{tool} manages {}", object.reference());
                assert!(failure.to_string().contains(&says), "{goal:?}: {failure}");
                assert_eq!(failure.exit().code(), 2);
                assert!(cluster.objects == before, "{goal:?} wrote first");
                let mut forced = goal.clone();
                forced.force_conflicts = true;
                cluster.run(&forced).unwrap();
            }
        }
    }
}
