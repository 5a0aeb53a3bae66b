//! External CAs from a file.

use std::path::Path;

use crate::error::Failure;
use crate::io::{clock, files};
use crate::pki::authority;
use crate::pki::bundle::{self, Bundle};
use crate::resources::capacity::LIMIT;

/// Reads the CAs of a PEM file; expired CAs among them are dropped.
pub(super) fn read(path: &Path) -> Result<Bundle, Failure> {
    let refused = |error: bundle::Error| {
        Failure::usage(format!(
            "`--client-ca {}` cannot be trusted",
            path.display()
        ))
        .caused_by(error)
        .hint("give a PEM file with CA certificates only")
    };
    let given = Bundle::parse(files::read(path)?).map_err(refused)?;
    for ca in given.certificates() {
        authority::check_extensions(ca).map_err(|error| {
            Failure::usage(format!(
                "`--client-ca {}` cannot be trusted",
                path.display()
            ))
            .caused_by(error)
            .hint("leave the named CA out of the file")
        })?;
    }
    let bundle =
        Bundle::compose(given.certificates().iter().cloned(), clock::now()).map_err(refused)?;
    let size = bundle.to_pem().len();
    if size > LIMIT {
        return Err(Failure::usage(format!(
            "`--client-ca {}` holds {size} bytes of certificates; a ConfigMap can hold {LIMIT}",
            path.display()
        ))
        .hint("leave out CAs whose clients must not be accepted"));
    }
    Ok(bundle)
}
