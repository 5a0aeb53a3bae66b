use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::plan::Event;
use crate::plan::testing::{Cluster, blocked_on, every_fault_watched, why_failed};
use crate::plan::{Action, Effect, Seen};

fn credentials(token: &str) -> Credentials {
    let mut credentials = Credentials::default();
    credentials
        .add("CLOUDFLARE_API_TOKEN", token.as_bytes().to_vec())
        .unwrap();
    credentials
}

fn request(source: Source) -> Request {
    Request {
        namespace: "shop".to_owned(),
        domain: "my.example.com".parse().unwrap(),
        account: Account::of("cloudflare-dns").unwrap(),
        name: "my-example-com".to_owned(),
        source,
        dry_run: DryRun::None,
        timeout: Duration::from_secs(1),
    }
}

fn given(token: &str) -> Request {
    request(Source::Given(credentials(token)))
}

/// Answers reads from these objects; a shoot-info is there.
fn observed(request: &Request, objects: &[Object]) -> Observed {
    let mut observed = Observed::default();
    let shoot = Object::new(environment::shoot_info());
    let all: Vec<&Object> = objects.iter().chain([&shoot]).collect();
    for reference in [
        request.provider(),
        request.secret(),
        environment::shoot_info(),
    ] {
        let found = all.iter().find(|object| *object.reference() == reference);
        let seen = found.map_or(Seen::Missing, |object| Seen::Found(vec![(*object).clone()]));
        observed.saw(Query::Get(reference), seen);
    }
    observed
}

fn provider() -> Object {
    ProviderFor {
        namespace: "shop",
        name: "my-example-com",
        account: "cloudflare-dns",
        secret: "my-example-com-credentials",
        domain: "my.example.com",
        in_shoot: true,
    }
    .object()
}

fn ready(object: Object) -> Object {
    object.with(
        "status",
        json!({"state": "Ready", "message": "provider operational"}),
    )
}

fn secret(token: &str) -> Object {
    credentials(token)
        .secret(
            dns_credentials::reference("shop", "my-example-com"),
            "my.example.com",
        )
        .with_resource_version(Some("7"))
}

fn refusal(request: &Request, objects: &[Object]) -> String {
    why_failed(reconcile(request, &observed(request, objects))).to_string()
}

#[test]
fn the_secret_is_created_first_then_the_provider_is_applied_then_it_is_waited_for() {
    let request = given("t");
    let mut observed = observed(&request, &[]);
    let at = datetime!(2026-01-01 0:00 UTC);
    let Effect::Write(Write::Create(first)) = blocked_on(reconcile(&request, &observed)) else {
        panic!("no Secret is created");
    };
    assert_eq!(*first.reference(), request.secret());
    observed.changed(first, Action::Created, at);
    let Effect::Write(Write::Apply(second)) = blocked_on(reconcile(&request, &observed)) else {
        panic!("no DNSProvider is applied");
    };
    assert_eq!(
        second.annotation("dns.gardener.cloud/class"),
        Some("garden")
    );
    observed.changed(second.clone(), Action::Created, at);
    assert!(matches!(
        blocked_on(reconcile(&request, &observed)),
        Effect::Wait(_)
    ));
    observed.saw(
        Query::Get(request.provider()),
        Seen::Found(vec![ready(second)]),
    );
    let report = reconcile(&request, &observed).unwrap();
    assert_eq!(report.message.as_deref(), Some("provider operational"));
    assert!(
        report
            .objects
            .iter()
            .all(|object| object.at(&["data"]).is_none())
    );
}

#[test]
fn a_second_run_changes_nothing_with_the_same_credentials_or_without_any() {
    for request in [given("t"), request(Source::Earlier)] {
        let report = reconcile(
            &request,
            &observed(&request, &[secret("t"), ready(provider())]),
        )
        .unwrap();
        assert!(
            report
                .changes
                .iter()
                .all(|change| change.action == "unchanged")
        );
    }
}

#[test]
fn new_credentials_replace_the_old_ones_under_their_version() {
    let request = given("new");
    let observed = observed(&request, &[secret("old"), ready(provider())]);
    let Effect::Write(Write::Replace(object)) = blocked_on(reconcile(&request, &observed)) else {
        panic!("the Secret is not replaced");
    };
    assert_eq!(object.resource_version(), "7");
    assert_eq!(Credentials::read(&object).unwrap(), credentials("new"));
}

#[test]
fn what_belongs_to_others_stops_it_before_the_first_write() {
    let others = Object::new(request(Source::Earlier).provider());
    assert!(refusal(&given("t"), &[others]).contains("not created by kubectl-mtls"));
    let mut body = provider().body().clone();
    body["spec"]["domains"]["include"] = json!(["other.example.com"]);
    let other_domain = Object::from_server(Kind::DnsProvider, body).unwrap();
    assert!(refusal(&given("t"), &[other_domain]).contains("is for `other.example.com`"));
    let plain = Object::new(given("t").secret()).with("data", json!({}));
    assert!(refusal(&given("t"), &[plain]).contains("not created by kubectl-mtls"));
    let foreign = credentials("t").secret(given("t").secret(), "other.example.com");
    assert!(refusal(&given("t"), &[foreign]).contains("for `other.example.com`"));
}

#[test]
fn a_named_secret_must_exist_and_have_the_keys_and_stays_as_it_is() {
    let request = request(Source::Secret("mine".to_owned()));
    assert!(refusal(&request, &[]).contains("does not exist"));
    let reference = ObjectRef::new(Kind::Secret, "shop", "mine");
    let wrong = Object::new(reference.clone()).with("data", json!({"token": "eA=="}));
    assert!(refusal(&request, &[wrong]).contains("`token` is not a key"));
    let right = Object::new(reference).with("data", json!({"apiToken": "eA=="}));
    let Effect::Write(Write::Apply(object)) =
        blocked_on(reconcile(&request, &observed(&request, &[right])))
    else {
        panic!("no DNSProvider is applied");
    };
    assert_eq!(object.text(&["spec", "secretRef", "name"]), "mine");
}

#[test]
fn a_provider_that_never_gets_ready_times_out_with_its_own_words() {
    let request = given("t");
    let failed = provider().with("status", json!({"state": "Error", "message": "no access"}));
    let mut observed = observed(&request, &[secret("t"), failed]);
    observed.apply(Event::Waited(Duration::from_secs(2)));
    let failure = why_failed(reconcile(&request, &observed));
    assert_eq!(failure.exit().code(), 124);
    assert!(
        failure.to_string().contains("Error: no access"),
        "{failure}"
    );
}

#[test]
fn credentials_that_a_tool_keeps_are_not_written_over() {
    let kept = secret("old").with_label("kustomize.toolkit.fluxcd.io/name", "dns");
    let says = "Flux manages Secret shop/my-example-com-credentials";
    assert!(refusal(&given("new"), &[kept.clone(), ready(provider())]).contains(says));
    // The same ones are no change.
    let same = given("old");
    reconcile(&same, &observed(&same, &[kept, ready(provider())])).unwrap();
}

#[test]
fn register_domain_ends_whatever_the_objects_of_a_cluster_look_like() {
    use crate::plan::testing::hostile::refusals;
    let mut cluster = Cluster::kyma();
    for object in [ready(provider()), secret("a")] {
        cluster.put(&object);
    }
    let mut refused = 0;
    for request in [given("a"), given("b"), request(Source::Earlier)] {
        let command = |observed: &Observed, _: time::OffsetDateTime| reconcile(&request, observed);
        refused += refusals(&cluster, &command);
    }
    assert!(refused > 0);
}

/// Registers a domain with every fault at each effect in turn; a rerun comes to the end of an undisturbed run.
#[test]
fn registering_recovers_from_every_fault_at_each_of_its_effects() {
    let mine = Object::new(ObjectRef::new(Kind::Secret, "shop", "mine"))
        .with("data", json!({"apiToken": "eA=="}));
    let earlier = [secret("old"), provider()];
    let fresh: &[Object] = &[];
    for (of, request, objects, fewest) in [
        ("a new domain", given("hidden"), fresh, 20),
        ("new credentials", given("hidden"), &earlier, 10),
        (
            "the same credentials",
            request(Source::Earlier),
            &earlier,
            4,
        ),
        ("a lost provider", given("hidden"), &earlier[..1], 20),
        (
            "a Secret of the user",
            request(Source::Secret("mine".to_owned())),
            &[mine],
            10,
        ),
    ] {
        let mut cluster = Cluster::kyma();
        cluster.put(&Object::new(ObjectRef::namespace("shop")));
        for object in objects {
            cluster.put(object);
        }
        cluster.act();
        let command = |observed: &Observed, _: time::OffsetDateTime| reconcile(&request, observed);
        let mut undisturbed = cluster.clone();
        undisturbed.run(&command).unwrap();
        let watch = |cluster: &Cluster| {
            let provider = cluster.objects.contains_key(&request.provider());
            let secret = cluster.objects.contains_key(&request.secret());
            assert!(secret || !provider, "a DNSProvider without its Secret");
        };
        let faults = every_fault_watched(
            &cluster,
            &command,
            watch,
            |cluster, fault, failure, report| {
                undisturbed.assert_same_end(cluster, &format!("{fault:?}: {of}"));
                assert_eq!(report.state.as_deref(), Some("Ready"), "{fault:?}: {of}");
                let said = format!("{failure:?} {report:?}");
                assert!(!said.contains("hidden"), "{fault:?}: {of}: {said}");
            },
        );
        assert!(faults > fewest, "{of}: {faults}");
    }
}
