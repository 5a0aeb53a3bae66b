use std::collections::BTreeMap;

use super::*;
use crate::pki::inspect::Certificate;
use crate::pki::tests::{NOW, authority};
use crate::plan::Action;
use crate::plan::Blocked;
use crate::plan::Event;
use crate::plan::probe::Via;
use crate::resources::names::CredentialNames;
use crate::resources::names::GatewayName;
use crate::resources::{Kind, Object, ObjectRef};

const HOST: &str = "alice.example.com";
const OPTIONS: ProbeOptions<'_> = ProbeOptions {
    may_send_again: false,
    timeout: Duration::from_secs(9),
    connect_to: Some("gateway:443"),
    afterwards: "run it again",
    reread: &[],
};

fn served() -> Served {
    Served {
        kind: Kind::Gateway,
        gateway: GatewayName::new("shop", "gateway"),
        host: HOST.to_owned(),
        client_ca: CredentialNames::first().state(),
        resource: String::new(),
        ingress: IngressGateway::default(),
        certificates: BTreeMap::new(),
        may_lack: BTreeSet::new(),
    }
}

fn server() -> Certificate {
    let ca = authority();
    let identity = crate::pki::server::ServerIdentity::generate(&ca, HOST, NOW, [7; 20]);
    identity.unwrap().certificate().clone()
}

fn observed() -> Observed {
    let mut observed = Observed::default();
    for query in queries(&served().ingress) {
        let denied = crate::plan::Seen::Denied("`get`".to_owned());
        observed.saw(query, denied);
    }
    observed
}

fn show(observed: &mut Observed, client: Client, outcome: Outcome, offered: &BTreeSet<Vec<u8>>) {
    let probe = Probe {
        via: Via::Address("gateway:443".to_owned()),
        host: HOST.to_owned(),
        client,
    };
    let observation = Observation {
        offered: Some(offered.iter().cloned().collect()),
        server: Some(server()),
        chain: Vec::new(),
        outcome,
        proxy_protocol: false,
    };
    observed.apply(Event::Probed(vec![(probe, vec![observation])]));
}

fn refused(alert: &str) -> Outcome {
    Outcome::Refused(alert.to_owned())
}

#[test]
fn a_command_goes_on_only_when_every_client_got_its_answer() {
    let offered: BTreeSet<_> = [authority().certificate().subject_der().to_vec()].into();
    let clients = [
        (
            Client::shown("old"),
            ExpectedAnswer::Refused("certificate_revoked"),
        ),
        (Client::shown("new"), ExpectedAnswer::LetIn),
    ];
    let at = served();
    let expectation = Expectation {
        at: &at,
        offered: &offered,
        clients: &clients,
        since: None,
    };
    let missing = |observed: &Observed| match until_seen(
        std::slice::from_ref(&expectation),
        &OPTIONS,
        observed,
    ) {
        Ok(ways) => {
            assert_eq!(ways.len(), 1);
            0
        }
        Err(Blocked::On(step)) => match *step {
            Effect::Probe(wanted) => wanted.probes.len(),
            other => panic!("{other:?}"),
        },
        Err(Blocked::Failed(failure)) => panic!("{failure}"),
    };
    let mut observed = observed();
    assert_eq!(missing(&observed), 3);
    show(
        &mut observed,
        Client::Nobody,
        refused("certificate_required"),
        &offered,
    );
    show(
        &mut observed,
        Client::shown("new"),
        Outcome::Answered(404),
        &offered,
    );
    assert_eq!(missing(&observed), 1);
    show(
        &mut observed,
        Client::shown("old"),
        refused("unknown_ca"),
        &offered,
    );
    assert_eq!(missing(&observed), 1, "another alert is no proof");
    show(
        &mut observed,
        Client::shown("old"),
        refused("certificate_revoked"),
        &offered,
    );
    assert_eq!(missing(&observed), 0);
}

#[test]
fn what_was_seen_before_a_change_proves_nothing_about_it() {
    let offered: BTreeSet<_> = [authority().certificate().subject_der().to_vec()].into();
    let mut observed = observed();
    show(
        &mut observed,
        Client::Nobody,
        refused("certificate_required"),
        &offered,
    );
    let secret = Object::new(ObjectRef::new(Kind::Secret, "istio-system", "x-cacert"));
    observed.changed(secret, Action::Configured, NOW);
    let at = served();
    let seen = |since| {
        let expectation = Expectation {
            at: &at,
            offered: &offered,
            clients: &[],
            since,
        };
        until_seen(&[expectation], &OPTIONS, &observed).is_ok()
    };
    assert!(seen(None));
    assert!(!seen(observed.changes().last()));
}

#[test]
fn a_gateway_that_lags_is_named_with_what_it_offers_and_what_it_should() {
    let subject = |name: &str| {
        let request = crate::pki::authority::CaRequest {
            subject: format!("CN={name}").parse().unwrap(),
            ttl: time::Duration::days(1),
            key_type: crate::pki::key::KeyType::P256,
        };
        let ca = crate::pki::authority::Authority::generate(&request, NOW, [3; 20]).unwrap();
        ca.certificate().subject_der().to_vec()
    };
    let [old, new] = ["old", "new"].map(|name| BTreeSet::from([subject(name)]));
    let mut observed = observed();
    show(
        &mut observed,
        Client::Nobody,
        refused("certificate_required"),
        &old,
    );
    observed.apply(Event::Waited(OPTIONS.timeout));
    let at = served();
    let expectation = Expectation {
        at: &at,
        offered: &new,
        clients: &[],
        since: None,
    };
    let Err(Blocked::Failed(failure)) = until_seen(&[expectation], &OPTIONS, &observed) else {
        panic!("it goes on");
    };
    assert_eq!(failure.exit().code(), 124);
    assert_eq!(
        failure.what_to_do()[0],
        "gateway:443 of shop/gateway: the proxy requests certificates of `CN=old`, expected `CN=new`"
    );
}
