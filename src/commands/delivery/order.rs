//! One certificate on its way into a folder: checked, the password asked for, and only then written.

use std::path::Path;

use time::OffsetDateTime;

use super::folder::Folder;
use super::form::Guide;
use crate::commands::password;
use crate::error::Failure;
use crate::io::drive::Driver;
use crate::io::runtime::{block_on, run_without_waiting};
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::issue_client::Issued;
use crate::plan::issue_client::{Outcome, Report};
use crate::plan::{Delivery, Identity, Step, World};

/// What becomes of a certificate that is issued.
pub(in crate::commands) struct Order<'a> {
    /// Where its files go.
    pub out: &'a Folder<'a>,
    /// Where the password of the PKCS#12 file comes from: this file, stdin, or else a terminal; where there is none, it is made.
    pub password: Option<&'a Path>,
    /// Whether files may be overwritten.
    pub force: bool,
    /// What is told of the use of the files.
    pub show: &'a [Guide],
}

impl Order<'_> {
    /// Issues the certificate. `next` is told whether the user has been asked for all that only the user knows.
    pub async fn fulfil(
        &self,
        store: Store<'_>,
        terminal: &mut Terminal,
        next: impl Fn(bool, &World, OffsetDateTime) -> Result<Step<Outcome>, Failure>,
    ) -> Result<Issued, Failure> {
        let mut world = World::default();
        let mut driver = Driver {
            store,
            terminal,
            resolver: None,
        };
        let too_early = |_: &Identity, _: &Delivery| {
            Err(Failure::failed("there is no password for the key yet"))
        };
        let checks = |world: &World, now| next(false, world, now);
        let outcome = driver.run(&mut world, checks, too_early).await?;
        if let Outcome::Issued(report) = outcome {
            return Ok(self.issued(&report, false));
        }
        let password = if self.out.needs_password() {
            let file = self.out.password_for();
            Some(password::obtain(self.password, &file, driver.terminal)?)
        } else {
            None
        };
        let password = password.as_ref();
        let deliver = |identity: &Identity, delivery: &Delivery| {
            let first = store.take_unflushed();
            self.out
                .deliver(identity, delivery, password, &first, self.force)
        };
        let issues = |world: &World, now| next(true, world, now);
        match driver.run(&mut world, issues, deliver).await? {
            Outcome::Issued(report) => {
                let wrote_password = password.is_some_and(|password| password.generated);
                Ok(self.issued(&report, wrote_password))
            }
            Outcome::Ready => Err(Failure::failed("the certificate was not issued")),
        }
    }

    /// Runs what waits for nothing but the files of a directory, and perhaps for a password.
    pub fn run_in_directory<T>(
        &self,
        terminal_is_interactive: bool,
        issuing: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let asks = self.password.is_none() && self.out.needs_password() && terminal_is_interactive;
        // The runtime is what tells a Ctrl-C at a prompt; without one nothing here ever waits.
        if asks {
            block_on(issuing)
        } else {
            run_without_waiting(issuing)
        }
    }

    fn issued(&self, report: &Report, wrote_password: bool) -> Issued {
        let host = report.host.as_deref();
        Issued {
            curl: host.and_then(|host| self.out.curl(host)),
            guidance: self.out.guidance(self.show, host, wrote_password),
            ..Issued::of(report, self.out.written(wrote_password))
        }
    }
}
