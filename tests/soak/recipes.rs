//! The recipes of `issue-client --show`, each run from the text that a user sees, against the real gateway.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::shop::Shop;

/// How a recipe begins, the file that its program goes into, and what runs it.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("With curl", "curl.sh", &["sh", "curl.sh"]),
    ("With openssl s_client", "openssl.sh", &["sh", "openssl.sh"]),
    (
        "With Python and requests",
        "requests_call.py",
        &["./python/bin/python", "requests_call.py"],
    ),
    (
        "With Python and httpx",
        "httpx_call.py",
        &["./python/bin/python", "httpx_call.py"],
    ),
    ("With Node.js", "call.mjs", &["node", "call.mjs"]),
    ("With Go", "call.go", &["go", "run", "call.go"]),
    ("With Java", "Call.java", &["java", "Call.java"]),
];
/// Makes an environment with the two libraries.
const PYTHON: &str = "python3 -m venv python && ./python/bin/pip install --quiet requests httpx";

/// Without a window, and without a word to hosts other than the one that is asked for.
const CHROMIUM: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
    --disable-background-networking --disable-component-update";

#[test]
fn every_recipe_calls_the_gateway_as_it_stands_there() {
    let shop = Shop::exposed("recipes", &["--server-certificate", "self-signed"]);
    let folder = shop.desk.folder.path();
    let show = "curl,openssl,python,node,go,java,browser";
    let run = shop.run(&["issue-client", "robot", "--show", show, "-o", "json"]);
    let report = run.exits(0).json();
    let texts = report["guidance"].as_array().unwrap().iter();
    let mut recipes: Vec<&str> = texts.map(|text| text.as_str().unwrap()).collect();
    let browser = recipes.pop().unwrap();
    assert_eq!(recipes.len(), PROGRAMS.len(), "{recipes:#?}");
    std::fs::write(folder.join("hosts"), format!("127.0.0.1 {}\n", shop.host)).unwrap();
    if let Err(reason) = sh(
        folder,
        "unshare --map-root-user --mount mount --bind hosts /etc/hosts",
    ) {
        let cause = "the host cannot be given an address here";
        assert!(std::env::var_os("CI").is_none(), "{cause}: {reason}");
        eprintln!("not run: recipes, because {cause}: {reason}");
        return;
    }
    let python = sh(folder, PYTHON);
    for ((title, file, command), recipe) in PROGRAMS.iter().zip(recipes) {
        assert!(recipe.starts_with(title), "{recipe}");
        let there = match command[0] {
            "./python/bin/python" => python.clone(),
            program => sh(folder, &format!("command -v {program}")),
        };
        if let Err(reason) = there {
            eprintln!("not run: {title}: {reason}");
            continue;
        }
        let (_, source) = recipe.split_once('\n').unwrap();
        std::fs::write(folder.join(file), at_the_balancer(source, &shop)).unwrap();
        let line = format!(
            "unshare --map-root-user --mount sh -c 'mount --bind hosts /etc/hosts && exec {}'",
            command.join(" ")
        );
        let said = sh(folder, &line).unwrap_or_else(|said| panic!("{title}: {said}\n{source}"));
        assert!(said.contains("-clients/robot"), "{title}: {said}");
        eprintln!("{title}: the Service saw robot");
    }
    in_chromium(browser, &shop);
}

/// Imports the files by the lines for Linux, and opens the host in Chromium, which chooses the certificate by itself as a managed
/// one does: nobody is there to choose it.
fn in_chromium(recipe: &str, shop: &Shop) {
    let folder = shop.desk.folder.path();
    for program in ["chromium", "pk12util", "certutil"] {
        if sh(folder, &format!("command -v {program}")).is_err() {
            eprintln!("not run: In a browser: {program} is not installed");
            return;
        }
    }
    let line = |part: &str| {
        let (before, after) = recipe.split_once(part).unwrap();
        let start = before.len() - before.rsplit([' ', '\n']).next().unwrap().len();
        let end = after.split(['\n', ';']).next().unwrap();
        format!("{}{part}{end}", &before[start..])
    };
    let database = line("mkdir -p ~/.pki/nssdb");
    let client = line("pk12util -d ") + " -w robot.p12.password";
    let server = line("certutil -d sql:$HOME/.pki/nssdb -A");
    for line in [database, client, server] {
        sh(folder, &line).unwrap_or_else(|said| panic!("{line}: {said}"));
    }
    let (_, port) = shop.desk.instance.connect_to().rsplit_once(':').unwrap();
    let url = format!("https://{}:{port}/", shop.host);
    let choice = json!({"pattern": url, "filter": {}}).to_string();
    let policy = json!({"AutoSelectCertificateForUrls": [choice]});
    let managed = folder.join("chromium/policies/managed");
    std::fs::create_dir_all(&managed).unwrap();
    std::fs::write(managed.join("choice.json"), policy.to_string()).unwrap();
    let line = format!(
        "unshare --map-root-user --mount sh -c 'mount --bind hosts /etc/hosts && mount --bind chromium /etc/chromium && \
         exec timeout 60 chromium {CHROMIUM} --user-data-dir=profile --dump-dom {url}'"
    );
    let said = sh(folder, &line).unwrap_or_else(|said| panic!("Chromium: {said}"));
    assert!(said.contains("-clients/robot"), "Chromium: {said}");
    eprintln!("In a browser (Chromium): the Service saw robot");
}

/// A program that reaches the host at the port of the sandbox's load balancer.
fn at_the_balancer(source: &str, shop: &Shop) -> String {
    let (_, port) = shop.desk.instance.connect_to().rsplit_once(':').unwrap();
    let host = &shop.host;
    source
        .replace(
            &format!("https://{host}/"),
            &format!("https://{host}:{port}/"),
        )
        .replace(&format!("{host}:443"), &format!("{host}:{port}"))
}

/// What a line prints, or why it failed.
fn sh(folder: &Path, line: &str) -> Result<String, String> {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .env_remove("SSL_CERT_FILE")
        .output()
        .unwrap();
    let [out, said] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if output.status.success() {
        return Ok(out.into_owned());
    }
    Err(format!("{out}{said}").trim().to_owned())
}
