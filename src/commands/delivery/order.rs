//! One certificate on its way into a folder: checked, the password asked for, and only then written.

use std::path::Path;

use time::OffsetDateTime;

use super::folder::Folder;
use super::form::Guide;
use crate::commands::password::{self, Password};
use crate::error::Failure;
use crate::io::execute::{CredentialWriter, Live};
use crate::io::files::Unflushed;
use crate::io::runtime::{block_on, run_without_waiting};
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::issue_client::Issued;
use crate::plan::issue_client::Report;
use crate::plan::{Delivery, Identity, Observed, Reconciled};

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
    /// Issues the certificate.
    pub async fn fulfil(
        &self,
        store: Store<'_>,
        terminal: &mut Terminal,
        plan: impl Fn(&Observed, OffsetDateTime) -> Reconciled<Report>,
    ) -> Result<Issued, Failure> {
        let mut writer = Writer {
            order: self,
            password: None,
        };
        let mut live = Live::new(store, terminal).with_credential(&mut writer);
        let report = live.run(plan).await?;
        let wrote_password = writer.password.is_some_and(|it| it.generated);
        Ok(self.issued(&report, wrote_password))
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

/// Writes the files of an order, once their password is known.
struct Writer<'a> {
    order: &'a Order<'a>,
    password: Option<Password>,
}

impl CredentialWriter for Writer<'_> {
    fn ask_password(&mut self, terminal: &Terminal) -> Result<(), Failure> {
        let out = self.order.out;
        if out.needs_password() {
            let file = out.password_for();
            self.password = Some(password::obtain(self.order.password, &file, terminal)?);
        }
        Ok(())
    }

    fn write(
        &mut self,
        identity: &Identity,
        delivery: &Delivery,
        unflushed: &[Unflushed],
    ) -> Result<(), Failure> {
        let Order { out, force, .. } = self.order;
        out.deliver(
            identity,
            delivery,
            self.password.as_ref(),
            unflushed,
            *force,
        )
    }
}
