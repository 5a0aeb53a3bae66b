//! Parses the command line, runs the command, prints what went wrong, and ends with its exit code.

use std::process::ExitCode;

use kubectl_mtls::cli::Cli;
use kubectl_mtls::error::{Exit, Failure, Kind};
use kubectl_mtls::io::terminal::{Color, Terminal};
use kubectl_mtls::io::{interrupt, written};
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes freed memory: private keys pass through libraries that encode JSON, PEM and PKCS#12, and leave copies behind.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(Ok(exit)) => return exit.into(),
        Err(Err(failure)) => {
            Terminal::new(Color::Auto, false).failure(&failure);
            return failure.exit().into();
        }
    };
    let mut terminal = Terminal::new(cli.appearance.color, cli.appearance.quiet);
    let writes = cli.command.writes();
    let ended = run(cli, &mut terminal).and_then(|exit| terminal.check_printed().map(|()| exit));
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let failure = if writes {
                with_outcome(failure)
            } else {
                failure
            };
            terminal.failure(&failure);
            failure.exit().into()
        }
    }
}

/// Adds what was written before the failure. An interruption says that itself, and a usage error has written nothing.
fn with_outcome(failure: Failure) -> Failure {
    let is_plain = match failure.kind() {
        Kind::Interrupted => true,
        Kind::Usage => written::is_nothing(),
        Kind::Refused | Kind::Failed | Kind::TimedOut => false,
    };
    if is_plain {
        return failure;
    }
    failure.hint(written::outcome())
}

fn run(cli: Cli, terminal: &mut Terminal) -> Result<Exit, Failure> {
    interrupt::listen()?;
    cli.run(terminal)
}
