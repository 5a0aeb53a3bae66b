//! Files that are in the way, half written, or written by several at once.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn file(folder: &Path, name: &str, content: &'static str) -> NewFile<'static> {
    NewFile {
        path: folder.join(name),
        content: content.as_bytes(),
        access: Access::Private,
    }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_in_the_way_leaves_none_of_the_others_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b"), "other").unwrap();
    let files = [file(folder.path(), "a", "1"), file(folder.path(), "b", "2")];
    let error = write_all(&files, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let failure = Failure::from(error);
    assert_eq!(failure.what_to_do(), [] as [&str; 0]);
    assert_eq!(names(folder.path()), ["b"]);
    write_all(&files, true).unwrap();
    assert!(has_content(&files[1].path, b"2"));
}

#[test]
fn a_forced_run_that_breaks_off_says_what_it_overwrote() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    let files = [file(folder.path(), "a", "1"), file(folder.path(), "b", "2")];
    let failure = Failure::from(write_all(&files, true).unwrap_err());
    assert!(failure.what_to_do()[0].contains("/a`"), "{failure:?}");
    assert_eq!(names(folder.path()), ["a", "b"]);
}

#[test]
fn runs_that_write_the_same_file_at_the_same_time_do_not_hinder_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let shared = file(folder.path(), "client-ca.crt", "1");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| write_all(std::slice::from_ref(&shared), false).unwrap());
        }
    });
    assert_eq!(names(folder.path()), ["client-ca.crt"]);
}

#[test]
fn an_error_names_the_file_that_was_wanted() {
    let impossible = Path::new("/proc/nonexistent");
    let failure = Failure::from(check_writable(impossible).unwrap_err());
    assert_eq!(
        failure.to_string(),
        "could not write `/proc/nonexistent`: No such file or directory"
    );
}

#[test]
fn private_files_are_their_owners_only_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let private = file(folder.path(), "a", "1");
    write_all(std::slice::from_ref(&private), false).unwrap();
    let mode = fs::metadata(&private.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_forced_program_that_nobody_may_run_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let program = NewFile {
        access: Access::Executable,
        ..file(folder.path(), "kubectl_complete-mtls", "#!/bin/sh\n")
    };
    fs::write(&program.path, program.content).unwrap();
    let mode = || fs::metadata(&program.path).unwrap().permissions().mode() & 0o111;
    assert_eq!(mode(), 0);
    write_all(std::slice::from_ref(&program), true).unwrap();
    assert_ne!(mode(), 0);
}

#[test]
fn a_path_leads_to_the_same_place_by_any_way_and_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    fs::create_dir_all(&one).unwrap();
    std::os::unix::fs::symlink(&one, &other).unwrap();
    assert!(replaces(&one.join("ca.crt"), &other.join("CA.crt")));
    assert!(replaces(&one.join("../one/ca.crt"), &one.join("ca.crt")));
    assert!(!replaces(&one.join("ca.crt"), &one.join("ca.key")));
    assert!(!replaces(
        &folder.path().join("ca.crt"),
        &one.join("ca.crt")
    ));
    fs::write(one.join("ada.crt"), "").unwrap();
    std::os::unix::fs::symlink(one.join("ada.crt"), folder.path().join("link")).unwrap();
    assert!(replaces(&one.join("ada.crt"), &folder.path().join("link")));
}
