//! A release, built by the command that builds it, and used as its users do: installed by krew, and as a container without anything else in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::krew::{KrewUser, succeed, validate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What a program may weigh, in bytes.
const LARGEST_PROGRAM: u64 = 16_000_000;
/// What an archive may weigh, in bytes.
const LARGEST_ARCHIVE: u64 = 7_000_000;
/// The user of the image.
const USER: &str = "65532:65532";

#[test]
fn a_release_is_installed_by_krew_and_runs_from_the_unpacked_root_of_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let dist = folder.path().join("dist");
    // In a folder of its own below target/, so that a second run builds only what has changed.
    let built = succeed(
        Command::new(std::env::var_os("CARGO").unwrap())
            .args(["run", "--quiet", "--package", "xtask", "--", "dist"])
            .args(["--platform", "linux/amd64", "--out"])
            .arg(&dist)
            .current_dir(ROOT),
    );
    eprint!("{}", printed(&built));
    succeed(
        Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&dist),
    );
    let archive = dist.join(format!("kubectl-mtls_v{VERSION}_linux_amd64.tar.gz"));
    assert!(size(&archive) < LARGEST_ARCHIVE);

    let program = krew_installs(&dist.join("mtls.yaml"), &archive, folder.path());
    assert!(size(&program) < LARGEST_PROGRAM);
    let image = dist.join(format!("kubectl-mtls_v{VERSION}_image.tar"));
    let root = unpacked(&image, &folder.path().join("image"));
    let same = ["kubectl-mtls"].map(|name| std::fs::read(root.join(name)).unwrap());
    assert_eq!(same, [std::fs::read(&program).unwrap()]);
    runs_in(&root);
    eprintln!(
        "program {} bytes, archive {} bytes, image {} bytes; {}",
        size(&program),
        size(&archive),
        size(&image),
        cold_start(&program)
    );
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Installs the archive, runs it through kubectl, and returns the path of the program.
fn krew_installs(manifest: &Path, archive: &Path, home: &Path) -> PathBuf {
    validate(manifest);
    let user = KrewUser::with_plugin(home, manifest, archive);
    let run = |arguments: &[&str]| printed(&succeed(user.kubectl_mtls().args(arguments)));
    assert_eq!(run(&["version", "-o", "name"]), format!("v{VERSION}\n"));
    assert!(run(&["--help"]).contains("Usage: kubectl mtls "));
    let store = user.krew_root().join(format!("store/mtls/v{VERSION}"));
    assert!(store.join("LICENSE").exists());
    store.join("kubectl-mtls")
}

/// Unpacks the one layer of the image for this platform, and returns its root.
fn unpacked(image: &Path, folder: &Path) -> PathBuf {
    let (layout, root) = (folder.join("layout"), folder.join("root"));
    let unpack = |flags: &str, archive: &Path, into: &Path| {
        std::fs::create_dir_all(into).unwrap();
        let mut tar = Command::new("tar");
        succeed(tar.arg(flags).arg(archive).arg("-C").arg(into));
    };
    unpack("-xf", image, &layout);
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        layout.join("blobs").join(digest.replace(':', "/"))
    };
    let json =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let index = json(&layout.join("index.json"));
    let images = json(&blob(&index["manifests"][0]));
    let manifest = json(&blob(&images["manifests"][0]));
    let config = json(&blob(&manifest["config"]));
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["config"]["User"], USER);
    assert_eq!(config["config"]["Entrypoint"][0], "/kubectl-mtls");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    unpack("-xzpf", &blob(&layers[0]), &root);
    root
}

/// How a program is started in the root of an image.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// `chroot`, as the user of the image: nothing else is there.
    Chroot,
    /// `unshare`, as somebody who is root in a namespace of users only.
    Unshare,
    /// By its path, beside everything that this machine has.
    ByPath,
}

impl Start {
    /// The strictest way that this machine permits.
    fn permitted(root: &Path) -> Self {
        let works = |start: &Self| {
            let run = start.command(root).arg("version").output();
            run.is_ok_and(|run| run.status.success())
        };
        let all = [Self::Chroot, Self::Unshare, Self::ByPath];
        all.into_iter().find(works).unwrap()
    }

    /// The program of the image, with nothing but the image's environment.
    fn command(self, root: &Path) -> Command {
        let program = root.join("kubectl-mtls");
        let mut command = match self {
            Self::Chroot => Command::new("/usr/sbin/chroot"),
            Self::Unshare => Command::new("/usr/bin/unshare"),
            Self::ByPath => Command::new(program),
        };
        match self {
            Self::Chroot => {
                command.arg(format!("--userspec={USER}")).arg(root);
                command.arg("/kubectl-mtls");
            }
            Self::Unshare => {
                command.args(["--map-root-user", "--root"]).arg(root);
                command.arg("/kubectl-mtls");
            }
            Self::ByPath => {}
        }
        command.env_clear().env("PATH", "/");
        command
    }

    /// The working directory of the image, as the program sees it.
    fn work(self, root: &Path) -> PathBuf {
        match self {
            Self::Chroot | Self::Unshare => PathBuf::from("/work"),
            Self::ByPath => root.join("work"),
        }
    }
}

/// Runs the program where there is no shell, no library, no locale and no time zone.
fn runs_in(root: &Path) {
    let start = Start::permitted(root);
    eprintln!("the image's program is started by {start:?}");
    let work = start.work(root);
    let run = |arguments: &[&str]| {
        let mut command = start.command(root);
        command.env("HOME", &work).args(arguments).output().unwrap()
    };
    let version = run(&["version", "-o", "name"]);
    assert_eq!(printed(&version), format!("v{VERSION}\n"));
    assert!(printed(&run(&["--help"])).contains("Usage: kubectl mtls "));
    // Writes files, makes keys, and knows the time.
    let (ca, out) = (work.join("ca"), work.join("alice"));
    let [ca, out] = [&ca, &out].map(|path| path.to_str().unwrap());
    let issued = run(&["issue-client", "alice", "--ca-dir", ca, "--out", out]);
    assert!(issued.status.success(), "{issued:?}");
    let alice = root.join("work/alice");
    succeed(
        Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
            .arg(root.join("work/ca/ca.crt"))
            .arg(alice.join("alice.crt")),
    );
    // Says what it lacks, instead of failing in a library that looks for a user or a home.
    let outside = run(&["status"]);
    assert_eq!(outside.status.code(), Some(2), "{outside:?}");
    let said = String::from_utf8(outside.stderr).unwrap();
    assert!(said.starts_with("error: there is no kubeconfig"), "{said}");
    assert!(root.join("etc/ssl/certs/ca-certificates.crt").exists());
}

/// How long the program takes to start and to print its version.
fn cold_start(program: &Path) -> String {
    let mut taken: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            succeed(Command::new(program).arg("version"));
            began.elapsed()
        })
        .collect();
    taken.sort_unstable();
    format!(
        "a start takes {:.1?}, the fastest of {}; the median is {:.1?}",
        taken[0],
        taken.len(),
        taken[taken.len() / 2]
    )
}
