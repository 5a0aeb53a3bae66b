//! A user installs the plugin with krew and runs it through kubectl: the real krew and the real kubectl agree.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::krew::{KrewUser, succeed, validate};
use crate::lab::main_job;

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn manifest() -> Value {
    let text = std::fs::read_to_string(Path::new(ROOT).join("krew-manifest.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn platforms(manifest: &mut Value) -> &mut Vec<Value> {
    manifest["spec"]["platforms"].as_array_mut().unwrap()
}

/// The manifest's entry for the machine that the tests run on: the sandbox has no other.
fn linux_amd64(manifest: &mut Value) -> &mut Value {
    let is_ours = |platform: &&mut Value| {
        let labels = &platform["selector"]["matchLabels"];
        labels["os"] == "linux" && labels["arch"] == "amd64"
    };
    platforms(manifest).iter_mut().find(is_ours).unwrap()
}

/// The archive of a release, with this build in it. Lightly packed: a build for tests is large.
fn pack(folder: &Path) -> PathBuf {
    let archive = folder.join("kubectl-mtls.tar.gz");
    let plugin = Path::new(PLUGIN);
    succeed(
        Command::new("tar")
            .args(["--use-compress-program", "gzip -1", "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(plugin.parent().unwrap())
            .arg(plugin.file_name().unwrap())
            .args(["-C", ROOT, "LICENSE"]),
    );
    archive
}

fn sha256(file: &Path) -> String {
    let content = std::fs::read(file).unwrap();
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    let bytes: Vec<String> = sum
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.concat()
}

/// Krew asks for a file named as the plugin.
fn write(manifest: &Value, folder: &Path) -> PathBuf {
    let path = folder.join("mtls.yaml");
    std::fs::write(&path, serde_saphyr::to_string(manifest).unwrap()).unwrap();
    path
}

#[test]
fn the_release_manifest_passes_krews_validator() {
    let folder = tempfile::tempdir().unwrap();
    validate(&write(&manifest(), folder.path()));
}

#[test]
fn every_platforms_archive_holds_the_program_it_names_and_the_license() {
    let mut manifest = manifest();
    assert_eq!(platforms(&mut manifest).len(), 6);
    for platform in platforms(&mut manifest) {
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (
            labels["os"].as_str().unwrap(),
            labels["arch"].as_str().unwrap(),
        );
        let suffix = if os == "windows" { ".exe" } else { "" };
        let program = format!("kubectl-mtls{suffix}");
        assert_eq!(platform["bin"], program);
        let files = platform["files"].as_array().unwrap();
        let files: Vec<&Value> = files.iter().map(|file| &file["from"]).collect();
        assert_eq!(files, [program.as_str(), "LICENSE"]);
        let archive = format!(
            "/v{version}/kubectl-mtls_v{version}_{os}_{arch}.tar.gz",
            version = env!("CARGO_PKG_VERSION")
        );
        assert!(platform["uri"].as_str().unwrap().ends_with(&archive));
    }
}

#[test]
fn krew_installs_this_build_and_kubectl_runs_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack(folder.path());
    let mut manifest = manifest();
    linux_amd64(&mut manifest)["sha256"] = sha256(&archive).into();
    let manifest = write(&manifest, folder.path());
    validate(&manifest);

    let user = KrewUser::with_plugin(folder.path(), &manifest, &archive);
    let run = |arguments: &[&str]| {
        let output = succeed(user.kubectl_mtls().args(arguments));
        String::from_utf8(output.stdout).unwrap()
    };
    let version = format!("v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["version", "-o", "name"]), version);
    assert!(run(&["--help"]).contains("Usage: kubectl mtls "));
    let job = main_job();
    let status = user
        .kubectl_mtls()
        .args(["status", &job.host])
        .envs(job.desk.instance.variables())
        .output()
        .unwrap();
    let shown = String::from_utf8(status.stdout).unwrap();
    assert!(shown.contains(&job.host), "{shown}");
    let krew_root = user.krew_root();
    assert!(krew_root.join("receipts/mtls.yaml").exists());
    let licenses = krew_root
        .join("store/mtls")
        .join(version.trim())
        .join("LICENSE");
    assert!(licenses.exists());
}

/// An action runs with the token of the release: each one is named by its commit, and there are no others.
#[test]
fn workflows_use_three_actions_by_commit_and_nothing_else() {
    const ACTIONS: [&str; 3] = [
        "actions/attest-build-provenance@a2bbfa25375fe432b6a289bc6b6cd05ecd0c4c32",
        "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1",
        "rajatjindal/krew-release-bot@c970b8a8f6dbc2f2285a26e3ae160903b87002c3",
    ];
    let mut used = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(ROOT).join(".github/workflows")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let names = text.lines().filter_map(|line| line.split_once("uses:"));
        used.extend(names.map(|(_, name)| name.split('#').next().unwrap().trim().to_owned()));
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ACTIONS);
}
