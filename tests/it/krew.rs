//! The real krew and the real kubectl, for a user with a home folder of their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbox::parts::{self, Part};

/// A user whose plugins krew installs.
pub(crate) struct KrewUser {
    home: PathBuf,
    kubectl: PathBuf,
}

impl KrewUser {
    /// Installs the plugin of this manifest from this archive, instead of downloading it.
    pub(crate) fn with_plugin(home: &Path, manifest: &Path, archive: &Path) -> Self {
        let parts = parts::ensure(&[Part::Krew, Part::Kubectl]).unwrap();
        let user = Self {
            home: home.to_owned(),
            kubectl: parts.path(Part::Kubectl).unwrap().to_owned(),
        };
        succeed(
            Command::new(parts.path(Part::Krew).unwrap())
                .arg("install")
                .arg(format!("--manifest={}", manifest.display()))
                .arg(format!("--archive={}", archive.display()))
                .env("HOME", home)
                .env("KREW_ROOT", user.krew_root()),
        );
        user
    }

    /// Where krew keeps what it installs.
    pub(crate) fn krew_root(&self) -> PathBuf {
        self.home.join("krew")
    }

    /// `kubectl mtls`, which finds the plugin on the user's `PATH`.
    pub(crate) fn kubectl_mtls(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("mtls")
            .env("PATH", path_with(&self.krew_root().join("bin")))
            .env("HOME", &self.home)
            .env_remove("KUBECONFIG");
        command
    }
}

/// Krew's own check of a manifest.
pub(crate) fn validate(manifest: &Path) {
    let parts = parts::ensure(&[Part::ValidateKrewManifest]).unwrap();
    let validator = parts.path(Part::ValidateKrewManifest).unwrap();
    // It would download every platform's archive.
    succeed(
        Command::new(validator)
            .arg("-skip-install")
            .arg("-manifest")
            .arg(manifest),
    );
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The programs of a folder first.
fn path_with(folder: &Path) -> OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap()
}
