//! `revoke-client` killed after a request, with a request that fails, and twice at once: nobody is let in again, nobody else is
//! shut out, and a rerun reaches the end of an undisturbed run.

use std::collections::BTreeSet;

use kubectl_mtls::pki::crl::Crl;
use sandbox::{Fault, Interceptor, Reply};
use serde_json::Value;

use crate::faults::disturbed;
use crate::lab::{call, eventually};
use crate::shop::Shop;

/// A shop in which one client after the other is revoked under a disturbance.
pub(crate) struct Ward {
    shop: Shop,
    door: Interceptor,
    revoked: Vec<String>,
}

impl Ward {
    pub(crate) fn open(purpose: &str) -> Self {
        let shop = Shop::open(purpose, &["stays"]);
        let door = Interceptor::open(&shop.desk.instance, shop.desk.folder.path()).unwrap();
        Self {
            shop,
            door,
            revoked: Vec::new(),
        }
    }

    fn client(&mut self) -> String {
        let client = format!("client-{}", self.revoked.len());
        self.shop.issue(&client, &[]);
        self.revoked.push(client.clone());
        client
    }

    /// The number of the request that writes the state, and that of the last one of a whole run.
    pub(crate) fn requests_of_a_run(&mut self) -> (u32, u32) {
        let client = self.client();
        self.door.let_through();
        assert_eq!(self.disturbed(&client), Some(0));
        let commit = format!(
            "PUT /api/v1/namespaces/kubectl-mtls/configmaps/{}",
            self.shop.authority
        );
        let lines = self.door.lines();
        let place = lines.iter().position(|line| *line == commit).unwrap();
        (u32::try_from(place).unwrap() + 1, self.door.seen())
    }

    fn disturbed(&self, client: &str) -> Option<i32> {
        let arguments = ["revoke-client", client, "--authority", &self.shop.authority];
        disturbed(&self.shop.desk, &arguments, &self.door)
    }

    /// The serial numbers that a text of CRLs revokes, canaries left out.
    fn revoked_in(&self, pem: &[u8]) -> BTreeSet<String> {
        let booked = self.shop.serials();
        let crls = Crl::many_from_pem(pem).unwrap();
        crls.iter()
            .flat_map(Crl::revoked)
            .map(|entry| entry.serial.to_string())
            .filter(|serial| booked.contains(serial))
            .collect()
    }

    /// One disturbance, then an undisturbed rerun.
    #[track_caller]
    pub(crate) fn recovers(&mut self, number: u32, fault: Fault) {
        let what = format!("{fault:?} at {number}");
        let client = self.client();
        self.door.plan(number, fault);
        self.disturbed(&client);
        // Whatever became of it: nobody comes back, and nobody else goes.
        for earlier in &self.revoked[..self.revoked.len() - 1] {
            let reply = self.shop.call(earlier);
            assert_eq!(
                reply,
                Reply::Refused("certificate_revoked".to_owned()),
                "{what}: {earlier}"
            );
        }
        self.shop.admits("stays");
        self.shop.revoke(&[&client]).exits(0);
        self.stands(&what);
    }

    /// What an undisturbed run leaves.
    #[track_caller]
    fn stands(&self, what: &str) {
        for client in &self.revoked {
            let caller = self.shop.desk.client(client);
            let reply = call(&caller, &self.shop.host, &[]);
            assert_eq!(
                reply,
                Reply::Refused("certificate_revoked".to_owned()),
                "{what}: {client}"
            );
        }
        self.shop.admits("stays");
        for (client, state) in self.shop.inventory() {
            let expected = if self.revoked.contains(&client) {
                "revoked"
            } else {
                "issued"
            };
            assert_eq!(state, expected, "{what}: {client}");
        }
        let state = self.shop.state();
        let published = state["data"]["ca.crl"].as_str().unwrap();
        assert_eq!(
            self.revoked_in(published.as_bytes()).len(),
            self.revoked.len(),
            "{what}"
        );
    }
}

#[test]
fn a_killed_revocation_is_completed_by_the_next_run() {
    let mut ward = Ward::open("killed");
    let (commit, last) = ward.requests_of_a_run();
    for number in commit..=last {
        ward.recovers(number, Fault::Hold);
    }
}

#[test]
fn a_failed_request_of_a_revocation_is_made_up_for_by_the_next_run() {
    let mut ward = Ward::open("failed");
    let (commit, _) = ward.requests_of_a_run();
    for (step, fault) in [
        Fault::Answer(403),
        Fault::Answer(409),
        Fault::Answer(429),
        Fault::Answer(500),
        Fault::Drop,
    ]
    .into_iter()
    .enumerate()
    {
        ward.recovers(commit + u32::try_from(step).unwrap(), fault);
    }
}

#[test]
fn of_runs_at_the_same_time_none_undoes_what_another_revoked() {
    let mut ward = Ward::open("race");
    let clients: Vec<String> = (0..4).map(|_| ward.client()).collect();
    let shop = &ward.shop;
    std::thread::scope(|scope| {
        // One of them twice, and somebody gets a certificate meanwhile.
        for client in clients.iter().chain(&clients[..1]) {
            scope.spawn(move || shop.revoke(&[client]).exits(0));
        }
        scope.spawn(|| shop.issue("late", &[]));
    });
    ward.stands("at the same time");
    ward.shop.admits("late");
}

#[test]
fn a_clock_that_is_off_is_told_and_the_servers_time_is_used() {
    let ward = Ward::open("clock");
    ward.shop.issue("alice", &[]);
    // The gateway's clock is the right one, and a certificate to look with lives for ten minutes only.
    ward.door.set_clock_ahead(-7 * 60);
    let desk = ward.shop.desk.with_kubeconfig(ward.door.kubeconfig());
    let desk = desk.at_the_balancer();
    let before = time::OffsetDateTime::now_utc();
    let run = desk
        .run(&[
            "revoke-client",
            "alice",
            "--authority",
            &ward.shop.authority,
            "-o",
            "json",
        ])
        .exits(0);
    let report: Value = run.json();
    run.says("7 minutes ahead of the API server's");
    let at = report["certificates"][0]["revokedAt"].as_str().unwrap();
    let at = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339);
    assert!(before - at.unwrap() > time::Duration::minutes(6));
    ward.shop.refuses("alice");
    ward.shop.admits("stays");
}

#[test]
fn a_clock_that_is_off_by_a_few_minutes_either_way_is_no_matter() {
    let ward = Ward::open("drift");
    let desk = ward.shop.desk.with_kubeconfig(ward.door.kubeconfig());
    let desk = desk.at_the_balancer();
    for (client, minutes) in [("alice", 4), ("bob", -4)] {
        ward.shop.issue(client, &[]);
        ward.door.set_clock_ahead(minutes * 60);
        let run = desk.run(&["revoke-client", client, "--authority", &ward.shop.authority]);
        let run = run.exits(0);
        assert!(!run.stderr.contains("clock"), "{run:#?}");
        ward.shop.refuses(client);
    }
    ward.shop.refuses("alice");
    ward.shop.admits("stays");
}

#[test]
fn a_gateway_that_does_not_answer_is_told_with_124() {
    let ward = Ward::open("blind");
    ward.shop.issue("alice", &[]);
    // Nobody listens there; port-forward, which would work, is not tried.
    let desk = &ward.shop.desk;
    let nowhere = ["--connect-to", "127.0.0.1:9", "--timeout", "1s"];
    let run = [
        &[
            "revoke-client",
            "alice",
            "--authority",
            &ward.shop.authority,
        ],
        &nowhere[..],
    ]
    .concat();
    let told = desk.run(&run).exits(124);
    told.says("127.0.0.1:9 of ")
        .says("the revocation is published");
    // Published, not seen: the proxies may still be about to load it.
    eventually("every replica refuses her", || {
        let is_refused = |_| matches!(ward.shop.call("alice"), Reply::Refused(_));
        (0..12).all(is_refused)
    });
    ward.shop.refuses("alice");
}
