//! Waiting for controllers: in their own words, for as long as it is wanted, and to be taken up again.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::stand_in::{Answer, ObjectKey};
use sandbox::{Fault, Interceptor};
use serde_json::json;

use crate::hostile_input::obeys_nothing;
use crate::lab::{Desk, PLUGIN, own_namespace};
use crate::shop::Shop;

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

/// Sends a signal to a command, which must end with 130 and one line of error; before that it says what it waits for.
#[track_caller]
fn interrupted(mut child: Child, signal: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status();
    assert!(sent.unwrap().success());
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}: {said}");
    let is_state = |line: &&str| line.starts_with("waiting for ") || line.ends_with(": done");
    let rest: Vec<&str> = said.lines().filter(|line| !is_state(line)).collect();
    let [error] = rest.as_slice() else {
        panic!("{signal}: {said}");
    };
    assert!(error.starts_with("error: interrupted"), "{signal}: {said}");
    assert!(
        error.contains("run the same command again"),
        "{signal}: {said}"
    );
}

const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];

#[test]
fn each_signal_ends_a_wait_at_once_with_130_and_one_line_and_a_rerun_continues() {
    let wait = Wait::new("interrupted", Answer::Never);
    for signal in SIGNALS {
        let mut child = wait.desk.start(&wait.arguments(&[]));
        // Byte by byte: what comes after the line stays in the pipe.
        let stderr = child.stderr.as_mut().unwrap();
        let mut said = String::new();
        while !(said.contains("waiting for Certificate") && said.ends_with('\n')) {
            let mut byte = [0];
            assert_ne!(stderr.read(&mut byte).unwrap(), 0, "it ended: {said}");
            said.push(byte[0].into());
        }
        interrupted(child, signal);
    }
    wait.is_answered(Answer::Issue);
    let run = wait.desk.run(&wait.arguments(&[])).exits(0);
    assert!(run.stdout.starts_with("already up to date"), "{run:#?}");
}

#[test]
fn each_signal_ends_the_look_at_the_proxies_with_130_and_one_line_and_a_rerun_continues() {
    let shop = Shop::open("probed", &["ada", "ben"]);
    // Somebody who takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let own = ["--authority", &shop.authority, "--connect-to", &address];
    for command in [&["revoke-client", "ben"][..], &["ca-rotate"]] {
        for signal in SIGNALS {
            let child = shop.desk.start(&[command, &own].concat());
            let connection = silent.accept().unwrap();
            interrupted(child, signal);
            drop(connection);
            // Further connections of the same look.
            silent.set_nonblocking(true).unwrap();
            while silent.accept().is_ok() {}
            silent.set_nonblocking(false).unwrap();
        }
        shop.run(command).exits(0);
    }
    shop.refuses("ben");
    shop.admits("ada");
}

/// Runs it on a terminal of so many columns; its exit code, and what is shown.
fn on_a_terminal(wait: &Wait, columns: u32, arguments: &[&str]) -> (Option<i32>, String) {
    let desk = &wait.desk;
    let command = format!(
        "stty rows 24 cols {columns}; exec {PLUGIN} -n {} {}",
        desk.namespace,
        wait.arguments(arguments).join(" ")
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
    (output.status.code(), shown)
}

#[test]
fn on_a_terminal_a_spinner_turns_before_each_object_and_no_line_is_wrapped() {
    let wait = Wait::new("spinning", Answer::After(Duration::from_secs(4)));
    let (code, shown) = on_a_terminal(&wait, 60, &[]);
    assert_eq!(code, Some(0), "{shown}");
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

/// Orders to a terminal: a title, a bell, an empty screen, a line that is written over, a colour, text from right to left.
const ORDERS: &str = "no\x1b]0;owned\x07\x1b[2J\r\u{9b}31m\u{202e}gnp";

/// Says it in the status of both objects that `expose` waits for.
fn say_orders(wait: &Wait) {
    let own = &wait.desk.namespace;
    for (namespace, kind, name, status) in [
        (
            "istio-system",
            "certificates.cert.gardener.cloud",
            wait.certificate.name.as_str(),
            json!({"message": ORDERS}),
        ),
        (
            own,
            "apirules.gateway.kyma-project.io",
            "httpbin-mtls",
            json!({"state": "Processing", "description": ORDERS}),
        ),
    ] {
        let patch = json!({"status": status}).to_string();
        let patch = ["--subresource=status", "--type=merge", "-p", &patch];
        let object = ["-n", namespace, "patch", kind, name];
        wait.desk.kubectl(&[&object[..], &patch].concat(), "");
    }
}

#[test]
fn a_terminal_obeys_nothing_of_what_a_controller_says_while_it_is_waited_for() {
    let wait = Wait::new("ordered", Answer::Never);
    wait.desk.run(&wait.arguments(&["--no-wait"])).exits(0);
    say_orders(&wait);
    let repeats = |text: &str| assert!(text.contains("gnp"), "{text}");
    for form in ["table", "json", "yaml"] {
        let run = wait.desk.run(&wait.arguments(&["--no-wait", "-o", form]));
        let run = run.exits(0);
        obeys_nothing(&run);
        repeats(&format!("{}{}", run.stdout, run.stderr));
    }
    let limited = ["--timeout", "1s"];
    let run = wait.desk.run(&wait.arguments(&limited)).exits(124);
    obeys_nothing(&run);
    for begin in [
        "waiting for Certificate ",
        "waiting for APIRule ",
        "error: ",
    ] {
        let mut lines = run.stderr.lines().filter(|line| line.starts_with(begin));
        assert!(lines.any(|line| line.contains("gnp")), "{begin}: {run:#?}");
    }
    let (code, shown) = on_a_terminal(&wait, 400, &limited);
    assert_eq!(code, Some(124), "{shown}");
    repeats(&shown);
    for order in ["\x1b]", "\x07", "\x1b[2J", "\u{9b}", "\u{202e}", "\rgnp"] {
        assert!(!shown.contains(order), "{order:?}: {shown:?}");
    }
    for form in ["table", "wide", "json", "yaml"] {
        let run = wait.desk.run(&["status", &wait.host, "-o", form]).exits(1);
        obeys_nothing(&run);
        repeats(&run.stdout);
    }
    wait.is_answered(Answer::Fail(ORDERS.to_owned()));
    let run = wait.desk.run(&wait.arguments(&["--timeout", "20s"]));
    let run = run.exits(2).says("has failed: ");
    obeys_nothing(&run);
    repeats(&run.stderr);
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

    /// The numbers of the requests for the route: its dry run comes first, the write last.
    fn route_requests() -> (u32, u32) {
        static NUMBERS: OnceLock<(u32, u32)> = OnceLock::new();
        *NUMBERS.get_or_init(|| Self::new("undisturbed").observe())
    }

    fn observe(&self) -> (u32, u32) {
        self.door.let_through();
        let through = self.desk.with_kubeconfig(self.door.kubeconfig());
        through.at_the_balancer().run(&self.arguments()).exits(0);
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
        self.desk.held(&self.door, &self.arguments())
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
