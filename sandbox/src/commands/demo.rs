//! The plugin's main job from beginning to end, on a real cluster, with its real output.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rcgen::{CertificateParams, KeyPair};
use sandbox::parts::{self, Part};
use sandbox::{Caller, Environment, Error, Instance, Reply, Result, Settings, report};

use super::print;

/// Run expose, issue-client and status on a fresh sandbox, and show whom the gateway lets in
#[derive(clap::Args)]
pub(super) struct Args {
    /// Leave the sandbox running, to go on by hand, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

const SERVICE: &str = "httpbin";
const FORGED: (&str, &str) = ("X-CLIENT-SSL-SAN", "spiffe://forged");

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let programs = Programs::build()?;
    let instance = Instance::start_with(Settings {
        environment: Environment::KymaDefault,
        name: Some("demo".to_owned()),
        ..Settings::default()
    })?;
    report(&format!(
        "the cluster is up after {:.1} s",
        instance.start_seconds()
    ));
    instance.deploy_echo("default", SERVICE)?;
    let folder = tempfile::tempdir().map_err(failed("make a folder for the files"))?;
    let demo = Demo {
        instance: &instance,
        programs: &programs,
        folder: folder.path(),
    };
    demo.play()?;
    if args.keep {
        demo.go_on()?;
    } else {
        print("\nTo go on by hand: cargo sandbox demo --keep, or cargo sandbox up");
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Io { what, source }
}

/// kubectl and the plugin, as a user has them on PATH.
struct Programs {
    kubectl: PathBuf,
    path: std::ffi::OsString,
}

impl Programs {
    fn build() -> Result<Self> {
        report("building the plugin");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--bin", "kubectl-mtls"])
            .current_dir(root)
            .stdout(Stdio::null())
            .status()
            .map_err(failed("run cargo"))?;
        if !status.success() {
            return Err(Error::Name("the plugin does not build".to_owned()));
        }
        let kubectl = parts::ensure(&[Part::Kubectl])?
            .path(Part::Kubectl)?
            .to_owned();
        let own = std::env::current_exe().map_err(failed("find the plugin"))?;
        let folders = [own.parent(), kubectl.parent()]
            .into_iter()
            .flatten()
            .map(Path::to_path_buf);
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&inherited)))
            .map_err(|error| Error::Name(error.to_string()))?;
        Ok(Self { kubectl, path })
    }
}

struct Demo<'a> {
    instance: &'a Instance,
    programs: &'a Programs,
    folder: &'a Path,
}

impl Demo<'_> {
    fn play(&self) -> Result<()> {
        let host = format!("{SERVICE}.mtls.{}", self.instance.domain());
        self.kubectl(&["expose", SERVICE])?;
        self.kubectl(&["issue-client", "alice"])?;
        self.kubectl(&["status"])?;

        let root = self.instance.stand_ins().root_certificate();
        let nobody = Caller::new(self.instance.connect_to(), &root);
        let alice = nobody
            .clone()
            .with_certificate(&self.read("alice.crt")?, &self.read("alice.key")?);
        let (certificate, key) = stranger()?;
        let stranger = nobody.clone().with_certificate(&certificate, &key);
        print("\nWho gets in:");
        let reply = Self::call("alice, with her certificate", &alice, &host, &[])?;
        Self::expect_identity(&reply)?;
        let reply = Self::call("nobody, without a certificate", &nobody, &host, &[])?;
        expect(
            matches!(reply, Reply::Refused(_)),
            "a client without certificate got in",
        )?;
        let reply = Self::call(
            "a stranger, with a certificate of another CA",
            &stranger,
            &host,
            &[],
        )?;
        expect(matches!(reply, Reply::Refused(_)), "a stranger got in")?;
        let forged = format!("alice, forging {}: {}", FORGED.0, FORGED.1);
        let reply = Self::call(&forged, &alice, &host, &[FORGED])?;
        let is_denied = matches!(reply, Reply::Answered { status: 403, .. });
        expect(is_denied, "a forged identity was not denied")
    }

    /// Runs the plugin as a user does: kubectl finds it on PATH.
    fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        print(&format!("\n$ kubectl mtls {}", arguments.join(" ")));
        let status = Command::new(&self.programs.kubectl)
            .arg("mtls")
            .args(arguments)
            .current_dir(self.folder)
            .env("PATH", &self.programs.path)
            .envs(self.instance.variables())
            .stdin(Stdio::null())
            .status()
            .map_err(failed("run kubectl"))?;
        let code = status.code().unwrap_or_default();
        print(&format!("(exit code {code})"));
        expect(
            status.success(),
            &format!("`kubectl mtls {}` failed", arguments.join(" ")),
        )
    }

    fn read(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.folder.join(name)).map_err(failed("read the client's files"))
    }

    fn call(who: &str, caller: &Caller, host: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed("start the runtime"))?;
        let reply = runtime.block_on(caller.get(host, "/headers", headers))?;
        print(&format!("  {who}\n    -> {reply}"));
        if let Reply::Answered { body, .. } = &reply {
            for line in body
                .lines()
                .filter(|line| line.to_lowercase().contains("x-client-ssl"))
            {
                print(&format!(
                    "       the application saw {}",
                    line.trim().trim_end_matches(',')
                ));
            }
        }
        Ok(reply)
    }

    /// The application must see the certificate's URI.
    fn expect_identity(reply: &Reply) -> Result<()> {
        let Reply::Answered { status: 200, body } = reply else {
            return expect(false, "alice was not let in");
        };
        let seen = body.contains("spiffe://kyma-mtls-clients/alice");
        expect(seen, "the application did not see alice's identity")
    }

    fn go_on(&self) -> Result<()> {
        print("\nThe sandbox goes on until Ctrl-C. In another terminal:");
        for (name, value) in self.instance.variables() {
            print(&format!("  export {name}={value}"));
        }
        print(&format!("  export PATH={}", self.programs.path.display()));
        print(&format!("  cd {}", self.folder.display()));
        print("  kubectl mtls issue-client bob");
        print("  kubectl mtls status");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed("start the runtime"))?;
        runtime
            .block_on(tokio::signal::ctrl_c())
            .map_err(failed("wait for Ctrl-C"))
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Name(format!("the demo failed: {otherwise}")))
}

/// A certificate that some other CA signed: here, itself.
fn stranger() -> Result<(String, String)> {
    let cannot = |error: rcgen::Error| Error::Name(format!("cannot make a stranger: {error}"));
    let key = KeyPair::generate().map_err(cannot)?;
    let certificate = CertificateParams::default()
        .self_signed(&key)
        .map_err(cannot)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
