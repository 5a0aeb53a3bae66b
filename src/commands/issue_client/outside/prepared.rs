//! `--from-certificate`: what an outside CA has signed is checked, and gets the files that go with it.

use std::path::Path;

use crate::commands::which_authority::AuthorityFlags;
use crate::error::Failure;
use crate::io::clock;
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
use crate::plan::Observed;
use crate::plan::outside::{self, Report, Request};
use crate::resources::environment;

/// Takes the certificate of the key from those of a file; the others may be the CAs above it.
pub(in crate::commands::issue_client) fn of_key(
    certificates: &mut Vec<Certificate>,
    key: &PrivateKey,
    (file, key_file): (&Path, &Path),
) -> Result<Certificate, Failure> {
    let own = certificates.iter().position(|one| key.matches(one));
    let Some(own) = own else {
        let subjects: Vec<String> = certificates
            .iter()
            .map(|one| format!("`{}`", one.subject()))
            .collect();
        return Err(Failure::refused(format!(
            "no certificate in `{}` belongs to the key in `{}`: there is {}",
            file.display(),
            key_file.display(),
            subjects.join(", ")
        ))
        .hint("`--key FILE` names the key that the request was made with"));
    };
    Ok(certificates.remove(own))
}

/// Checks the certificate, against the gateway's bundle too where the cluster can be asked.
pub(in crate::commands::issue_client) fn examine(
    request: &Request,
    authority: &AuthorityFlags,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Report, Failure> {
    outside::check(request, &environment::trust_domains(None), clock::now())?;
    let asked = block_on(async {
        let cluster = connect(connection).await?;
        let authority = authority.of_cluster(&cluster)?;
        let live = Live::new(Store::Cluster(&cluster), terminal);
        let command = |name: &str, observed: &Observed, now| {
            let request = Request {
                authority: name.to_owned(),
                ..request.clone()
            };
            outside::reconcile(&request, observed, now)
        };
        authority.run(live, command).await
    });
    match asked {
        Err(failure) if failure.is_of_an_effect() => {
            outside::without_cluster(request, &failure.to_string(), clock::now())
        }
        other => other,
    }
}
