//! What a refusal of an unknown client says.

use super::*;

#[test]
fn an_unknown_name_is_answered_with_those_who_exist() {
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    let mut hints = |request: &Request| {
        let failure = cluster.run(request).unwrap_err();
        failure.what_to_do().to_vec()
    };
    assert_eq!(
        hints(&renewal("alise")),
        [
            "did you mean `alice`?",
            "`kubectl mtls list-clients --authority kyma-mtls` lists all certificates",
            "`kubectl mtls issue-client alise --authority kyma-mtls` issues a first one",
        ]
    );
    assert_eq!(
        hints(&renewal("alice,bob"))[..2],
        [
            "names are separated by blanks:",
            "  kubectl mtls renew-client alice bob --authority kyma-mtls",
        ]
    );
}
