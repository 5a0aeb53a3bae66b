//! What a refusal of an unknown client says.

use super::*;

#[test]
fn the_hints_name_the_authority_or_the_directory() {
    let mut cluster = Cluster::exposed();
    let (_, hints) = refused(&mut cluster, &named("zoe"));
    assert!(
        hints.contains("`kubectl mtls list-clients --authority kyma-mtls` lists"),
        "{hints}"
    );
    let (_, hints) = refused(&mut cluster, &named("alice,bob"));
    let meant = "  kubectl mtls revoke-client alice bob --authority kyma-mtls";
    assert!(hints.contains(meant), "{hints}");
    let directory = Request {
        directory: Some("my ca".to_owned()),
        ..named("zoe")
    };
    let failure = targets::unknown("zoe", &cluster.entries(), &directory);
    let hint = "`kubectl mtls list-clients --ca-dir 'my ca'` lists all clients";
    assert!(
        failure.what_to_do().contains(&hint.to_owned()),
        "{failure:?}"
    );
}
