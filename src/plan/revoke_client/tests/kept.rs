//! An authority that a tool such as Argo CD keeps.

use super::*;

const MARKS: [(&str, &str); 3] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
];

#[test]
fn an_authority_that_a_tool_keeps_is_not_changed_unless_that_is_said() {
    for (mark, tool) in MARKS {
        let mut cluster = Cluster::exposed();
        let alice = cluster.issue("alice");
        let name = CredentialNames::first().state();
        let own = cluster.objects[&name].clone();
        cluster.put(&own.with_annotation(mark, "shop"));
        let (says, hints) = refused(&mut cluster, &named("alice"));
        assert!(says.contains(&format!("{tool} manages {name}")), "{says}");
        assert!(hints.contains("--force-conflicts"), "{hints}");
        assert_eq!(cluster.answer(alice), Verdict::LetIn);
        let forced = Request {
            force_conflicts: true,
            ..named("alice")
        };
        cluster.run(&forced).unwrap();
        assert_eq!(cluster.answer(alice), Verdict::Revoked, "{tool}");
    }
}
