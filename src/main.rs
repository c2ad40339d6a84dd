//! The agent's program: words to a command, the command to an exit code.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use outpost::agent::{Agent, Credentials};
use outpost::command_line::{self, ByFile, Command, FileAction, Global, Invocation, Recover};
use outpost::commands::{self, Home, Screen};
use outpost::config::{CentralUrl, Config, ShownSetting, Sources};
use outpost::data_folder::needed_alone;
use outpost::device::{PASSWORD_VARIABLE, PasswordSource, site_password};
use outpost::error::AgentError;
use outpost::exit::Exit;
use outpost::operations::{
    Performer, Progress, ReopeningAgent, backup, carry_in, carry_out, end_recovery, import, recovery_plan, restore,
};
use outpost::passphrase::{PASSPHRASE_VARIABLE, passphrase};
use outpost::service::ReadSettings;
use outpost::{allocator, diagnosis, file_privacy, logging};
use protocol::fingerprint::Fingerprint;
use sealed::Passphrase;
use serde_json::{Value, json};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    allocator::keep_memory_small();
    file_privacy::make_new_files_private();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    // A wrong command line is answered as JSON too where it asks for it.
    let is_json = words.iter().any(|word| word == "--json");
    let exit = command_line::parse(words).map_err(AgentError::from).and_then(|invocation| run(&invocation));
    exit.unwrap_or_else(|error| report(&error, is_json)).into()
}

fn run(invocation: &Invocation) -> Result<Exit, AgentError> {
    match &invocation.command {
        Command::Help { verb } => return Ok(print(&command_line::help(*verb))),
        // Where the settings are broken too.
        Command::Completions { shell } => return Ok(print(&command_line::completions(*shell))),
        Command::Version if invocation.global.is_json => {
            return Ok(print(concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}\n")));
        }
        Command::Version => return Ok(print(concat!("outpost ", env!("CARGO_PKG_VERSION"), "\n"))),
        _ => {}
    }
    let global = &invocation.global;
    // Not locked: the daemon's other threads write to the log.
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let (is_terminal, is_redrawn) = (err.is_terminal(), out.is_terminal());
    let mut screen = Screen::new(&mut out, &mut err, global.is_json, is_terminal).with_redrawing(is_redrawn);
    let config = match Config::load(&Sources::of_process(global.config_file.clone(), global.data_folder.clone())) {
        Err(error) if matches!(invocation.command, Command::Check | Command::Doctor) => {
            return Ok(commands::print_report(&diagnosis::of_bad_settings(&error), &mut screen));
        }
        loaded => loaded?,
    };
    logging::start(global.log_level(config.log_level));
    commands::run(&invocation.command, &config, &Device { config: &config, global }, &mut screen)
}

/// The agent of this device.
struct Device<'a> {
    config: &'a Config,
    global: &'a Global,
}

impl Home for Device<'_> {
    fn open(&self) -> Result<Arc<dyn Performer>, AgentError> {
        Ok(Arc::new(ReopeningAgent::open(self.config.clone())?))
    }

    fn settings_anew(&self) -> Box<ReadSettings> {
        let global = self.global.clone();
        Box::new(move || {
            let sources = Sources::of_process(global.config_file.clone(), global.data_folder.clone());
            let config = Config::load(&sources)?;
            let log_level = global.log_level(config.log_level);
            Ok((config, log_level))
        })
    }

    fn settings_shown(&self) -> Result<Vec<ShownSetting>, AgentError> {
        let sources = Sources::of_process(self.global.config_file.clone(), self.global.data_folder.clone());
        Ok(Config::load_shown(&sources)?.1)
    }

    fn enrol(
        &self,
        central: Option<&str>,
        name: Option<&str>,
        password: Option<&PasswordSource>,
    ) -> Result<Value, AgentError> {
        let central = central
            .map(CentralUrl::parse)
            .transpose()
            .map_err(|problem| AgentError::new("bad_central_url", format!("--central: {problem}"), "", Exit::Usage))?;
        let name = name.or(self.config.site_name.as_deref()).ok_or_else(|| {
            AgentError::new(
                "no_site_name",
                "no site name is given",
                "Use --name, or set name under [site].",
                Exit::Usage,
            )
        })?;
        let password = self.password(password)?;
        let agent = self.agent()?;
        let agent = agent.enrol(&Credentials { central, site_name: name, password: &password })?;
        let enrolment = agent.device().enrolment()?.clone();
        Ok(json!({
            "id": enrolment.site.0,
            "name": enrolment.site_name,
            "central": enrolment.central_url.as_str(),
            "binding": enrolment.hardware.strength().as_str(),
            "binding_text": outpost::device::strength_sentence(enrolment.hardware.strength()),
        }))
    }

    fn recovery_plan(&self) -> Result<Value, AgentError> {
        recovery_plan(&self.agent()?)
    }

    fn recover(&self, what: &Recover, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        let agent = self.agent()?;
        if agent.has_begun_recovery()? {
            return end_recovery(&agent, events);
        }
        let enrolled = agent.device().enrolment()?.site_name.clone();
        let site_name = what.name.as_deref().unwrap_or(&enrolled);
        let password = self.password(what.password.as_ref())?;
        let credentials = Credentials { central: None, site_name, password: &password };
        end_recovery(&agent.recover(&credentials, what.is_journaled_anew)?, events)
    }

    fn re_pin(&self, fingerprint: Fingerprint) -> Result<Value, AgentError> {
        let pinned = self.agent()?.re_pin(fingerprint)?;
        Ok(json!({ "before": pinned.before.to_string(), "after": pinned.after.to_string() }))
    }

    fn by_file(&self, what: &ByFile, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        let passphrase = passphrase_of(what.passphrase.as_ref())?;
        let agent = self.agent()?;
        match what.action {
            FileAction::CarryOut => carry_out(&agent, &what.file, &passphrase),
            FileAction::CarryIn => carry_in(&agent, &what.file, &passphrase, events),
            FileAction::Import => import(&agent, &what.file, &passphrase, events),
            FileAction::Restore { is_dry_run } => restore(&agent, &what.file, &passphrase, is_dry_run, events),
        }
    }

    fn back_up(
        &self,
        file: &Path,
        passphrase: Option<&PasswordSource>,
        door: &dyn Performer,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError> {
        backup(door, self.config, file, &passphrase_of(passphrase)?, events)
    }

    fn confirms(&self, question: &str) -> Result<bool, AgentError> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Ok(false);
        }
        let mut answer = String::new();
        // A question that cannot be shown is answered by nobody.
        let asked = write!(std::io::stderr(), "{question}").and_then(|()| input.read_line(&mut answer));
        asked.map_err(|error| {
            AgentError::new(
                "terminal_unreadable",
                format!("the terminal cannot be read: {error}"),
                "Give --yes.",
                Exit::Failed,
            )
        })?;
        Ok(answer.trim() == "yes")
    }
}

impl Device<'_> {
    /// The agent itself, for commands that no daemon carries out.
    fn agent(&self) -> Result<Agent, AgentError> {
        Agent::open(self.config.clone()).map_err(needed_alone)
    }

    /// The site's password, from where the command line, the environment or the settings say.
    fn password(&self, source: Option<&PasswordSource>) -> Result<Zeroizing<String>, AgentError> {
        let variable = std::env::var_os(PASSWORD_VARIABLE);
        Ok(site_password(source, variable, self.config.password_file.as_deref(), &mut std::io::stdin().lock())?)
    }
}

/// The passphrase of a sealed file, from where the command line or the environment says.
fn passphrase_of(source: Option<&PasswordSource>) -> Result<Passphrase, AgentError> {
    let variable = std::env::var_os(PASSPHRASE_VARIABLE);
    passphrase(source, variable, &mut std::io::stdin().lock())
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
