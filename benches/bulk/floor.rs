//! What bulk issue cannot do without, by the same libraries, on all cores.

use std::net::IpAddr;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use kubectl_mtls::pki::authority::{Authority, CaRequest};
use kubectl_mtls::pki::key::{KeyType, PrivateKey};
use kubectl_mtls::pki::leaf::{LeafRequest, issue};
use pkcs8::pkcs5::pbes2::Parameters;
use time::{Duration, OffsetDateTime};

const ITERATIONS: u32 = 10_000;

/// The key derivations of that many PKCS#12 files: PBKDF2 for the key and for the certificates, and the key of the MAC
/// (RFC 7292, appendix B), which is a chain of hashes.
pub(crate) fn derivations(count: usize) {
    on_all_cores(count, |_| {
        for part in [1, 2] {
            Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &[part; 16], [part; 16])
                .and_then(|parameters| parameters.encrypt("benchmark", b"x"))
                .expect("it is encrypted");
        }
        let mut chain = digest(&SHA256, &[0; 128]);
        for _ in 1..ITERATIONS {
            chain = digest(&SHA256, chain.as_ref());
        }
        std::hint::black_box(chain);
    });
}

/// That many keys and certificates, each in a new folder with three files, and one file in another folder.
pub(crate) fn certificates(count: usize, out: &Path) {
    let now = OffsetDateTime::now_utc();
    let request = CaRequest {
        subject: "CN=ca".parse().expect("a subject"),
        ttl: Duration::days(1825),
        key_type: KeyType::P256,
    };
    let authority = Authority::generate(&request, now, [7; 20]).expect("a CA");
    let trusted = authority.certificate().pem();
    let entries = out.join("entries");
    std::fs::create_dir_all(&entries).expect("a folder");
    on_all_cores(count, |client| {
        let key = PrivateKey::generate(KeyType::P256).expect("a key");
        let request = LeafRequest {
            subject: format!("CN=device-{client},OU=fleet,O=Example")
                .parse()
                .expect("a subject"),
            uris: vec![format!("spiffe://kyma-mtls-clients/device-{client}")],
            ips: Vec::<IpAddr>::new(),
            ttl: Duration::days(90),
            ..LeafRequest::default()
        };
        let mut serial = [0; 20];
        aws_lc_rs::rand::fill(&mut serial).expect("random bytes");
        let leaf = issue(&authority, &request, key.public_key_der(), now, serial);
        let leaf = leaf.expect("a certificate").pem();
        let folder = out.join(format!("device-{client}"));
        std::fs::create_dir(&folder).expect("a folder");
        let write = |path: &Path, text: &str| std::fs::write(path, text).expect("a file");
        write(&folder.join("client-ca.crt"), &trusted);
        write(&folder.join("client.key"), &key.to_pem());
        write(&folder.join("client.crt"), &leaf);
        write(&entries.join(format!("{client}.json")), &leaf);
    });
}

fn on_all_cores(count: usize, work: impl Fn(usize) + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let work = &work;
            scope.spawn(move || (core..count).step_by(cores).for_each(work));
        }
    });
}
