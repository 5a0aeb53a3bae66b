//! `issue-client`: keys that are made, given, encrypted and refused, and the passwords of what holds them.

use crate::ca_dir::{Offline, openssl};
use crate::lab::{call, main_job, seen_by_application};

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn public_key_of_certificate(offline: &Offline, file: &str) -> String {
    openssl(
        &offline.path(""),
        &["x509", "-noout", "-pubkey", "-in", file],
    )
}

#[test]
fn the_gateway_lets_every_kind_of_key_in() {
    let job = main_job();
    let desk = job.desk.with_kubeconfig(job.desk.instance.kubeconfig());
    let folder = desk.folder.path();
    let let_in = |name: &str| {
        let strict =
            format!("verify -x509_strict -purpose sslclient -CAfile client-ca.crt {name}.crt");
        openssl(folder, &words(&strict));
        let reply = call(&desk.client(name), &job.host, &[]);
        let headers = seen_by_application(&reply);
        let uri = format!("spiffe://kyma-mtls-clients/{name}");
        assert!(headers.to_string().contains(&uri), "{headers}");
    };
    for kind in ["p256", "p384", "rsa2048", "rsa3072", "rsa4096"] {
        desk.run(&["issue-client", kind, "--key-type", kind])
            .exits(0);
        let_in(kind);
    }
    // A key that somebody else made, and a request that is signed as openssl does unless told otherwise.
    openssl(
        folder,
        &words("ecparam -name secp384r1 -genkey -noout -out given.key"),
    );
    desk.run(&["issue-client", "given", "--key", "given.key"])
        .exits(0);
    let_in("given");
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha256 -nodes -keyout asked.key -subj /CN=x -out asked.csr";
    openssl(folder, &words(request));
    desk.run(&["issue-client", "asked", "--csr", "asked.csr"])
        .exits(0);
    let_in("asked");
}

#[test]
fn a_key_is_used_in_whatever_form_it_lies_there() {
    let offline = Offline::new();
    let folder = offline.path("");
    offline.write("secret", "key password\n");
    for command in [
        "ecparam -name prime256v1 -genkey -out sec1.pem",
        "pkcs8 -topk8 -nocrypt -in sec1.pem -out pkcs8.pem",
        "genrsa -traditional -out pkcs1.pem 3072",
        "pkcs8 -topk8 -v2 aes-256-cbc -passout file:secret -in sec1.pem -out encrypted.pem",
        "pkcs8 -topk8 -scrypt -passout file:secret -in pkcs1.pem -out scrypt.pem",
    ] {
        openssl(&folder, &words(command));
    }
    for form in ["sec1", "pkcs8", "pkcs1", "encrypted", "scrypt"] {
        let file = format!("{form}.pem");
        let before = offline.read(&file);
        let mut arguments = vec![form, "--key", &file];
        if ["encrypted", "scrypt"].contains(&form) {
            offline.refuses(&arguments, "--key-password-file");
            arguments.extend(["--key-password-file", "secret"]);
        }
        offline.issue(&arguments).exits(0);
        let expected = openssl(
            &folder,
            &["pkey", "-pubout", "-passin", "file:secret", "-in", &file],
        );
        assert_eq!(
            public_key_of_certificate(&offline, &format!("{form}.crt")),
            expected
        );
        assert_eq!(offline.read(&file), before);
        assert!(!offline.path(&format!("{form}.key")).exists());
    }
    offline.write("wrong", "another\n");
    let wrong = [
        "bob",
        "--key",
        "encrypted.pem",
        "--key-password-file",
        "wrong",
    ];
    offline.refuses(&wrong, "password");
}

#[test]
fn an_encrypted_key_opens_with_the_password_of_its_keystore_only() {
    let offline = Offline::new();
    offline.issue(&["alice", "--encrypt-key"]).exits(0);
    let folder = offline.path("");
    let open = "pkey -in alice.key -pubout -passin file:alice.p12.password";
    let public = openssl(&folder, &words(open));
    assert_eq!(public_key_of_certificate(&offline, "alice.crt"), public);
    let encoding = openssl(&folder, &words("asn1parse -i -in alice.key"));
    for part in ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc"] {
        assert!(encoding.contains(part), "no {part} in {encoding}");
    }
    let wrong = std::process::Command::new("openssl")
        .args(words("pkey -in alice.key -noout -passin pass:wrong"))
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(!wrong.status.success());
}

#[test]
fn keys_that_gateways_refuse_and_files_that_are_no_key_are_refused() {
    let offline = Offline::new();
    let folder = offline.path("");
    for (algorithm, reason) in [
        ("ED25519", "Ed25519"),
        ("EC -pkeyopt ec_paramgen_curve:P-521", "P-521"),
        ("EC -pkeyopt ec_paramgen_curve:secp256k1", "curve"),
        ("RSA -pkeyopt rsa_keygen_bits:1024", "2048"),
        ("RSA-PSS -pkeyopt rsa_keygen_bits:2048", "RSA-PSS"),
    ] {
        let command = format!("genpkey -algorithm {algorithm} -out bad.key");
        openssl(&folder, &words(&command));
        offline.refuses(&["alice", "--key", "bad.key"], reason);
    }
    offline.write("bad.key", "");
    offline.refuses(&["alice", "--key", "bad.key"], "bad.key");
    offline.refuses(&["alice", "--key", "missing.key"], "missing.key");
    offline.refuses(&["alice", "--key", "/dev/zero"], "/dev/zero");
    for kind in ["p521", "ed25519", "rsa1024", ""] {
        offline.refuses(&["alice", "--key-type", kind], "--key-type");
    }
}

#[test]
fn a_password_that_programs_read_differently_is_refused_and_the_first_line_counts() {
    let offline = Offline::new();
    for (password, words) in [
        ("", "empty"),
        ("\n", "empty"),
        ("pässword\n", "ASCII"),
        ("tab\tbed\n", "ASCII"),
        ("nul\0\n", "ASCII"),
    ] {
        offline.write("password", password);
        offline.refuses(&["alice", "--p12-password-file", "password"], words);
    }
    std::fs::write(offline.path("password"), [0xff, 0xfe]).unwrap();
    offline.refuses(&["alice", "--p12-password-file", "password"], "not text");
    offline.refuses(&["alice", "--p12-password-file", "missing"], "missing");
    for (name, text) in [
        ("unix", "one two\nthree\n"),
        ("dos", "one two\r\nthree\r\n"),
        ("bare", "one two"),
    ] {
        offline.write("password", text);
        offline
            .issue(&[name, "--p12-password-file", "password"])
            .exits(0);
        let open = ["pkcs12", "-noout", "-passin", "pass:one two", "-in"];
        let file = format!("{name}.p12");
        openssl(&offline.path(""), &[&open[..], &[&file]].concat());
    }
}

#[test]
fn a_name_that_no_keystore_can_hold_is_refused_before_anything_is_written() {
    let offline = Offline::new();
    offline.refuses(&["smile 😀"], "U+FFFF");
    // Where there is no keystore, there is no such limit.
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -subj /CN=x -out own.csr";
    openssl(&offline.path(""), &words(request));
    offline.issue(&["smile 😀", "--csr", "own.csr"]).exits(0);
}
