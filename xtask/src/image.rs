//! The container image: one layer on top of nothing, as an OCI image layout in a tar file
//! (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>).

use std::collections::BTreeMap;
use std::io;

use pem::{EncodeConfig, LineEnding, Pem};
use serde_json::{Value, json};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::archive::{Entry, gzip, tar};
use crate::sums::sha256;

/// The user that the program runs as: nobody's, and not root.
const USER: u32 = 65532;
/// Where the program finds the certificates of public CAs.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// What an image is made of, for one architecture.
pub struct Content {
    /// As Go names it.
    pub arch: &'static str,
    /// A static program for Linux.
    pub program: Vec<u8>,
    /// Texts of licences, by name.
    pub licenses: Vec<Entry>,
}

/// What an image says of itself.
pub struct Labels<'a> {
    /// Without `v`.
    pub version: &'a str,
    /// RFC 3339.
    pub created: &'a str,
    /// Where its sources are.
    pub source: &'a str,
}

/// The layout with an image for each architecture, as a tar file with this time.
pub fn layout(contents: Vec<Content>, labels: &Labels<'_>, time: u64) -> io::Result<Vec<u8>> {
    let mut blobs = Blobs::default();
    let mut manifests = Vec::new();
    for content in contents {
        let arch = content.arch;
        let layer = tar(files(content), time)?;
        let config = config(arch, &sha256(&layer), labels);
        let config = blobs.add_json("application/vnd.oci.image.config.v1+json", &config);
        let layer = blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&layer)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
            "annotations": annotations(labels),
        });
        let mut manifest = blobs.add_json("application/vnd.oci.image.manifest.v1+json", &manifest);
        manifest["platform"] = json!({"os": "linux", "architecture": arch});
        manifests.push(manifest);
    }
    let inner = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    let mut inner = blobs.add_json("application/vnd.oci.image.index.v1+json", &inner);
    inner["annotations"] =
        json!({"org.opencontainers.image.ref.name": format!("v{}", labels.version)});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [inner],
    });
    let mut entries = vec![
        Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        Entry::file("index.json", index.to_string()),
    ];
    entries.extend(blobs.into_entries());
    tar(entries, time)
}

/// The files of the image.
fn files(content: Content) -> Vec<Entry> {
    let passwd = format!(
        "root:x:0:0:root:/:/sbin/nologin\nkubectl-mtls:x:{USER}:{USER}:kubectl-mtls:/work:/sbin/nologin\n"
    );
    let mut entries = vec![
        Entry::program("kubectl-mtls", content.program),
        Entry::folder("etc", 0o755),
        Entry::file("etc/passwd", passwd),
        Entry::file("etc/group", format!("root:x:0:\nkubectl-mtls:x:{USER}:\n")),
        Entry::folder("etc/ssl", 0o755),
        Entry::folder("etc/ssl/certs", 0o755),
        Entry::file(CERTIFICATES, certificates()),
        Entry::folder("licenses", 0o755),
        // For files that are written before they get their names, and as a working directory.
        Entry::folder("tmp", 0o1777),
        Entry::folder("work", 0o1777),
    ];
    let licenses = content.licenses.into_iter().map(|entry| Entry {
        path: format!("licenses/{}", entry.path),
        ..entry
    });
    entries.extend(licenses);
    entries
}

/// Mozilla's root certificates, as PEM.
fn certificates() -> String {
    let pems = TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| Pem::new("CERTIFICATE", der.as_ref()));
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_many_config(&pems.collect::<Vec<_>>(), config)
}

fn config(arch: &str, diff_id: &str, labels: &Labels<'_>) -> Value {
    json!({
        "created": labels.created,
        "architecture": arch,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": ["PATH=/", format!("SSL_CERT_FILE=/{CERTIFICATES}"), "HOME=/work"],
            "Entrypoint": ["/kubectl-mtls"],
            "WorkingDir": "/work",
            "Labels": annotations(labels),
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
        "history": [{"created": labels.created, "created_by": "cargo xtask dist"}],
    })
}

/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md>
fn annotations(labels: &Labels<'_>) -> Value {
    json!({
        "org.opencontainers.image.title": "kubectl-mtls",
        "org.opencontainers.image.version": labels.version,
        "org.opencontainers.image.created": labels.created,
        "org.opencontainers.image.source": labels.source,
        "org.opencontainers.image.licenses": "Apache-2.0",
    })
}

/// Content by its digest.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Keeps the content, and returns its descriptor.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = sha256(&content);
        let descriptor = json!({
            "mediaType": media_type,
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        });
        self.0.insert(digest, content);
        descriptor
    }

    fn add_json(&mut self, media_type: &str, content: &Value) -> Value {
        self.add(media_type, content.to_string().into_bytes())
    }

    fn into_entries(self) -> impl Iterator<Item = Entry> {
        let blobs = self.0.into_iter();
        blobs.map(|(digest, content)| Entry::file(format!("blobs/sha256/{digest}"), content))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    const LABELS: Labels<'static> = Labels {
        version: "1.2.3",
        created: "2026-01-01T00:00:00Z",
        source: "https://example.com",
    };

    fn content(arch: &'static str) -> Content {
        Content {
            arch,
            program: arch.as_bytes().to_vec(),
            licenses: vec![Entry::file("LICENSE", "free")],
        }
    }

    /// The files of a tar file.
    fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        files
    }

    /// What a descriptor leads to, after its digest and size were compared.
    fn follow(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let blob = &files[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(format!("sha256:{}", sha256(blob)), digest);
        assert_eq!(descriptor["size"], blob.len());
        blob.clone()
    }

    fn json_of(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn each_architecture_has_one_layer_whose_digests_are_those_that_are_named() {
        let bytes = layout(vec![content("amd64"), content("arm64")], &LABELS, 7).unwrap();
        let files = unpack(&bytes);
        let index = json_of(&files["index.json"]);
        let inner = json_of(&follow(&files, &index["manifests"][0]));
        assert_eq!(inner["manifests"].as_array().unwrap().len(), 2);
        for image in inner["manifests"].as_array().unwrap() {
            let manifest = json_of(&follow(&files, image));
            let config = json_of(&follow(&files, &manifest["config"]));
            assert_eq!(config["architecture"], image["platform"]["architecture"]);
            assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
            let packed = follow(&files, &manifest["layers"][0]);
            let mut layer = Vec::new();
            let mut decoder = GzDecoder::new(packed.as_slice());
            decoder.read_to_end(&mut layer).unwrap();
            let diff_id = format!("sha256:{}", sha256(&layer));
            assert_eq!(config["rootfs"]["diff_ids"], json!([diff_id]));
            let layer = unpack(&layer);
            let program = String::from_utf8_lossy(&layer["kubectl-mtls"]).into_owned();
            assert_eq!(image["platform"]["architecture"], program);
            assert_eq!(layer["licenses/LICENSE"], b"free");
        }
    }

    #[test]
    fn the_certificates_are_pem_that_has_no_carriage_returns() {
        let text = certificates();
        let count = text.matches("-----BEGIN CERTIFICATE-----\n").count();
        assert_eq!(count, TLS_SERVER_ROOT_CERTS.len());
        assert!(count > 50 && !text.contains('\r'));
    }
}
