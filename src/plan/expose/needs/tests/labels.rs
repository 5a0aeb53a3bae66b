//! The labels by which istiod sees the namespace of the authority.

use super::*;

#[test]
fn where_every_namespace_is_seen_or_this_one_is_selected_nothing_is_labelled() {
    let name = plain(discovery::NAME, AUTHORITY_NAMESPACE);
    for (selectors, labels) in [
        (json!(null), &[][..]),
        (json!([]), &[]),
        (json!([plain("mesh", "other"), {}]), &[]),
        (json!([plain("mesh", "other"), name]), &[]),
        (json!([plain("mesh", "shop")]), &[("mesh", "shop")]),
    ] {
        let mut cluster = Mesh::selecting(&selectors).with_namespace(labels);
        let needs = cluster.is_served(Reads::Nothing);
        assert!(
            needs.namespace.is_none() && needs.notes.is_empty(),
            "{needs:?}"
        );
    }
    // One that does not exist yet gets the label by which everything of this plugin is known.
    let mut cluster = Mesh::selecting(&json!([plain(MANAGED_BY, FIELD_MANAGER)]));
    assert!(cluster.is_served(Reads::Nothing).namespace.is_none());
}

#[test]
fn a_namespace_that_does_not_exist_is_made_with_the_label_by_which_istiod_sees_it() {
    let mut cluster = Mesh::selecting(&json!([plain("mesh", "shop")]));
    let needs = cluster.is_served(Reads::Nothing);
    assert_eq!(label_of(&needs, "mesh").as_deref(), Some("shop"));
    assert_eq!(label_of(&needs, MANAGED_BY).as_deref(), Some(FIELD_MANAGER));
    assert_eq!(label_of(&needs, discovery::NAME), None);
    let write = needs.namespace.as_ref().unwrap().write.clone();
    let Err(Blocked::On(step)) = needs.create_namespace(&Observed::default()) else {
        panic!("it is not made");
    };
    assert!(matches!(*step, Effect::Write(Write::Create(_))), "{step:?}");
    assert!(matches!(write, Some(Write::Create(_))));
}

#[test]
fn a_namespace_that_exists_gets_that_label_alone_and_again_when_it_is_gone() {
    let selectors = json!([
        {"matchExpressions": [{"key": "mesh", "operator": "Exists"}]},
        plain("mesh", "shop"),
    ]);
    for reads in [Reads::Nothing, Reads::Secret, Reads::Authority] {
        let mut cluster = Mesh::selecting(&selectors).with_namespace(&[("team", "a")]);
        let needs = cluster.is_served(reads);
        assert_eq!(needs.notes, Vec::<String>::new());
        assert!(needs.create_namespace(&Observed::default()).is_ok());
        let wanted = needs.namespace.unwrap();
        assert!(wanted.exists && matches!(wanted.write, Some(Write::Apply(_))));
        let expected = namespace(&[("mesh", "shop")]);
        assert_eq!(wanted.object, expected);
        assert_eq!(cluster.tried, [expected.reference().clone()]);
    }
}

#[test]
fn a_label_that_an_earlier_run_set_stays_when_another_one_is_added() {
    let mut live = namespace(&[("mesh", "shop"), ("team", "a")]).body().clone();
    live["metadata"]["managedFields"] = json!([{
        "manager": FIELD_MANAGER, "operation": "Apply",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:mesh": {}}}},
    }]);
    let live = Object::from_server(Kind::Namespace, live).unwrap();
    let mut cluster = Mesh::selecting(&json!([plain("zone", "eu")])).with(&live);
    let wanted = cluster.is_served(Reads::Nothing).namespace.unwrap();
    let expected = namespace(&[("mesh", "shop"), ("zone", "eu")]);
    assert_eq!(wanted.object, expected);
}

#[test]
fn where_more_than_a_label_is_asked_for_the_lines_to_run_are_told() {
    let exists = json!({"matchExpressions": [{"key": "mesh", "operator": "Exists"}]});
    let label = "kubectl label namespace kubectl-mtls";
    let create = "kubectl create namespace kubectl-mtls\n";
    let entry = "- matchLabels: {kubernetes.io/metadata.name: kubectl-mtls}";
    for (selector, labels, lines) in [
        (exists.clone(), None, format!("{create}{label} mesh=true")),
        (exists.clone(), Some(&[][..]), format!("{label} mesh=true")),
        // Somebody meant the other value.
        (
            plain("mesh", "shop"),
            Some(&[("mesh", "none")]),
            format!("{label} mesh=shop --overwrite"),
        ),
        (plain(discovery::NAME, "shop"), Some(&[]), entry.to_owned()),
    ] {
        let cluster = || {
            let cluster = Mesh::selecting(&json!([selector]));
            match labels {
                Some(labels) => cluster.with_namespace(labels),
                None => cluster,
            }
        };
        for reads in [Reads::Nothing, Reads::Secret] {
            let said = cluster().is_refused(reads);
            let unseen = "istiod does not see the namespace `kubectl-mtls`, where the authority is: no entry of `discoverySelectors` in ConfigMap istio-system/istio selects it";
            assert!(said.starts_with(unseen), "{said}");
            assert!(said.ends_with(&format!("\n{lines}")), "{said}");
        }
        let needs = cluster().is_served(Reads::Authority);
        assert!(needs.namespace.is_none());
        let last = lines.lines().last().unwrap();
        assert!(
            needs.notes[0].ends_with(&format!("`{last}`")),
            "{:?}",
            needs.notes
        );
    }
}

#[test]
fn who_may_not_label_the_namespace_is_told_the_line_for_an_administrator() {
    let cluster = || Mesh {
        may_not_label: true,
        ..Mesh::selecting(&json!([plain("mesh", "shop")])).with_namespace(&[])
    };
    let said = cluster().is_refused(Reads::Nothing);
    assert!(said.contains(DENIED), "{said}");
    assert!(
        said.ends_with("\nkubectl label namespace kubectl-mtls mesh=shop"),
        "{said}"
    );
    let needs = cluster().is_served(Reads::Authority);
    assert!(needs.namespace.is_none());
    assert!(needs.notes[0].contains("mesh=shop"), "{:?}", needs.notes);
    // A dry run on the client asks nothing.
    let mut dry = Mesh {
        dry_run: DryRun::Client,
        ..cluster()
    };
    assert!(dry.is_served(Reads::Nothing).namespace.is_some());
    assert!(dry.tried.is_empty());
}
