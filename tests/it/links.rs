//! Symbolic links where a client's files go: `--out` may be one to a folder, and nothing below it is ever written through one.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::ca_dir::Offline;

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().unwrap().is_symlink()
}

/// Every way to issue into `link`, and where the files of `alice` lie then.
const ISSUES: [(&str, &str); 3] = [
    ("alice --out link", "alice"),
    ("alice bob --out link", "alice"),
    ("-f clients.csv --out link", "alice/alice"),
];

fn somebody() -> Offline {
    let offline = Offline::new();
    offline.write("clients.csv", "name\nalice\n");
    std::fs::create_dir(offline.path("real")).unwrap();
    offline.write("precious", "precious");
    offline
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn the_output_folder_may_be_a_link_to_a_folder() {
    for (arguments, file) in ISSUES {
        let offline = somebody();
        symlink("real", offline.path("link")).unwrap();
        offline.issue(&words(arguments)).exits(0);
        for suffix in ["crt", "key", "p12"] {
            let path = offline.path(&format!("real/{file}.{suffix}"));
            assert!(path.is_file(), "{arguments}: {}", path.display());
        }
        assert!(is_link(&offline.path("link")));
        let renew = "renew-client --ca-dir ca --expiring-within 100d --out link/renewed";
        offline.run(&words(renew)).exits(0);
        assert!(offline.path("real/renewed/alice/alice.key").is_file());
    }
}

#[test]
fn a_link_that_leads_to_no_folder_is_refused_before_anything_is_written() {
    let request = ("alice --request --out link", "");
    for (arguments, _) in ISSUES.into_iter().chain([request]) {
        for target in ["nowhere", "precious", "link"] {
            let offline = somebody();
            symlink(target, offline.path("link")).unwrap();
            let all = if arguments.contains("--request") {
                [&["issue-client"], &words(arguments)[..]].concat()
            } else {
                [&["issue-client", "--ca-dir", "ca"], &words(arguments)[..]].concat()
            };
            offline.run(&all).exits(2).says(&format!(
                "`link` is a symbolic link to `{target}`, which is not a folder"
            ));
            assert!(!offline.path("ca").exists() && !offline.path("nowhere").exists());
            assert_eq!(offline.read("precious"), "precious");
        }
    }
}

#[test]
fn a_file_that_is_a_link_stops_everything_and_is_never_written_through() {
    for (arguments, file) in ISSUES {
        for suffix in ["crt", "key", "p12", "p12.password", "client-ca.crt"] {
            for target in ["nowhere", "precious"] {
                let offline = somebody();
                symlink("real", offline.path("link")).unwrap();
                let name = if suffix == "client-ca.crt" {
                    Path::new(file).with_file_name(suffix)
                } else {
                    format!("{file}.{suffix}").into()
                };
                let place = offline.path("real").join(name);
                std::fs::create_dir_all(place.parent().unwrap()).unwrap();
                symlink(offline.path(target), &place).unwrap();
                let what = format!("{arguments}: {suffix} to {target}");
                let run = offline.issue(&words(arguments)).exits(2);
                assert!(run.stderr.contains(suffix), "{what}: {run:#?}");
                assert!(!offline.path("ca").exists(), "{what}: issued");
                let forced = [words(arguments), vec!["--force"]].concat();
                offline.issue(&forced).exits(0);
                assert!(!is_link(&place), "{what}: it is the file itself now");
                assert_eq!(offline.read("precious"), "precious", "{what}");
                assert!(!offline.path("nowhere").exists(), "{what}");
            }
        }
    }
}

#[test]
fn a_clients_own_folder_is_never_a_link() {
    let offline = somebody();
    offline.issue(&["alice"]).exits(0);
    std::fs::create_dir(offline.path("out")).unwrap();
    symlink(offline.path("real"), offline.path("out/alice")).unwrap();
    let renew = "renew-client --ca-dir ca --expiring-within 100d --out out";
    let table = "issue-client --ca-dir ca -f clients.csv --another --out out";
    for arguments in [renew, table] {
        offline
            .run(&words(arguments))
            .exits(2)
            .says("`out/alice` is a symbolic link, and a client's folder must not be one");
        assert_eq!(std::fs::read_dir(offline.path("real")).unwrap().count(), 0);
        assert_eq!(offline.states(), ["issued"], "{arguments}");
    }
}
