//! Keys, certificates, tokens and kubeconfig files of one instance's API server. Nothing here is used twice.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::error::{Error, Result};
use crate::run_dir::RunDirectory;

/// The context of kubeconfig files: of the form of kind's, by which the plugin knows a cluster on this machine.
pub(crate) const CONTEXT: &str = "kind-sandbox";

/// Users that tests may get, `user-0` and so on.
pub(crate) const POOL: usize = 512;

/// Who talks to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Admin,
    Istiod,
    PortForward,
    StandIns,
    Pool(usize),
}

impl Account {
    /// The user's name, as the audit log has it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Istiod => "istiod".to_owned(),
            Self::PortForward => "port-forward".to_owned(),
            Self::StandIns => "stand-ins".to_owned(),
            Self::Pool(number) => format!("user-{number}"),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        [Self::Admin, Self::Istiod, Self::PortForward, Self::StandIns]
            .into_iter()
            .chain((0..POOL).map(Self::Pool))
    }
}

/// The files that the API server and its clients need.
#[derive(Debug)]
pub(crate) struct Credentials {
    server: String,
    authority: String,
    tokens: Vec<(Account, String)>,
    /// The API server's certificate.
    pub(crate) certificate: PathBuf,
    /// The key of that certificate.
    pub(crate) key: PathBuf,
    /// The CA of that certificate.
    pub(crate) authority_file: PathBuf,
    /// The key that signs `ServiceAccount` tokens.
    pub(crate) account_key: PathBuf,
    /// Its public half; the API server does not find that in a PKCS#8 file.
    pub(crate) account_public_key: PathBuf,
    /// Token, user, id and groups, a line each.
    pub(crate) token_file: PathBuf,
    /// The token of [`Account::PortForward`] alone.
    pub(crate) port_forward_token: PathBuf,
}

impl Credentials {
    /// Makes everything anew and writes it into the run directory; `server` is the API server's URL.
    pub(crate) fn create(directory: &RunDirectory, server: String) -> Result<Self> {
        let authority = ServerAuthority::create("sandbox API server")?;
        let (certificate, key) =
            authority.issue(&["127.0.0.1", "localhost", "kubernetes.default.svc"])?;
        let account_key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut tokens = Vec::new();
        let mut table = Vec::new();
        for account in Account::all() {
            let token = random_token()?;
            let groups = if matches!(account, Account::Pool(_)) {
                ""
            } else {
                ",system:masters"
            };
            let name = account.name();
            table.push(format!("{token},{name},{name}{groups}\n"));
            tokens.push((account, token));
        }
        let mut credentials = Self {
            server,
            tokens,
            certificate: directory.write("api-server.crt", certificate.as_bytes())?,
            key: directory.write("api-server.key", key.as_bytes())?,
            authority_file: directory
                .write("api-server-ca.crt", authority.certificate.as_bytes())?,
            account_key: directory.write(
                "service-accounts.key",
                account_key.serialize_pem().as_bytes(),
            )?,
            account_public_key: directory.write(
                "service-accounts.pub",
                account_key.public_key_pem().as_bytes(),
            )?,
            token_file: directory.write("tokens.csv", table.concat().as_bytes())?,
            port_forward_token: PathBuf::new(),
            authority: authority.certificate,
        };
        let token = credentials.token(Account::PortForward)?;
        credentials.port_forward_token = directory.write("port-forward.token", token.as_bytes())?;
        Ok(credentials)
    }

    fn token(&self, account: Account) -> Result<&str> {
        let found = self.tokens.iter().find(|(other, _)| *other == account);
        found
            .map(|(_, token)| token.as_str())
            .ok_or_else(|| Error::Name(format!("there is no {}", account.name())))
    }

    /// Writes a kubeconfig file for an account and returns its path.
    pub(crate) fn write_kubeconfig(
        &self,
        directory: &RunDirectory,
        file: &str,
        account: Account,
    ) -> Result<PathBuf> {
        use base64::Engine;
        let user = account.name();
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.authority);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {
                "server": self.server, "certificate-authority-data": authority,
            }}],
            "users": [{"name": user, "user": {"token": self.token(account)?}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": "sandbox", "user": user, "namespace": "default"}}],
            "current-context": CONTEXT,
        });
        let text = serde_saphyr::to_string(&config)
            .map_err(|error| Error::Malformed(error.to_string()))?;
        directory.write(file, text.as_bytes())
    }
}

/// Makes a client from a kubeconfig file; it belongs to the runtime in which this is called.
pub(crate) fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let malformed = |error: &dyn std::fmt::Display| {
        Error::Malformed(format!("{}: {error}", kubeconfig.display()))
    };
    let file =
        kube::config::Kubeconfig::read_from(kubeconfig).map_err(|error| malformed(&error))?;
    let mut config = kube::Config::try_from(file).map_err(|error| malformed(&error))?;
    // It would hide refusals for minutes.
    config.default_retry = false;
    kube::Client::try_from(config).map_err(|error| malformed(&error))
}

/// A CA for server certificates.
pub(crate) struct ServerAuthority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub(crate) certificate: String,
}

impl ServerAuthority {
    /// Makes a CA with a fresh P-256 key.
    pub(crate) fn create(name: &str) -> Result<Self> {
        let mut params = parameters(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = params
            .self_signed(&key)
            .map_err(|error| failed(&error))?
            .pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// Issues a certificate for host names and IP addresses; returns certificate and key, both PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> Result<(String, String)> {
        let mut params = CertificateParams::new(
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        )
        .map_err(|error| failed(&error))?;
        params.distinguished_name =
            parameters(names.first().copied().unwrap_or_default())?.distinguished_name;
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| failed(&error))?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn parameters(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn failed(error: &rcgen::Error) -> Error {
    Error::Malformed(format!("cannot make a certificate: {error}"))
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Tool("no randomness on this machine".to_owned()))?;
    Ok(bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}
