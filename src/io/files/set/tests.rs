//! Sets of files that a run could not complete, damaged ones, and existing files at their places.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::io::files::tests::names;

const NAMES: [&str; 4] = ["client-ca.crt", "ada.key", "ada.p12", "ada.crt"];

fn files(folder: &Path) -> Vec<NewFile<'static>> {
    let file = |name: &&'static str| NewFile {
        path: folder.join(name),
        content: name.as_bytes(),
        access: if is_public(Path::new(name)) {
            Access::Public
        } else {
            Access::Private
        },
    };
    NAMES.iter().map(file).collect()
}

fn sorted() -> Vec<&'static str> {
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    sorted
}

/// What a run leaves that is killed when this many files have their places.
fn killed_after(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let set = prepared(folder.path(), "ada");
    fs::create_dir(&set).unwrap();
    restricted(&set, 0o700);
    for (number, file) in files(folder.path()).iter().enumerate() {
        let staged = set.join(numbered(number, &file.path));
        create(&staged, file).unwrap();
        if number < count {
            fs::hard_link(&staged, &file.path).unwrap();
        }
    }
    folder
}

#[test]
fn a_set_appears_whole_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    write_set("ada", &files(folder.path()), false, Some(&[])).unwrap();
    assert_eq!(names(folder.path()), sorted());
    let mode = fs::metadata(folder.path().join("ada.key")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    assert!(!complete(folder.path(), "ada", false).unwrap());
    write_set("ada", &files(folder.path()), false, None).unwrap();
}

#[test]
fn a_run_killed_between_any_two_files_is_completed() {
    for count in 0..=NAMES.len() {
        for force in [false, true] {
            let folder = killed_after(count);
            assert!(complete(folder.path(), "ada", force).unwrap());
            assert_eq!(names(folder.path()), sorted(), "{count}");
            for file in files(folder.path()) {
                assert!(has_content(&file.path, file.content), "{count}");
            }
        }
    }
}

fn restricted(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The end of the path that is refused, and what somebody did to the set.
type Spoiler<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn a_set_that_another_user_could_have_prepared_or_changed_is_not_delivered() {
    let spoilers: [Spoiler<'_>; 5] = [
        ("01-ada.key", &|set| {
            restricted(&set.join("01-ada.key"), 0o644);
        }),
        ("03-ada.crt", &|set| {
            restricted(&set.join("03-ada.crt"), 0o666);
        }),
        ("client-ada", &|set| restricted(set, 0o777)),
        ("01-ada.key", &|set| {
            fs::remove_file(set.join("01-ada.key")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", set.join("01-ada.key")).unwrap();
        }),
        ("02-ada.p12", &|set| {
            fs::remove_file(set.join("02-ada.p12")).unwrap();
            let pipe = set.join("02-ada.p12");
            let made = std::process::Command::new("mkfifo").arg(pipe).status();
            assert!(made.unwrap().success());
        }),
    ];
    for (named, spoil) in spoilers {
        for force in [false, true] {
            let folder = killed_after(0);
            spoil(&prepared(folder.path(), "ada"));
            let said = complete(folder.path(), "ada", force)
                .unwrap_err()
                .to_string();
            assert!(said.contains(&format!("{named}` was left by")), "{said}");
            assert_eq!(names(folder.path()), [".kubectl-mtls-client-ada"]);
        }
    }
}

#[test]
fn a_set_of_another_user_is_not_delivered() {
    let folder = killed_after(0);
    let key = prepared(folder.path(), "ada").join("01-ada.key");
    // Only root can give files away.
    if std::os::unix::fs::chown(key, Some(4321), None).is_ok() {
        let said = complete(folder.path(), "ada", true)
            .unwrap_err()
            .to_string();
        assert!(said.contains("ada.key` was left by"), "{said}");
        assert_eq!(names(folder.path()), [".kubectl-mtls-client-ada"]);
    }
}

#[test]
fn a_forced_set_replaces_a_file_that_others_may_read_or_that_is_a_link_also_with_the_same_content()
{
    let folder = tempfile::tempdir().unwrap();
    write_set("ada", &files(folder.path()), false, None).unwrap();
    let key = folder.path().join("ada.key");
    restricted(&key, 0o644);
    write_set("ada", &files(folder.path()), false, None).unwrap();
    let mode = || fs::symlink_metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o644, "nothing is changed unasked");
    write_set("ada", &files(folder.path()), true, None).unwrap();
    assert_eq!(mode(), 0o600);
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    write_set("ada", &files(folder.path()), true, None).unwrap();
    assert!(fs::symlink_metadata(&key).unwrap().is_file());
}

#[test]
fn a_file_of_somebody_else_is_never_overwritten_by_completing() {
    let folder = killed_after(1);
    let other = folder.path().join("ada.key");
    fs::write(&other, "of another client").unwrap();
    let failure = complete(folder.path(), "ada", false).unwrap_err();
    assert!(
        failure.to_string().contains("differs from the one"),
        "{failure}"
    );
    assert!(has_content(&other, b"of another client"));
    assert!(!folder.path().join("ada.crt").exists());
    assert!(complete(folder.path(), "ada", true).unwrap());
    assert!(has_content(&other, b"ada.key"));
}

#[test]
fn a_file_that_appears_meanwhile_leaves_none_of_the_set_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ada.p12"), "other").unwrap();
    let error = write_set("ada", &files(folder.path()), false, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(names(folder.path()), ["ada.p12"]);
}
