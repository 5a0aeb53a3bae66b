use super::*;
use crate::plan::Effect;
use crate::plan::testing::{blocked_on, why_failed};
use crate::resources::ObjectRef;
use crate::resources::names::{CredentialNames, FIELD_MANAGER, MANAGED_BY};
use serde_json::{Value, json};

const SHOP: &str = "shop";

fn server(host: &str, credential: &str, client_ca: &str) -> Value {
    json!({
        "hosts": [host], "port": {"number": 443, "protocol": "HTTPS", "name": "https"},
        "tls": {"mode": "MUTUAL", "credentialName": credential, "caCertCredentialName": client_ca},
    })
}

fn gateway(name: &str, servers: &Value) -> Object {
    Object::new(ObjectRef::new(Kind::Gateway, SHOP, name))
        .with("spec", json!({"selector": {}, "servers": servers}))
}

fn own() -> Object {
    let client_ca = "shop-gw-clients-cacert";
    gateway("gw", &json!([server("*.mtls.x.org", "shop-gw", client_ca)]))
}

/// No Gateway is in another namespace.
fn listed(objects: Vec<Object>) -> Observed {
    let mut observed = Observed::default();
    observed.saw(
        Query::everywhere(Kind::Gateway),
        Seen::Found(objects.clone()),
    );
    observed.saw(Query::within(Kind::Gateway, SHOP), Seen::Found(objects));
    observed
}

fn of_shop(objects: Vec<Object>) -> Reconciled<Chosen> {
    Choice::Namespace(SHOP.to_owned()).resolve(&listed(objects))
}

#[test]
fn the_authority_is_that_of_the_gateway_in_the_namespace() {
    let chosen = of_shop(vec![own()]).unwrap();
    assert_eq!(chosen.authority, "shop-gw");
    assert!(chosen.note.unwrap().contains("Gateway `shop/gw`"));
}

#[test]
fn without_a_gateway_with_mutual_tls_it_is_the_first_one_and_that_is_said() {
    let mut simple = server("*.x.org", "other", "");
    simple["tls"]["mode"] = "SIMPLE".into();
    for objects in [vec![], vec![gateway("simple", &json!([simple]))]] {
        let chosen = of_shop(objects).unwrap();
        assert_eq!(chosen.authority, FIRST_AUTHORITY);
        assert!(chosen.note.unwrap().contains("no Gateway in the namespace"));
    }
}

#[test]
fn without_one_it_is_that_of_the_gateway_made_for_a_service_of_the_namespace() {
    let made_for = |service: &str, name: &str| {
        let servers = json!([server("a.x.org", name, "")]);
        Object::new(ObjectRef::new(Kind::Gateway, "istio-ingress", name))
            .with("spec", json!({"selector": {}, "servers": servers}))
            .with_annotation(SERVICE_ANNOTATION, service)
            .with_label(MANAGED_BY, FIELD_MANAGER)
    };
    let of = |everywhere: Seen<Vec<Object>>| {
        let mut observed = listed(Vec::new());
        observed.saw(Query::everywhere(Kind::Gateway), everywhere);
        Choice::Namespace(SHOP.to_owned()).resolve(&observed)
    };
    let others = made_for("shopping/web", "others");
    let ours = made_for("shop/web", "ours");
    let chosen = of(Seen::Found(vec![others.clone(), ours.clone()])).unwrap();
    assert_eq!(chosen.authority, "ours");
    let note = chosen.note.unwrap();
    assert!(note.contains("Gateway `istio-ingress/ours`"), "{note}");
    assert_eq!(
        of(Seen::Found(vec![others])).unwrap().authority,
        FIRST_AUTHORITY
    );
    let failure = why_failed(of(Seen::Found(vec![ours, made_for("shop/api", "api")])));
    assert!(failure.to_string().contains("have several authorities"));
    // It is said where that may not be seen.
    let chosen = of(Seen::Denied("you may not `list` `gateways`".to_owned())).unwrap();
    assert_eq!(chosen.authority, FIRST_AUTHORITY);
    let note = chosen.note.unwrap();
    assert!(
        note.contains("was not checked") && note.contains("--authority NAME"),
        "{note}"
    );
}

#[test]
fn of_several_authorities_the_user_must_choose_one() {
    let other = gateway("other", &json!([server("a.y.org", "other", "")]));
    let failure = why_failed(of_shop(vec![own(), other.clone()]));
    assert_eq!(failure.exit().code(), 2);
    let lines = failure.what_to_do().join("\n");
    assert!(
        lines.contains("`--gateway shop/gw`: the authority `shop-gw`"),
        "{lines}"
    );
    assert!(lines.contains("`--gateway shop/other`"), "{lines}");
    // Two Gateways of one authority are no question.
    let twin = gateway("twin", &json!([server("b.y.org", "other", "")]));
    assert_eq!(of_shop(vec![other, twin]).unwrap().authority, "other");
}

#[test]
fn where_gateways_may_not_be_listed_no_other_authority_is_taken() {
    let mut observed = Observed::default();
    let denied = Seen::Denied("you may not `list` `gateways`".to_owned());
    observed.saw(Query::within(Kind::Gateway, SHOP), denied);
    let failure = why_failed(Choice::Namespace(SHOP.to_owned()).resolve(&observed));
    assert_eq!(failure.exit().code(), 2);
    assert!(failure.what_to_do().join(" ").contains("--authority NAME"));
}

#[test]
fn a_host_is_served_by_the_gateway_with_the_closest_host_string() {
    let wide = gateway("wide", &json!([server("*.x.org", "wide", "")]));
    let mut observed = Observed::default();
    observed.saw(
        Query::everywhere(Kind::Gateway),
        Seen::Found(vec![wide, own()]),
    );
    let of = |host: &str| {
        let choice = Choice::Host {
            host: host.to_owned(),
            namespace: SHOP.to_owned(),
        };
        choice.resolve(&observed)
    };
    assert_eq!(of("a.mtls.x.org").unwrap().authority, "shop-gw");
    assert_eq!(of("a.x.org").unwrap().authority, "wide");
    assert!(
        why_failed(of("a.z.org"))
            .to_string()
            .contains("no Gateway serves")
    );
}

#[test]
fn what_tells_the_authority_is_read_together_with_what_the_command_reads_first() {
    let choice = Choice::Namespace(SHOP.to_owned());
    let command = |chosen: &Chosen| {
        let state = CredentialNames::of_authority(&chosen.authority).state();
        Err::<(), _>(Effect::Read(vec![Query::Get(state)]).into())
    };
    let Effect::Read(queries) = blocked_on(reconcile(&choice, &Observed::default(), command))
    else {
        panic!("nothing is read");
    };
    assert_eq!(queries.len(), 2);
    let Effect::Read(queries) = blocked_on(reconcile(&choice, &listed(vec![own()]), command))
    else {
        panic!("nothing is read");
    };
    let state = CredentialNames::of_authority("shop-gw").state();
    assert_eq!(queries, [Query::Get(state)]);
}
