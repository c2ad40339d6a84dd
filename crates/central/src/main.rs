//! `outpost-central`: arguments, then the command, then the exit code.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use central::commands::{Arguments, run};
use central::error::{CentralError, Exit};
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") => {
            return ExitCode::from(tell(&wrong_usage(&error).into(), true));
        }
        Err(error) => error.exit(),
    };
    let is_json = arguments.is_json();
    match start(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(tell(&error, is_json)),
    }
}

fn start(arguments: Arguments) -> anyhow::Result<u8> {
    let usual = if arguments.is_server() { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("OUTPOST_CENTRAL_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal);
    log.try_init().map_err(anyhow::Error::from_boxed).context("the log cannot be set up")?;
    let exit = run(arguments, &mut std::io::stdout().lock())?;
    Ok(exit.code())
}

/// Arguments that cannot be read, as an error like any other.
fn wrong_usage(error: &clap::Error) -> CentralError {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").trim();
    CentralError::new("usage", message, "`outpost-central VERB --help` says what a verb takes.", Exit::Usage)
}

/// Shows an error where people and scripts look for it, and gives its exit code.
fn tell(error: &anyhow::Error, is_json: bool) -> u8 {
    let mut output = std::io::stderr().lock();
    let code = error.downcast_ref::<CentralError>().map_or(1, |error| error.exit.code());
    // Nobody can be told if this fails; the exit code says it still.
    let _ = match error.downcast_ref::<CentralError>() {
        Some(error) if is_json => writeln!(output, "{}", serde_json::json!({ "error": error })),
        Some(error) if error.advice.is_empty() => writeln!(output, "error: {error}"),
        Some(error) => writeln!(output, "error: {error}\n{}", error.advice),
        None => writeln!(output, "error: {error:#}"),
    };
    code
}
