//! The agent's program: words to a command, the command to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use outpost::command_line::{self, Command, Invocation};
use outpost::config::{Config, Sources};
use outpost::error::AgentError;
use outpost::exit::Exit;
use outpost::{allocator, logging};

fn main() -> ExitCode {
    allocator::keep_memory_small();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    // A wrong command line is answered as JSON too where it asks for it.
    let is_json = words.iter().any(|word| word == "--json");
    let exit = command_line::parse(words).map_err(AgentError::from).and_then(|invocation| run(&invocation));
    exit.unwrap_or_else(|error| report(&error, is_json)).into()
}

fn run(invocation: &Invocation) -> Result<Exit, AgentError> {
    match &invocation.command {
        Command::Help { verb } => return Ok(print(&command_line::help(*verb))),
        Command::Version => return Ok(print(concat!("outpost ", env!("CARGO_PKG_VERSION"), "\n"))),
        _ => {}
    }
    let global = &invocation.global;
    let config = Config::load(&Sources::of_process(global.config_file.clone(), global.data_folder.clone()))?;
    logging::start(global.log_level(config.log_level));
    Err(AgentError::new("not_built_yet", "this verb is not built yet", "", Exit::Failed))
}

fn print(text: &str) -> Exit {
    // Whoever closed the pipe has read enough.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Exit::Ok
}

fn report(error: &AgentError, is_json: bool) -> Exit {
    let text = if is_json { error.to_json() } else { format!("error: {error}") };
    // There is nobody to tell that the error cannot be written.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    error.exit
}
