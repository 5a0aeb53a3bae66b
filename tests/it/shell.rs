//! What a user pastes into a shell.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::lab::{Desk, PLUGIN};

/// A user's shell: kubectl and the plugin on PATH, the desk's namespace chosen in the kubeconfig. Its editor changes nothing.
pub(crate) struct Shell<'a> {
    desk: &'a Desk,
    path: std::ffi::OsString,
}

impl<'a> Shell<'a> {
    pub(crate) fn new(desk: &'a Desk) -> Self {
        let kubectl = desk.instance.kubectl().unwrap();
        let folders = [Path::new(PLUGIN).parent(), kubectl.parent()];
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = folders.into_iter().flatten().map(Path::to_path_buf);
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&inherited))).unwrap();
        let kubeconfig = desk.folder.path().join("kubeconfig");
        std::fs::copy(desk.instance.kubeconfig(), kubeconfig).unwrap();
        // Its curl reaches the gateway, and trusts the issuer of the server certificates.
        let root = desk.folder.path().join(".root.pem");
        std::fs::write(&root, desk.instance.stand_ins().root_certificate()).unwrap();
        let at = desk.instance.connect_to();
        let curlrc = format!(
            "connect-to = \"::{at}\"\ncacert = {:?}\n",
            root.display().to_string()
        );
        std::fs::write(desk.folder.path().join(".curlrc"), curlrc).unwrap();
        let shell = Self { desk, path };
        shell.runs(&format!(
            "kubectl config set-context --current --namespace={}",
            desk.namespace
        ));
        shell
    }

    /// What the line prints; it must succeed.
    #[track_caller]
    pub(crate) fn runs(&self, line: &str) -> String {
        let folder = self.desk.folder.path();
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", line])
            .current_dir(folder)
            .env("PATH", &self.path)
            .env("HOME", folder)
            .env("DOMAIN", self.desk.instance.domain())
            .envs(self.desk.instance.variables())
            .env("KUBECONFIG", folder.join("kubeconfig"))
            .env("KUBE_EDITOR", "true")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let [out, said] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "$ {line}\n{out}{said}");
        out.into_owned()
    }
}
