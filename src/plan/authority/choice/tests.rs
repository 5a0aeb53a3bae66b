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
    // Each is used by a route of the namespace.
    let routes = ["ours", "api"].map(|gateway| route(&format!("istio-ingress/{gateway}")));
    let routes = Seen::Found(routes.to_vec());
    let of = |everywhere| of_shop_elsewhere(everywhere, routes.clone());
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

/// A route in the namespace `shop` that `expose` made, on this Gateway.
fn route(gateway: &str) -> Object {
    let name = gateway.replace('/', "-");
    Object::new(ObjectRef::new(Kind::VirtualService, SHOP, name))
        .with("spec", json!({"hosts": ["a.x.org"], "gateways": [gateway]}))
        .with_label(MANAGED_BY, FIELD_MANAGER)
}

/// The choice without a Gateway in the namespace, with these Gateways in all namespaces and these routes in that one.
fn of_shop_elsewhere(
    everywhere: Seen<Vec<Object>>,
    routes: Seen<Vec<Object>>,
) -> Reconciled<Chosen> {
    let mut observed = listed(Vec::new());
    observed.saw(Query::everywhere(Kind::Gateway), everywhere);
    observed.saw(Query::within(Kind::VirtualService, SHOP), routes);
    Choice::Namespace(SHOP.to_owned()).resolve(&observed)
}

#[test]
fn a_gateway_of_another_namespace_that_no_route_of_this_one_uses_is_not_believed() {
    let servers = json!([server("a.x.org", "evil", "")]);
    let evil = Object::new(ObjectRef::new(Kind::Gateway, "tenant", "gw"))
        .with("spec", json!({"selector": {}, "servers": servers}))
        .with_annotation(SERVICE_ANNOTATION, "shop/web")
        .with_label(MANAGED_BY, FIELD_MANAGER);
    let of = |routes: Seen<Vec<Object>>| {
        let chosen = of_shop_elsewhere(Seen::Found(vec![evil.clone()]), routes);
        let chosen = chosen.unwrap();
        (chosen.authority, chosen.note.unwrap_or_default())
    };
    let others = Object::new(ObjectRef::new(Kind::VirtualService, SHOP, "hand-made")).with(
        "spec",
        json!({"hosts": ["a.x.org"], "gateways": ["tenant/gw"]}),
    );
    let elsewhere = route("istio-ingress/gw");
    for routes in [vec![], vec![others], vec![elsewhere]] {
        let (authority, note) = of(Seen::Found(routes));
        assert_eq!(authority, FIRST_AUTHORITY);
        assert!(note.contains("no Gateway in the namespace"), "{note}");
        assert!(!note.contains("was not checked"), "{note}");
    }
    assert_eq!(of(Seen::Found(vec![route("tenant/gw")])).0, "evil");
    // The Gateway may belong to this namespace, so the first authority must not be used in its place.
    let denied = Seen::Denied("you may not".to_owned());
    let failure = why_failed(of_shop_elsewhere(Seen::Found(vec![evil.clone()]), denied));
    assert_eq!(failure.exit().code(), 2);
    let lines = failure.what_to_do().join("\n");
    assert!(lines.contains("--authority NAME"), "{lines}");
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
fn who_sees_the_gateways_of_one_namespace_is_told_that_others_were_not_checked() {
    let mut observed = Observed::default();
    let denied = Seen::Denied("you may not `list` `gateways`".to_owned());
    observed.saw(Query::everywhere(Kind::Gateway), denied);
    observed.saw(Query::within(Kind::Gateway, SHOP), Seen::Found(vec![own()]));
    let choice = Choice::Host {
        host: "a.mtls.x.org".to_owned(),
        namespace: SHOP.to_owned(),
    };
    let chosen = choice.resolve(&observed).unwrap();
    assert_eq!(chosen.authority, "shop-gw");
    let note = chosen.note.unwrap();
    assert!(
        note.contains("was not checked (") && note.contains("you may not `list` `gateways`"),
        "{note}"
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
