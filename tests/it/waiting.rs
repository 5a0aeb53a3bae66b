//! Waiting for controllers: in their own words, for as long as it is wanted, and to be taken up again.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::stand_in::{Answer, ObjectKey};
use sandbox::{Fault, Interceptor};

use crate::lab::{Desk, PLUGIN, own_namespace};

/// A namespace whose Certificate is answered as it is told.
struct Wait {
    desk: Desk,
    host: String,
    certificate: ObjectKey,
}

impl Wait {
    fn new(purpose: &str, answer: Answer) -> Self {
        let (desk, host) = own_namespace(purpose);
        let gateway = GatewayName::new(&desk.namespace, "kyma-mtls-gateway");
        let names = CredentialNames::further(&gateway);
        let wait = Self {
            desk,
            host,
            certificate: ObjectKey::new("istio-system", &names.certificate),
        };
        wait.is_answered(answer);
        wait
    }

    fn is_answered(&self, answer: Answer) {
        let certificates = self.desk.instance.stand_ins().certificates();
        certificates.answer_for(self.certificate.clone(), answer);
    }

    fn arguments<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        [&["expose", "httpbin", "--host", &self.host][..], rest].concat()
    }
}

#[test]
fn a_slow_issuer_is_waited_for_with_one_line_per_state() {
    let wait = Wait::new("slow", Answer::After(Duration::from_secs(2)));
    let run = wait.desk.run(&wait.arguments(&[])).exits(0);
    let lines: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.contains("Certificate istio-system/"))
        .collect();
    let (last, before) = lines.split_last().unwrap();
    assert!(last.ends_with(": done"), "{run:#?}");
    assert!(!before.is_empty() && before.len() < 4, "{run:#?}");
    assert!(
        before
            .iter()
            .all(|line| line.starts_with("waiting for Certificate istio-system/")),
        "{run:#?}"
    );
    assert!(!run.stderr.contains('\x1b'), "no terminal, no spinner");
    let quiet = Wait::new("quiet", Answer::After(Duration::from_secs(1)));
    let run = quiet.desk.run(&quiet.arguments(&["-q"])).exits(0);
    let told: Vec<&str> = run.stderr.lines().collect();
    assert!(
        told.iter().all(|line| line.starts_with("warning: ")),
        "{run:#?}"
    );
}

#[test]
fn an_issuer_that_fails_is_told_in_its_own_words_with_what_to_look_at_and_a_rerun_ends_it() {
    let wait = Wait::new(
        "failing",
        Answer::Fail("quota of issuer exceeded".to_owned()),
    );
    let certificate = format!("istio-system/{}", wait.certificate.name);
    wait.desk
        .run(&wait.arguments(&["--timeout", "2s"]))
        .exits(2)
        .says(&format!("Certificate {certificate} has failed: "))
        .says("quota of issuer exceeded")
        .says(&format!(
            "kubectl -n istio-system describe certificates.cert.gardener.cloud {}",
            wait.certificate.name
        ))
        .says("run the same command again to continue");
    wait.is_answered(Answer::Issue);
    wait.desk.run(&wait.arguments(&[])).exits(0);
}

#[test]
fn a_run_that_is_not_to_wait_ends_with_its_last_write_and_says_what_is_open() {
    let wait = Wait::new("hasty", Answer::Never);
    let mark = wait.desk.instance.audit_mark().unwrap();
    let run = wait.desk.run(&wait.arguments(&["--no-wait"])).exits(0);
    assert!(run.stdout.contains("not waited for"), "{run:#?}");
    assert!(
        run.stdout.contains(&format!(
            "Certificate istio-system/{}",
            wait.certificate.name
        )),
        "{run:#?}"
    );
    let log = wait.desk.instance.audit_log(mark).unwrap();
    let own = log
        .iter()
        .filter(|event| event.user_agent.starts_with("kubectl-mtls/"));
    let after_the_route = own
        .skip_while(|event| {
            !(event.is_write()
                && event.request_uri.contains(&wait.desk.namespace)
                && event.resource == "apirules")
        })
        .filter(|event| event.request_uri.contains(&wait.desk.namespace));
    assert_eq!(after_the_route.count(), 1, "the route is the last request");
    wait.is_answered(Answer::Issue);
    let rest = wait.desk.run(&wait.arguments(&[])).exits(0);
    assert!(rest.stdout.starts_with("already up to date"), "{rest:#?}");
}

#[test]
fn ctrl_c_ends_a_wait_at_once_with_130_and_a_rerun_continues() {
    let wait = Wait::new("interrupted", Answer::Never);
    let desk = &wait.desk;
    let mut child = Command::new(PLUGIN)
        .args(["-n", &desk.namespace])
        .args(wait.arguments(&[]))
        .current_dir(desk.folder.path())
        .envs(desk.instance.variables())
        .env("KUBECONFIG", desk.instance.kubeconfig())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("waiting for Certificate") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended");
    }
    let id = child.id().to_string();
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("run the same command again to continue"),
        "{rest}"
    );
    wait.is_answered(Answer::Issue);
    let run = desk.run(&wait.arguments(&[])).exits(0);
    assert!(run.stdout.starts_with("already up to date"), "{run:#?}");
}

#[test]
fn on_a_terminal_a_spinner_turns_before_each_object_and_no_line_is_wrapped() {
    let wait = Wait::new("spinning", Answer::After(Duration::from_secs(4)));
    let desk = &wait.desk;
    let command = format!(
        "stty rows 24 cols 60; exec {PLUGIN} -n {} {}",
        desk.namespace,
        wait.arguments(&[]).join(" ")
    );
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(desk.folder.path())
        .envs(desk.instance.variables())
        .env("KUBECONFIG", desk.instance.kubeconfig())
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let block = "⠙ Certificate istio-system/";
    let drawn = shown
        .lines()
        .filter_map(|line| Some(line.split_once(block)?.1.trim_end()));
    let longest = drawn.map(|rest| block.chars().count() + rest.chars().count());
    assert_eq!(longest.max(), Some(59), "{shown}");
    let (progress, result) = shown.split_once("secret/").unwrap();
    assert!(progress.contains("\x1b[J"), "{shown}");
    assert!(
        !result.contains('⠋'),
        "the block is gone before the result: {shown}"
    );
}

/// `expose` of a Service in a namespace of its own, whose requests go through a door.
struct Beside {
    desk: Desk,
    host: String,
    door: Interceptor,
}

impl Beside {
    fn new(purpose: &str) -> Self {
        let (desk, host) = own_namespace(purpose);
        let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
        Self { desk, host, door }
    }

    fn arguments(&self) -> [&str; 6] {
        [
            "expose",
            "httpbin",
            "--host",
            &self.host,
            "--timeout",
            "20s",
        ]
    }

    /// Starts it; its output is what `wait_with_output` collects.
    fn start(&self) -> Child {
        Command::new(PLUGIN)
            .args(["-n", &self.desk.namespace])
            .args(self.arguments())
            .current_dir(self.desk.folder.path())
            .envs(self.desk.instance.variables())
            .envs(self.door.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The numbers of the requests for the route: its dry run comes first, the write last.
    fn route_requests() -> (u32, u32) {
        static NUMBERS: OnceLock<(u32, u32)> = OnceLock::new();
        *NUMBERS.get_or_init(|| Self::new("undisturbed").observe())
    }

    fn observe(&self) -> (u32, u32) {
        self.door.let_through();
        let run = self.start().wait_with_output().unwrap();
        assert!(run.status.success(), "{run:?}");
        let lines = self.door.lines();
        let numbers = (1..).zip(&lines);
        let is_route =
            |(_, line): &(u32, &String)| line.starts_with("PATCH") && line.contains("/apirules/");
        let mut requests = numbers.filter(is_route).map(|(number, _)| number);
        let dry_run = requests.next().unwrap();
        (dry_run, requests.last().unwrap_or(dry_run))
    }

    /// Starts it, and waits until the answer to this request is held back.
    fn held_at(&self, number: u32, fault: Fault) -> Child {
        self.door.plan(number, fault);
        let mut child = self.start();
        while !self.door.is_holding() {
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }
}

#[test]
fn a_signal_while_a_write_is_not_answered_says_that_it_may_have_been_made() {
    let (_, route) = Beside::route_requests();
    for signal in ["TERM", "HUP"] {
        let beside = Beside::new(&format!("signal-{}", signal.to_lowercase()));
        let child = beside.held_at(route, Fault::Hold);
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let last = told.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: interrupted after "), "{told}");
        let unknown = format!(
            "whether APIRule {}/httpbin-mtls was written is not known; run the same command again to continue",
            beside.desk.namespace
        );
        assert!(last.contains(&unknown), "{told}");
        beside.desk.run(&beside.arguments()).exits(0);
    }
}

#[test]
fn of_two_runs_at_once_the_second_ends_with_the_route_that_the_first_one_wrote() {
    let beside = Beside::new("twice");
    let (dry_run, _) = Beside::route_requests();
    let second = beside.held_at(dry_run - 1, Fault::Pause);
    beside.desk.run(&beside.arguments()).exits(0);
    // The controller writes whole seconds.
    std::thread::sleep(Duration::from_secs(2));
    beside.door.release();
    let second = second.wait_with_output().unwrap();
    assert!(second.status.success(), "{second:?}");
}
