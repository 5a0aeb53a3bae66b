//! A host with an authority and clients of its own, as tests of `revoke-client` and of faults need it.

use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::{Desk, Run, call, own_namespace};

pub(crate) const CLIENTS: &str = "kubectl-mtls-clients";

/// A host of one's own, with an authority of its own and clients.
pub(crate) struct Shop {
    pub(crate) desk: Desk,
    pub(crate) host: String,
    pub(crate) authority: String,
}

impl Shop {
    pub(crate) fn open(purpose: &str, clients: &[&str]) -> Self {
        let shop = Self::exposed(purpose, &[]);
        for client in clients {
            shop.issue(client, &[]);
        }
        shop
    }

    pub(crate) fn exposed(purpose: &str, flags: &[&str]) -> Self {
        Self::exposed_in(own_namespace(purpose), flags)
    }

    /// The same in a namespace with a host for it.
    pub(crate) fn exposed_in((desk, host): (Desk, String), flags: &[&str]) -> Self {
        desk.run(&[&["expose", "httpbin", "--host", &host], flags].concat())
            .exits(0);
        let gateway = desk.get(
            &desk.namespace,
            "gateways.networking.istio.io",
            "kyma-mtls-gateway",
        );
        let credential = &gateway["spec"]["servers"][0]["tls"]["credentialName"];
        let authority = credential.as_str().unwrap().to_owned();
        Self {
            desk,
            host,
            authority,
        }
    }

    pub(crate) fn issue(&self, client: &str, more: &[&str]) {
        self.run(&[&["issue-client", client], more].concat())
            .exits(0);
    }

    /// Runs a command on this shop's authority.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.desk
            .run(&[arguments, &["--authority", &self.authority]].concat())
    }

    pub(crate) fn revoke(&self, arguments: &[&str]) -> Run {
        self.run(&[&["revoke-client"], arguments].concat())
    }

    pub(crate) fn call(&self, client: &str) -> Reply {
        call(&self.desk.client(client), &self.host, &[])
    }

    #[track_caller]
    pub(crate) fn admits(&self, client: &str) {
        let reply = self.call(client);
        assert!(
            matches!(reply, Reply::Answered { status: 200, .. }),
            "{client}: {reply}"
        );
    }

    #[track_caller]
    pub(crate) fn refuses(&self, client: &str) {
        assert_eq!(
            self.call(client),
            Reply::Refused("certificate_revoked".to_owned()),
            "{client}"
        );
    }

    pub(crate) fn state(&self) -> Value {
        self.desk.get("kubectl-mtls", "configmap", &self.authority)
    }

    /// Lets the Gateway read a Secret in the place of the authority, as earlier versions made it; that Secret's name.
    pub(crate) fn unmove(&self) -> String {
        unmove(&self.desk, &self.authority)
    }

    /// The serial numbers of all certificates that were ever booked.
    pub(crate) fn serials(&self) -> Vec<String> {
        let label = |entry: &Value| {
            let serial = &entry["metadata"]["labels"]["kubectl-mtls.dev/serial"];
            serial.as_str().unwrap().to_owned()
        };
        self.entries().iter().map(label).collect()
    }

    /// Name and state of every entry of the inventory.
    pub(crate) fn inventory(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut all: Vec<(String, String)> = self
            .entries()
            .iter()
            .map(|entry| {
                (
                    text(&entry["metadata"]["annotations"]["kubectl-mtls.dev/client-name"]),
                    text(&entry["metadata"]["labels"]["kubectl-mtls.dev/state"]),
                )
            })
            .collect();
        all.sort();
        all
    }

    fn entries(&self) -> Vec<Value> {
        let selector = format!("kubectl-mtls.dev/authority={}", self.authority);
        let text = self.desk.kubectl(
            &[
                "-n",
                CLIENTS,
                "get",
                "configmaps",
                "-l",
                &selector,
                "-o",
                "json",
            ],
            "",
        );
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Changes the state's data by hand.
    pub(crate) fn edit_state(&self, data: &Value) {
        self.desk.kubectl(
            &[
                "-n",
                "kubectl-mtls",
                "patch",
                "configmap",
                &self.authority,
                "--type=merge",
                "-p",
                &json!({"data": data}).to_string(),
            ],
            "",
        );
    }
}

/// Lets a Gateway read a Secret in the place of its authority, as earlier versions made it; that Secret's name.
pub(crate) fn unmove(desk: &Desk, authority: &str) -> String {
    let secret = format!("{authority}-clients-cacert");
    let data = desk.get("kubectl-mtls", "configmap", authority)["data"].clone();
    let mut told = json!({"cacert": data["ca.crt"]});
    if let Some(crl) = data.get("ca.crl") {
        told["crl"] = crl.clone();
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": told,
        "metadata": {"namespace": desk.instance.gateways()[0].namespace, "name": secret, "labels": {
            "app.kubernetes.io/managed-by": "kubectl-mtls",
            "kubectl-mtls.dev/authority": authority,
        }},
    });
    desk.instance.create(vec![object]).unwrap();
    let noted = json!({"metadata": {"annotations": {"kubectl-mtls.dev/client-ca-secret": secret}}});
    let patch = ["-n", "kubectl-mtls", "patch", "configmap", authority];
    let merge = ["--type=merge", "-p", &noted.to_string()];
    desk.kubectl(&[&patch[..], &merge].concat(), "");
    let field = json!([{"op": "replace", "path": "/spec/servers/0/tls/caCertCredentialName", "value": secret}]);
    let kind = "gateways.networking.istio.io";
    let patch = ["-n", &desk.namespace, "patch", kind, "kyma-mtls-gateway"];
    let change = ["--type=json", "-p", &field.to_string()];
    desk.kubectl(&[&patch[..], &change].concat(), "");
    secret
}
