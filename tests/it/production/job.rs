//! A `CronJob` of the page, run here as its own ServiceAccount.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::lab::{Desk, PLUGIN};

/// A ServiceAccount, and a folder that its Pods have as `/work`.
pub(super) struct Job<'a> {
    pub(super) desk: &'a Desk,
    namespace: &'static str,
    name: &'static str,
    work: tempfile::TempDir,
}

impl<'a> Job<'a> {
    pub(super) fn new(desk: &'a Desk, namespace: &'static str, name: &'static str) -> Self {
        Self {
            desk,
            namespace,
            name,
            work: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs the containers of the `CronJob` one after the other, to the first that fails.
    pub(super) fn run(&self, variables: &[(&str, String)]) -> Output {
        let job = self.desk.get(self.namespace, "cronjobs.batch", self.name);
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().unwrap();
        let kubeconfig = self.kubeconfig(account);
        self.mount(pod);
        let empty = Vec::new();
        let containers = ["initContainers", "containers"]
            .into_iter()
            .flat_map(|kind| pod[kind].as_array().unwrap_or(&empty));
        let mut last = None;
        for container in containers {
            let output = self.start(container, &kubeconfig, variables);
            let has_failed = !output.status.success();
            last = Some(output);
            if has_failed {
                break;
            }
        }
        last.unwrap()
    }

    /// Files of `ConfigMaps` that the Pod mounts.
    fn mount(&self, pod: &Value) {
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            let Some(name) = volume["configMap"]["name"].as_str() else {
                continue;
            };
            let data = self.desk.get(self.namespace, "configmap", name)["data"].clone();
            for (file, content) in data.as_object().unwrap() {
                std::fs::write(self.work.path().join(file), content.as_str().unwrap()).unwrap();
            }
        }
    }

    fn start(&self, container: &Value, kubeconfig: &Path, variables: &[(&str, String)]) -> Output {
        let here = |text: &Value| {
            let text = text.as_str().unwrap();
            let text = text.replace("/work", &self.work.path().display().to_string());
            text.replace("/mtls/kubectl-mtls", PLUGIN)
        };
        let texts = |list: &Value| list.as_array().into_iter().flatten().map(here).collect();
        let mut line: Vec<String> = texts(&container["command"]);
        if line.is_empty() {
            line.push(PLUGIN.to_owned());
        }
        let arguments: Vec<String> = texts(&container["args"]);
        line.extend(arguments);
        let kubectl = self.desk.instance.kubectl().unwrap();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(kubectl.parent().unwrap().to_owned());
        let folders = folders.chain(std::env::split_paths(&inherited));
        let environment = container["env"].as_array().into_iter().flatten();
        Command::new(&line[0])
            .args(&line[1..])
            .current_dir(self.work.path())
            .env("PATH", std::env::join_paths(folders).unwrap())
            .envs(self.desk.instance.variables())
            .envs(environment.map(|one| (one["name"].as_str().unwrap(), here(&one["value"]))))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A kubeconfig with a token of the ServiceAccount.
    fn kubeconfig(&self, account: &str) -> std::path::PathBuf {
        let create = ["-n", self.namespace, "create", "token", account];
        let token = self.desk.kubectl(&create, "");
        let text = std::fs::read_to_string(self.desk.instance.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({"token": token.trim()});
        }
        let path = self
            .desk
            .folder
            .path()
            .join(format!("{account}.kubeconfig"));
        std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
        path
    }
}
