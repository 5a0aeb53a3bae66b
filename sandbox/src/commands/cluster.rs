//! The flags that say what kind of cluster a sandbox plays.

use clap::ValueEnum;
use sandbox::stand_in::Controller;
use sandbox::{Environment, ProxyProtocol, Settings};

/// What `up` and `run` have in common.
#[derive(clap::Args)]
pub(super) struct ClusterArgs {
    /// What kind of cluster to play
    #[arg(long, value_enum, default_value_t)]
    environment: Environment,
    /// Have the gateway expect a PROXY header, as Kyma does behind some load balancers
    #[arg(long, value_enum, value_name = "MODE", default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "required")]
    proxy_protocol: ProxyProtocol,
    /// Add cert-manager, with no issuer
    #[arg(long)]
    cert_manager: bool,
    /// Leave these controllers out, for those who bring the real ones; their kinds stay defined
    #[arg(long, value_enum, value_name = "CONTROLLER", value_delimiter = ',')]
    without: Vec<Controller>,
}

impl ClusterArgs {
    /// The settings of a sandbox of this name.
    pub(super) fn settings(&self, name: &str) -> Settings {
        Settings {
            environment: self.environment,
            name: Some(name.to_owned()),
            proxy_protocol: self.proxy_protocol,
            cert_manager: self.cert_manager,
            without: self.without.clone(),
        }
    }

    /// The same flags for another process.
    pub(super) fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--environment={}", value_name(&self.environment)),
            format!("--proxy-protocol={}", value_name(&self.proxy_protocol)),
        ];
        arguments.extend(self.cert_manager.then(|| "--cert-manager".to_owned()));
        let without = self.without.iter();
        arguments.extend(without.map(|one| format!("--without={}", value_name(one))));
        arguments
    }
}

fn value_name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
