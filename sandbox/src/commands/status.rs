//! Shows which sandboxes are up.

use std::process::ExitCode;

use sandbox::{Record, Result};

use super::print;

/// Show the sandboxes that are up, and whether all their parts run
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show only the sandbox of this name; exit code 1 when it is not up
    #[arg(long)]
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut records = Record::find_all()?;
    records.retain(|record| {
        record.is_held() && args.name.as_ref().is_none_or(|name| *name == record.name)
    });
    for record in &records {
        describe(record);
    }
    if !records.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    print("no sandbox is up");
    Ok(if args.name.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn describe(record: &Record) {
    let state = if record.ready { "up" } else { "starting" };
    print(&format!(
        "{}: {state}, held by process {}",
        record.name, record.holder
    ));
    for (name, value) in record.variables() {
        print(&format!("  {name}={value}"));
    }
    print(&format!(
        "  domain {}, logs {}",
        record.domain,
        record.logs.display()
    ));
    for gateway in &record.gateways {
        print(&format!("  {gateway}"));
    }
    for process in &record.processes {
        let state = if process.runs() { "runs" } else { "ENDED" };
        print(&format!(
            "  {:<36} {state}, process {}",
            process.name, process.id
        ));
    }
}
