//! Collects the custom resource definitions out of the pinned modules.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Part, go};
use crate::error::{Error, Result, Trying};

/// Writes `istio.json`, `gateway-api.json`, `cert.json` and `dns.json`, each a list of definitions, into the folder `target`.
///
/// JSON, because reading Istio's YAML takes longer than everything else that an instance does with it.
pub(super) fn collect(part: Part, target: &Path) -> Result<()> {
    let sources = [
        (
            "istio.json",
            Part::Istiod,
            "istio.io/istio",
            Part::Istiod.version(),
            "manifests/charts/base/files",
        ),
        (
            "gateway-api.json",
            Part::Istiod,
            "sigs.k8s.io/gateway-api",
            "1.6.0",
            "config/crd/standard",
        ),
        (
            "cert.json",
            part,
            "github.com/gardener/cert-management",
            part.version(),
            "pkg/certman2/apis/cert",
        ),
        (
            "dns.json",
            part,
            "github.com/gardener/external-dns-management",
            "0.49.0",
            "pkg/dnsman2/apis/dns",
        ),
    ];
    for (file, pinned_by, module, version, folder) in sources {
        let folder = download(pinned_by, &format!("{module}@v{version}"))?.join(folder);
        let mut definitions: Vec<Value> = Vec::new();
        for path in definition_files(&folder)? {
            definitions.extend(read(&path)?);
        }
        let text = Value::Array(definitions).to_string();
        fs::write(target.join(file), text).trying(|| format!("write {file}"))?;
    }
    Ok(())
}

/// Reads every custom resource definition in a YAML file.
pub(crate) fn read(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).trying(|| format!("read {}", path.display()))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .map_err(|error| Error::Malformed(format!("{} is no YAML: {error}", path.display())))?;
    Ok(documents
        .into_iter()
        .filter(|document| document["kind"] == "CustomResourceDefinition")
        .collect())
}

/// Downloads a module, checked against the part's `go.sum`, and returns its folder.
fn download(part: Part, module: &str) -> Result<PathBuf> {
    let output = go::run(
        part,
        go::command(part)?.args(["mod", "download", "-json", module]),
    )?;
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        Error::Malformed(format!(
            "`go mod download` of {module} answered no JSON: {error}"
        ))
    })?;
    match answer["Dir"].as_str() {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Err(Error::Malformed(format!(
            "`go mod download` of {module} names no folder"
        ))),
    }
}

fn definition_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).trying(reading)? {
        let path = entry.trying(reading)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let prefixes = ["crd-", "gateway.networking.k8s.io_"];
        if prefixes.iter().any(|prefix| name.starts_with(prefix))
            && path
                .extension()
                .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
