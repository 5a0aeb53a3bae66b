//! Builds parts with the Go toolchain, from the pins in their `go.mod` and `go.sum`.

use std::path::Path;
use std::process::{Command, Output};

use super::Part;
use crate::error::{Error, Result, Trying};

/// Oldest Go that builds every part.
const OLDEST: (u32, u32) = (1, 26);

/// Builds the program into the folder `target`.
pub(super) fn build(part: Part, target: &Path) -> Result<()> {
    let (package, stamps) = match part {
        Part::KubeApiserver => ("k8s.io/kubernetes/cmd/kube-apiserver", version_stamps(part)),
        Part::Kubectl => ("k8s.io/kubernetes/cmd/kubectl", version_stamps(part)),
        Part::Etcd => ("go.etcd.io/etcd/server/v3", String::new()),
        Part::Istiod => ("istio.io/istio/pilot/cmd/pilot-discovery", String::new()),
        Part::Krew => ("sigs.k8s.io/krew/cmd/krew", String::new()),
        Part::ValidateKrewManifest => {
            ("sigs.k8s.io/krew/cmd/validate-krew-manifest", String::new())
        }
        Part::PortForward | Part::Envoy | Part::Crds => (".", String::new()),
    };
    let output = target.join(part.name());
    let mut go = command(part)?;
    go.arg("build")
        .arg("-o")
        .arg(output)
        .arg("-ldflags")
        .arg(format!("-s -w{stamps}"))
        .arg(package);
    run(part, &mut go).map(drop)
}

/// Returns a Go command that works in the part's recipe folder and changes nothing there.
pub(super) fn command(part: Part) -> Result<Command> {
    check_toolchain()?;
    let mut go = Command::new("go");
    go.current_dir(part.recipe())
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOWORK", "off");
    Ok(go)
}

/// Runs a command to its end and turns a failure into the last lines of what it said.
pub(super) fn run(part: Part, command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().trying(|| format!("run `{program}`"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut last: Vec<&str> = said.lines().rev().take(12).collect();
    last.reverse();
    let reason = format!(
        "`{program}` failed ({}):\n{}",
        output.status,
        last.join("\n")
    );
    Err(Error::Build {
        part: format!("{} {}", part.name(), part.version()),
        reason,
    })
}

/// Without its version the API server confuses clients.
fn version_stamps(part: Part) -> String {
    let version = part.version();
    let mut numbers = version.split('.');
    let (major, minor) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let package = "k8s.io/component-base/version";
    format!(
        " -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

fn check_toolchain() -> Result<()> {
    let (major, minor) = OLDEST;
    let wanted = format!("Go {major}.{minor} or newer builds the sandbox's parts");
    // In the root folder and with the local toolchain: neither a go.mod nor a download may answer instead.
    let asked = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir("/")
        .env("GOTOOLCHAIN", "local")
        .output();
    let Ok(asked) = asked else {
        return Err(Error::Tool(format!(
            "{wanted}, and there is no `go` on PATH; install it from https://go.dev/dl/"
        )));
    };
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if parse_version(&version).is_some_and(|found| found >= OLDEST) {
        return Ok(());
    }
    Err(Error::Tool(format!(
        "{wanted}; `go` on PATH is {version}; get a newer one from https://go.dev/dl/"
    )))
}

/// Reads `go1.26.8`, `go1.27rc1` and the like as (major, minor).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .strip_prefix("go")?
        .split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_compare_by_number() {
        assert_eq!(parse_version("go1.26.8"), Some((1, 26)));
        assert_eq!(parse_version("go1.30rc1"), Some((1, 30)));
        assert!(parse_version("go1.9.7") < Some(OLDEST));
        assert_eq!(parse_version("devel"), None);
    }
}
