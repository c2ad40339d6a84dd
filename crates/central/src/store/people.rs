//! Accounts of people, tokens of scripts, and the authorisation code with whoever has unlocked by it.
//!
//! Passwords and the code are kept as the caller hashed them, and of a token's secret its SHA-256. Times are central's clock: it says
//! when a token expires and when an unlocking ends, and orders nothing.

use std::ops::ControlFlow;

use protocol::ids::Hash;
use sql::{Row, SqlError, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::limits::SITE_NAME_BYTES_MAX;
use super::reading::Reading;
use super::{text, unsigned};

/// Accounts at most.
pub const ACCOUNTS_MAX: u64 = 1000;
/// Tokens at most.
pub const API_TOKENS_MAX: u64 = 1000;

/// What an account or a token may do (seed 003, "Permissions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountRole {
    /// May look.
    Viewer,
    /// May change too.
    Administrator,
}

/// Somebody who signs in with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login; unique.
    pub name: String,
    /// What it may do.
    pub role: AccountRole,
    /// The password, as the caller hashed it.
    pub password_hash: String,
    /// Rises with each change of the password: who signed in before has to do so again.
    pub generation: u64,
    /// Whether it may not sign in.
    pub is_disabled: bool,
    /// When it was added, in milliseconds since 1970.
    pub created_ms: u64,
}

/// A change of an account; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// What it may do.
    pub role: Option<AccountRole>,
    /// Another password, hashed by the caller.
    pub password_hash: Option<String>,
    /// Whether it may not sign in.
    pub is_disabled: Option<bool>,
}

/// What a script signs in with; its secret is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// What it is called; unique.
    pub name: String,
    /// What it may do.
    pub role: AccountRole,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends, in milliseconds since 1970; `None`: when it is revoked.
    pub expires_ms: Option<u64>,
}

/// For how long somebody has unlocked what the authorisation code locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlocking {
    /// Who, as the audit log has it.
    pub actor: String,
    /// From when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Until when.
    pub until_ms: u64,
}

impl AccountRole {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Viewer, Self::Administrator];

    /// The word on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Administrator => "administrator",
        }
    }

    /// The role of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

impl ApiToken {
    /// Whether it counts.
    pub fn counts_at(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

impl Unlocking {
    /// Whether it counts. A clock that was set back behind its beginning ends it.
    pub fn counts_at(&self, now_ms: u64) -> bool {
        (self.since_ms..self.until_ms).contains(&now_ms)
    }
}

impl Batch<'_> {
    /// Adds an account.
    ///
    /// # Errors
    /// Refused with `account_name`, `account_name_taken`, `too_many_accounts`.
    pub fn add_account(&mut self, name: &str, role: AccountRole, password_hash: &str) -> Result<(), StoreError> {
        self.job(|batch| {
            check_name("account", name)?;
            if batch.reading().account(name)?.is_some() {
                let what = format!("there is an account {name:?} already; names are unique");
                return Err(StoreError::refused("account_name_taken", &what));
            }
            batch.check_room_for("account", ACCOUNTS_MAX)?;
            batch.sql.execute(
                "INSERT INTO account (name, role, password_hash, generation, is_disabled, created_ms) VALUES (?1, ?2, ?3, 1, 0, ?4)",
                &[name.into(), role.as_str().into(), password_hash.into(), unsigned(batch.now_ms)],
            )?;
            Ok(())
        })
    }

    /// Changes an account.
    ///
    /// # Errors
    /// Refused with `unknown_account`.
    pub fn edit_account(&mut self, name: &str, edit: &AccountEdit) -> Result<(), StoreError> {
        self.job(|batch| {
            let account = batch.reading().account(name)?.ok_or_else(|| unknown_account(name))?;
            let generation = account.generation + u64::from(edit.password_hash.is_some());
            batch.sql.execute(
                "UPDATE account SET role = ?2, password_hash = ?3, generation = ?4, is_disabled = ?5 WHERE name = ?1",
                &[
                    name.into(),
                    edit.role.unwrap_or(account.role).as_str().into(),
                    edit.password_hash.as_ref().unwrap_or(&account.password_hash).into(),
                    unsigned(generation),
                    i64::from(edit.is_disabled.unwrap_or(account.is_disabled)).into(),
                ],
            )?;
            Ok(())
        })
    }

    /// Removes an account. What it did stays in the audit log.
    ///
    /// # Errors
    /// Refused with `unknown_account`.
    pub fn remove_account(&mut self, name: &str) -> Result<(), StoreError> {
        self.job(|batch| {
            if batch.sql.execute("DELETE FROM account WHERE name = ?1", &[name.into()])? == 0 {
                return Err(unknown_account(name));
            }
            batch.sql.execute("DELETE FROM unlocking WHERE actor = ?1", &[(&format!("account:{name}")).into()])?;
            Ok(())
        })
    }

    /// Adds a token, of which `secret` is the hash.
    ///
    /// # Errors
    /// Refused with `token_name`, `token_name_taken`, `too_many_tokens`.
    pub fn add_api_token(
        &mut self,
        name: &str,
        role: AccountRole,
        secret: &Hash,
        expires_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        self.job(|batch| {
            check_name("token", name)?;
            if batch.reading().api_token(name)?.is_some() {
                let what = format!("there is a token {name:?} already; revoke it first, or choose another name");
                return Err(StoreError::refused("token_name_taken", &what));
            }
            batch.check_room_for("api_token", API_TOKENS_MAX)?;
            batch.sql.execute(
                "INSERT INTO api_token (name, role, secret_hash, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                &[
                    name.into(),
                    role.as_str().into(),
                    (&secret.0).into(),
                    unsigned(batch.now_ms),
                    expires_ms.map(unsigned).into(),
                ],
            )?;
            Ok(())
        })
    }

    /// Ends a token. What was done with it stays in the audit log.
    ///
    /// # Errors
    /// Refused with `unknown_token`.
    pub fn revoke_api_token(&mut self, name: &str) -> Result<(), StoreError> {
        self.job(|batch| {
            if batch.sql.execute("DELETE FROM api_token WHERE name = ?1", &[name.into()])? == 0 {
                return Err(StoreError::refused("unknown_token", &format!("there is no token {name:?}")));
            }
            batch.sql.execute("DELETE FROM unlocking WHERE actor = ?1", &[(&format!("token:{name}")).into()])?;
            Ok(())
        })
    }

    /// Sets the authorisation code, hashed by the caller, or takes it away. Whoever had unlocked has to do so again.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_authorisation_code(&mut self, hash: Option<&str>) -> Result<(), StoreError> {
        self.job(|batch| {
            batch.sql.execute("DELETE FROM unlocking", &[])?;
            batch.sql.execute("DELETE FROM authorisation", &[])?;
            if let Some(hash) = hash {
                batch.sql.execute("INSERT INTO authorisation (id, code_hash) VALUES (1, ?1)", &[hash.into()])?;
            }
            Ok(())
        })
    }

    /// Somebody has given the code that has this hash: what it locks is open to them for some time. Gives until when.
    ///
    /// # Errors
    /// Refused with `authorisation_code_changed` if the code is another one by now.
    pub fn unlock(&mut self, actor: &str, code_hash: &str, lasts_ms: u64) -> Result<u64, StoreError> {
        self.job(|batch| {
            if batch.reading().authorisation_code()?.as_deref() != Some(code_hash) {
                let what = "the authorisation code was changed meanwhile; try again";
                return Err(StoreError::refused("authorisation_code_changed", what));
            }
            // What is over is of use to nobody.
            let now_ms = batch.now_ms;
            let over = "DELETE FROM unlocking WHERE until_ms <= ?1 OR since_ms > ?1 OR actor = ?2";
            batch.sql.execute(over, &[unsigned(now_ms), actor.into()])?;
            let until_ms = now_ms + lasts_ms;
            batch.sql.execute(
                "INSERT INTO unlocking (actor, since_ms, until_ms) VALUES (?1, ?2, ?3)",
                &[actor.into(), unsigned(now_ms), unsigned(until_ms)],
            )?;
            Ok(until_ms)
        })
    }

    /// Ends what [`Batch::unlock`] began.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn lock(&mut self, actor: &str) -> Result<(), StoreError> {
        self.job(|batch| {
            batch.sql.execute("DELETE FROM unlocking WHERE actor = ?1", &[actor.into()])?;
            Ok(())
        })
    }

    /// That a code, if there is one, was given by somebody not long ago.
    ///
    /// # Errors
    /// Refused with `locked`.
    pub fn check_unlocked(&mut self, actor: &str) -> Result<(), StoreError> {
        let now_ms = self.now_ms;
        let is_open = self.reading().authorisation_code()?.is_none()
            || self.reading().unlocking(actor)?.is_some_and(|unlocking| unlocking.counts_at(now_ms));
        if is_open {
            return Ok(());
        }
        let what = format!("this is locked behind the authorisation code, which {actor} has not given of late");
        Err(StoreError::refused("locked", &what))
    }

    fn check_room_for(&mut self, table: &str, rows_max: u64) -> Result<(), StoreError> {
        let count = self.sql.query_integer(&format!("SELECT count(*) FROM {table}"), &[])?.unwrap_or(0);
        if count.cast_unsigned() < rows_max {
            return Ok(());
        }
        let (code, word) =
            if table == "account" { ("too_many_accounts", "accounts") } else { ("too_many_tokens", "tokens") };
        let what = format!("central has {count} {word}, and at most {rows_max} are possible; take one out first");
        Err(StoreError::refused(code, &what))
    }
}

impl Reading<'_> {
    /// An account.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn account(&mut self, name: &str) -> Result<Option<Account>, StoreError> {
        let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM account WHERE name = ?1");
        Ok(self.sql.query_one(&sql, &[name.into()], read_account)?)
    }

    /// Every account, by name; [`ACCOUNTS_MAX`] at most.
    ///
    /// # Errors
    /// As [`Reading::account`].
    pub fn accounts(&mut self) -> Result<Vec<Account>, StoreError> {
        let mut accounts = Vec::new();
        self.sql.query(&format!("SELECT {ACCOUNT_COLUMNS} FROM account ORDER BY name"), &[], &mut |row| {
            accounts.push(read_account(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(accounts)
    }

    /// A token by its name.
    ///
    /// # Errors
    /// As [`Reading::account`].
    pub fn api_token(&mut self, name: &str) -> Result<Option<ApiToken>, StoreError> {
        let sql = format!("SELECT {TOKEN_COLUMNS} FROM api_token WHERE name = ?1");
        Ok(self.sql.query_one(&sql, &[name.into()], read_token)?)
    }

    /// The token whose secret has a hash. Secrets are random and long, so that it matters to nobody how long a miss takes.
    ///
    /// # Errors
    /// As [`Reading::account`].
    pub fn api_token_of(&mut self, secret: &Hash) -> Result<Option<ApiToken>, StoreError> {
        let sql = format!("SELECT {TOKEN_COLUMNS} FROM api_token WHERE secret_hash = ?1");
        Ok(self.sql.query_one(&sql, &[(&secret.0).into()], read_token)?)
    }

    /// Every token, by name; [`API_TOKENS_MAX`] at most.
    ///
    /// # Errors
    /// As [`Reading::account`].
    pub fn api_tokens(&mut self) -> Result<Vec<ApiToken>, StoreError> {
        let mut tokens = Vec::new();
        self.sql.query(&format!("SELECT {TOKEN_COLUMNS} FROM api_token ORDER BY name"), &[], &mut |row| {
            tokens.push(read_token(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tokens)
    }

    /// The hash of the authorisation code; `None` while there is none, and nothing is locked.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn authorisation_code(&mut self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT code_hash FROM authorisation WHERE id = 1";
        Ok(self.sql.query_one(sql, &[], |row| Ok(row.text(0)?.to_owned()))?)
    }

    /// For how long somebody unlocked last; it may be over.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn unlocking(&mut self, actor: &str) -> Result<Option<Unlocking>, StoreError> {
        let sql = "SELECT actor, since_ms, until_ms FROM unlocking WHERE actor = ?1";
        Ok(self.sql.query_one(sql, &[actor.into()], |row| {
            Ok(Unlocking { actor: row.text(0)?.to_owned(), since_ms: row.unsigned(1)?, until_ms: row.unsigned(2)? })
        })?)
    }
}

const ACCOUNT_COLUMNS: &str = "name, role, password_hash, generation, is_disabled, created_ms";
const TOKEN_COLUMNS: &str = "name, role, created_ms, expires_ms";

fn read_account(row: &dyn Row) -> Result<Account, SqlError> {
    Ok(Account {
        name: row.text(0)?.to_owned(),
        role: read_role(row, 1)?,
        password_hash: row.text(2)?.to_owned(),
        generation: row.unsigned(3)?,
        is_disabled: row.integer(4)? != 0,
        created_ms: row.unsigned(5)?,
    })
}

fn read_token(row: &dyn Row) -> Result<ApiToken, SqlError> {
    Ok(ApiToken {
        name: row.text(0)?.to_owned(),
        role: read_role(row, 1)?,
        created_ms: row.unsigned(2)?,
        expires_ms: row.optional_unsigned(3)?,
    })
}

fn read_role(row: &dyn Row, column: usize) -> Result<AccountRole, SqlError> {
    AccountRole::of(row.text(column)?).ok_or_else(|| text::damaged(column, "role"))
}

fn check_name(kind: &str, name: &str) -> Result<(), StoreError> {
    if !name.is_empty() && name.len() <= SITE_NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let code = if kind == "account" { "account_name" } else { "token_name" };
    let what = format!(
        "the name of the {kind} has {} bytes; it has 1 to {SITE_NAME_BYTES_MAX}, without control characters",
        name.len()
    );
    Err(StoreError::refused(code, &what))
}

fn unknown_account(name: &str) -> StoreError {
    StoreError::refused("unknown_account", &format!("there is no account {name:?}"))
}
