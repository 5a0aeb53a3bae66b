//! Starts a sandbox that goes on after the command.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use sandbox::parts::{self, Part};
use sandbox::{Error, Record, Result, report};

use super::cluster::ClusterArgs;
use super::{Which, print};

/// Start a sandbox in the background and print how to use it
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let name = &args.which.name;
    if let Ok(record) = args.which.find_ready() {
        report(&format!("`{name}` is up already"));
        explain(&record, on_path("kubectl").is_none())?;
        return Ok(ExitCode::SUCCESS);
    }
    // Here, and not in the background, so that one sees what takes so long.
    parts::ensure(&Part::CLUSTER)?;
    let log = sandbox::holder_log(name)?;
    let mut holder = spawn(args, &log)?;
    let outcome = wait(&mut holder, name, &log);
    if !matches!(outcome, Ok(Some(_))) {
        // Its children end with it.
        let _ = holder.kill();
        let _ = holder.wait();
    }
    let Some(record) = outcome? else {
        report("interrupted; nothing is left running");
        return Ok(ExitCode::from(130));
    };
    report(&format!(
        "`{name}` is up, started in {:.1} s",
        record.start_seconds
    ));
    explain(&record, on_path("kubectl").is_none())?;
    Ok(ExitCode::SUCCESS)
}

/// Starts `sandbox run` in a session of its own, which a closed terminal does not end.
fn spawn(args: &Args, log: &Path) -> Result<Child> {
    let failed = |source| Error::Io {
        what: "start the sandbox in the background".to_owned(),
        source,
    };
    let output = File::create(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    Command::new("setsid")
        .arg(std::env::current_exe().map_err(failed)?)
        .args(["run", "--name", &args.which.name])
        .args(args.cluster.to_arguments())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(failed)
}

/// Waits until the sandbox is ready or has ended; `None` after Ctrl-C.
fn wait(holder: &mut Child, name: &str, log: &Path) -> Result<Option<Record>> {
    let failed = |source| Error::Io {
        what: "wait for the sandbox".to_owned(),
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let ready = async {
        loop {
            if let Some(record) =
                Record::find(name)?.filter(|record| record.ready && record.holder == holder.id())
            {
                return Ok(Some(record));
            }
            if holder.try_wait().map_err(failed)?.is_some() {
                return Err(Error::Name(last_words(log)));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            result = ready => result,
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    })
}

/// The message with which the holder ended.
fn last_words(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let message = said
        .rsplit_once("error: ")
        .map_or(said.as_str(), |(_, message)| message);
    message.trim_end().to_owned()
}

/// Prints lines for a shell: `eval "$(cargo sandbox up)"` works.
fn explain(record: &Record, without_kubectl: bool) -> Result<()> {
    for (name, value) in record.variables() {
        print(&format!("export {name}={value}"));
    }
    if without_kubectl {
        let kubectl = parts::ensure(&[Part::Kubectl])?
            .path(Part::Kubectl)?
            .to_owned();
        print(&format!(
            "export PATH={}:$PATH",
            kubectl.parent().unwrap_or(&kubectl).display()
        ));
    }
    print(&format!(
        "# the default domain is {}; logs: {}",
        record.domain,
        record.logs.display()
    ));
    for gateway in &record.gateways {
        print(&format!("# {gateway}"));
    }
    print(&format!(
        "# end it with: cargo sandbox down --name {}",
        record.name
    ));
    Ok(())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
