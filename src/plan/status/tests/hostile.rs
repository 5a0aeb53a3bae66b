//! Objects that somebody damaged, on purpose or not: whatever stands in them, the command ends, and not by a panic.

use super::*;
use crate::plan::testing::hostile::{Random, rounds};

/// A cluster in which anything may be damaged.
fn damaged(random: &mut Random) -> Cluster {
    let mut cluster = Cluster::healthy();
    let state = cluster.state();
    let lists = [
        (
            Query::everywhere(Kind::Gateway),
            gateway("kyma-mtls-gateway"),
        ),
        (Query::everywhere(Kind::ApiRule), rule("httpbin", HOST)),
        (certificates(), certificate("Ready")),
        (states(), state.object()),
        (pods(&IngressGateway::default()), pod("gw-1")),
    ];
    for (query, object) in lists {
        let other = random.damaged(&object);
        let objects = if random.below(3) == 0 {
            vec![other, object]
        } else {
            vec![other]
        };
        cluster.list(query, objects);
    }
    if random.below(2) == 0 {
        let authority = random.damaged(&state.object());
        cluster.get(authority);
    }
    cluster
}

#[test]
fn status_ends_whatever_the_objects_of_a_cluster_look_like() {
    for seed in 0..rounds(400) {
        let mut random = Random::new(seed);
        let mut cluster = damaged(&mut random);
        let wanted = Request {
            only: (random.below(3) == 0).then(|| "httpbin".to_owned()),
            ..Request::default()
        };
        // A refusal is an answer, too.
        drop(cluster.report_on(&wanted));
    }
}
