//! What a user sees without a cluster: every case of `tests/cmd`, run through the real kubectl.
//!
//! `TRYCMD=overwrite cargo test --test it cmd` writes down what is seen now.

use std::path::Path;

use sandbox::parts::{self, Part};

use crate::lab::PLUGIN;

#[test]
fn the_readable_cases_of_tests_cmd_are_what_a_user_sees() {
    let parts = parts::ensure(&[Part::Kubectl]).unwrap();
    let kubectl = parts.path(Part::Kubectl).unwrap();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let plugin = Path::new(PLUGIN).parent().unwrap().to_path_buf();
    let folders = std::iter::once(plugin).chain(std::env::split_paths(&inherited));
    let path = std::env::join_paths(folders).unwrap();
    trycmd::TestCases::new()
        .register_bin("kubectl", kubectl)
        .env("PATH", path.to_str().unwrap())
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .case("tests/cmd/*.md")
        .run();
}
