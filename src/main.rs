//! Parses the command line, runs the command, prints what went wrong, and ends with its exit code.

use std::process::ExitCode;

use kubectl_mtls::cli::Cli;
use kubectl_mtls::error::{Exit, Failure};
use kubectl_mtls::io::interrupt;
use kubectl_mtls::io::terminal::Terminal;
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Private keys pass through libraries that encode JSON, PEM and PKCS#12, and leave copies behind them; here none is left.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    let cli = Cli::read();
    let mut terminal = Terminal::new(cli.appearance.color, cli.appearance.quiet);
    match run(cli, &mut terminal) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit().into()
        }
    }
}

fn run(cli: Cli, terminal: &mut Terminal) -> Result<Exit, Failure> {
    interrupt::listen()?;
    cli.run(terminal)
}
