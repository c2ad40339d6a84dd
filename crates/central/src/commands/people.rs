//! `account`, `token`, `authorisation-code`, `unlock`: arguments, and how the answers look.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::input::read_password;
use super::show::{items, plain, table, warning};
use crate::error::CentralError;
use crate::operations::{AccountToAdd, AccountToEdit, Request};

#[derive(Subcommand)]
pub(super) enum AccountCommand {
    /// Add an account.
    Add {
        /// The login; unique.
        name: String,
        /// What it may do.
        #[arg(long)]
        role: RoleWord,
        #[command(flatten)]
        password: PasswordArgument,
    },
    /// Every account.
    List,
    /// Change what an account may do, or its password; who is signed in with the old one has to do so again.
    Edit {
        /// The login.
        name: String,
        /// What it may do.
        #[arg(long, required_unless_present = "password_file")]
        role: Option<RoleWord>,
        /// A file with another password, or - for standard input. A line end behind it does not count.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Let it not sign in any more.
    Disable {
        /// The login.
        name: String,
    },
    /// Let it sign in again.
    Enable {
        /// The login.
        name: String,
    },
    /// Remove an account. What it did stays in the audit log.
    Remove {
        /// The login.
        name: String,
    },
}

#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print its secret, once.
    Add {
        /// What it is called; unique.
        name: String,
        /// What it may do.
        #[arg(long)]
        role: RoleWord,
        /// How many days it lasts, at most 3650; without it: until it is revoked.
        #[arg(long)]
        days: Option<u32>,
    },
    /// Every token, without its secret.
    List,
    /// End a token.
    Revoke {
        /// What it is called.
        name: String,
    },
}

#[derive(Subcommand)]
pub(super) enum CodeCommand {
    /// Set the code, or another one. Whoever had unlocked has to do so again.
    Set(CodeArgument),
    /// Take the code away: nothing is locked any more.
    Clear,
}

#[derive(Args)]
pub(super) struct PasswordArgument {
    /// A file with the password, or - for standard input. A line end behind it does not count.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
}

#[derive(Args)]
pub(super) struct CodeArgument {
    /// A file with the code, or - for standard input. A line end behind it does not count.
    #[arg(long, value_name = "FILE")]
    code_file: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RoleWord {
    /// May look.
    Viewer,
    /// May change too.
    Administrator,
}

impl RoleWord {
    fn text(self) -> String {
        match self {
            Self::Viewer => "viewer".to_owned(),
            Self::Administrator => "administrator".to_owned(),
        }
    }
}

pub(super) fn account(command: AccountCommand) -> Result<Request, CentralError> {
    Ok(match command {
        AccountCommand::Add { name, role, password } => Request::AccountAdd(AccountToAdd {
            name,
            role: role.text(),
            password: read_password(&password.password_file)?,
        }),
        AccountCommand::List => Request::AccountList,
        AccountCommand::Edit { name, role, password_file } => Request::AccountEdit(AccountToEdit {
            name,
            role: role.map(RoleWord::text),
            password: password_file.as_deref().map(read_password).transpose()?,
        }),
        AccountCommand::Disable { name } => Request::AccountSetDisabled { name, is_disabled: true },
        AccountCommand::Enable { name } => Request::AccountSetDisabled { name, is_disabled: false },
        AccountCommand::Remove { name } => Request::AccountRemove { name },
    })
}

pub(super) fn token(command: TokenCommand) -> Request {
    match command {
        TokenCommand::Add { name, role, days } => Request::TokenAdd { name, role: role.text(), days },
        TokenCommand::List => Request::TokenList,
        TokenCommand::Revoke { name } => Request::TokenRevoke { name },
    }
}

pub(super) fn code(command: CodeCommand) -> Result<Request, CentralError> {
    Ok(match command {
        CodeCommand::Set(CodeArgument { code_file }) => {
            Request::AuthorisationCodeSet { authorisation_code: read_code(&code_file)? }
        }
        CodeCommand::Clear => Request::AuthorisationCodeClear,
    })
}

pub(super) fn unlock(CodeArgument { code_file }: &CodeArgument) -> Result<Request, CentralError> {
    Ok(Request::Unlock { authorisation_code: read_code(code_file)? })
}

fn read_code(path: &Path) -> Result<String, CentralError> {
    read_password(path)
}

pub(super) fn account_added(value: &Value) -> String {
    format!("account {} is {}\n", plain(&value["account"]), plain(&value["role"]))
}

pub(super) fn accounts(value: &Value) -> String {
    let rows = items(value, "accounts").iter().map(|account| {
        let state = if account["is_disabled"] == true { "disabled" } else { "may sign in" };
        vec![plain(&account["account"]), plain(&account["role"]), state.to_owned(), plain(&account["created"])]
    });
    table(&["ACCOUNT", "ROLE", "STATE", "ADDED"], rows)
}

pub(super) fn account_changed(value: &Value) -> String {
    let state = if value["is_disabled"] == true { ", and disabled" } else { "" };
    let (name, role) = (plain(&value["account"]), plain(&value["role"]));
    format!("account {name} is {role}{state}\n{}", warning(value))
}

pub(super) fn account_removed(value: &Value) -> String {
    format!("removed account {}\n{}", plain(&value["account"]), warning(value))
}

pub(super) fn token_made(value: &Value) -> String {
    let (secret, token) = (plain(&value["secret"]), plain(&value["token"]));
    format!(
        "{secret}\nThis is the secret of token {token}: it is not shown again. Send it as \"Authorization: Bearer SECRET\".\n"
    )
}

pub(super) fn tokens(value: &Value) -> String {
    let rows = items(value, "tokens").iter().map(|token| {
        let over = if token["is_expired"] == true { " (over)" } else { "" };
        let ends = if token["expires"].is_null() { "when revoked".to_owned() } else { plain(&token["expires"]) };
        vec![plain(&token["token"]), plain(&token["role"]), plain(&token["created"]), format!("{ends}{over}")]
    });
    table(&["TOKEN", "ROLE", "MADE", "ENDS"], rows)
}

pub(super) fn code_changed(value: &Value) -> String {
    let text = if value["is_set"] == true {
        "the authorisation code is set: preferences and sync settings are locked"
    } else {
        "there is no authorisation code: nothing is locked"
    };
    format!("{text}\n")
}

pub(super) fn unlocked(value: &Value) -> String {
    format!("unlocked for {} until {}\n", plain(&value["actor"]), plain(&value["until"]))
}
