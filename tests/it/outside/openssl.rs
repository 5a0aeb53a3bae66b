//! OpenSSL as a CA of others.

use std::path::Path;
use std::process::Command;

use super::{CA, P256};

/// OpenSSL in a folder.
pub(super) struct OpenSsl<'a>(pub(super) &'a Path);

impl OpenSsl<'_> {
    /// What it prints; it must succeed.
    #[track_caller]
    pub(super) fn run(&self, arguments: &str) -> String {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {said}");
        said
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    /// A self-signed CA: NAME.crt and NAME.key.
    pub(super) fn root(&self, name: &str, kind: &str, subject: &str, extensions: &str) {
        self.run(&format!("genpkey {kind} -out {name}.key"));
        self.write(
            "root.cnf",
            &format!("[req]\ndistinguished_name=dn\n[dn]\n[ext]\n{extensions}\n"),
        );
        self.run(&format!(
            "req -x509 -config root.cnf -extensions ext -days 365 -key {name}.key -subj {subject} -out {name}.crt"
        ));
    }

    /// A CA below another one.
    pub(super) fn below(&self, issuer: &str, name: &str, extensions: &str) {
        self.run(&format!("genpkey {P256} -out {name}.key"));
        self.run(&format!(
            "req -new -key {name}.key -subj /DC=com/DC=example/OU=a/OU=b/CN={name} -out {name}.req"
        ));
        self.sign(
            issuer,
            &format!("{name}.req"),
            &format!("{name}.crt"),
            extensions,
        );
    }

    /// What an outside CA does with a request: its SANs are kept where the CA says so.
    pub(super) fn sign(&self, issuer: &str, request: &str, certificate: &str, extensions: &str) {
        self.write("sign.cnf", &format!("{extensions}\n"));
        self.run(&format!(
            "x509 -req -in {request} -CA {issuer}.crt -CAkey {issuer}.key -days 200 -extfile sign.cnf -copy_extensions copy -out {certificate}"
        ));
    }

    /// An authority's folder for `openssl ca`, which can date back what it signs.
    pub(super) fn dated(&self, issuer: &str, arguments: &str) {
        const SUBJECT: &str = "commonName=optional\norganizationName=optional\norganizationalUnitName=optional\ndomainComponent=optional";
        self.write(&format!("{issuer}.index"), "");
        self.write(&format!("{issuer}.serial"), "7A01\n");
        self.write("ext.cnf", &format!("{CA}\n"));
        let ca = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={issuer}.index\nserial={issuer}.serial\nnew_certs_dir=.\ndefault_md=sha256\nunique_subject=no\npolicy=p\n[p]\n{SUBJECT}\n[crl]\nauthorityKeyIdentifier=keyid\n"
        );
        self.write("ca.cnf", &ca);
        self.run(&format!(
            "ca -batch -config ca.cnf -cert {issuer}.crt -keyfile {issuer}.key {arguments}"
        ));
    }

    /// A CA below another one that has expired.
    pub(super) fn expired_below(&self, issuer: &str, name: &str) {
        self.below(issuer, name, CA);
        self.dated(
            issuer,
            &format!("-in {name}.req -out {name}.crt -extfile ext.cnf -preserveDN -notext -startdate 20200101000000Z -enddate 20210101000000Z"),
        );
    }

    /// The revocation list of a CA, in ISSUER.crl.
    pub(super) fn list(&self, issuer: &str, dates: &str, revoked: Option<&str>) {
        self.dated(issuer, "-gencrl -crldays 30 -out unused.crl");
        if let Some(revoked) = revoked {
            self.run(&format!(
                "ca -batch -config ca.cnf -cert {issuer}.crt -keyfile {issuer}.key -revoke {revoked}"
            ));
        }
        self.run(&format!(
            "ca -batch -config ca.cnf -cert {issuer}.crt -keyfile {issuer}.key -gencrl -crlexts crl {dates} -out {issuer}.crl"
        ));
    }

    pub(super) fn concat(&self, files: &[&str], into: &str) {
        let all: String = files
            .iter()
            .map(|name| std::fs::read_to_string(self.0.join(name)).unwrap())
            .collect();
        self.write(into, &all);
    }
}
