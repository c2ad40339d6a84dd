//! `account`: who may sign in to the admin API, and what each may do.

use serde_json::{Value, json};

use super::acting::Acting;
use super::request::{AccountToAdd, AccountToEdit, Done};
use crate::center::Center;
use crate::clock;
use crate::enrolment::hash_new_password;
use crate::error::{CentralError, Exit};
use crate::store::{Account, AccountEdit, AccountRole, Reading, StoreError};

/// Said where nobody is left who may change things through the API.
const NO_ADMINISTRATOR: &str = "no account is an administrator any more; the command line on this machine always is one, and can \
    make another (account edit NAME --role administrator)";

pub(super) fn add(center: &Acting<'_>, account: &AccountToAdd) -> Result<Done, CentralError> {
    let role = role(&account.role)?;
    let hash = hash_new_password(center.settings().passwords, &account.password)?;
    let name = account.name.clone();
    center.write(move |batch| batch.add_account(&name, role, &hash))?;
    tracing::info!(account = account.name, role = role.as_str(), "an account was added");
    Ok(Done::ok(json!({ "account": account.name, "role": role.as_str() })))
}

pub(super) fn edit(center: &Acting<'_>, account: &AccountToEdit) -> Result<Done, CentralError> {
    let role = account.role.as_deref().map(role).transpose()?;
    let hash = account.password.as_deref().map(|password| hash_new_password(center.settings().passwords, password));
    let edit = AccountEdit { role, password_hash: hash.transpose()?, is_disabled: None };
    change(center, &account.name, edit)
}

pub(super) fn set_disabled(center: &Acting<'_>, name: &str, is_disabled: bool) -> Result<Done, CentralError> {
    change(center, name, AccountEdit { is_disabled: Some(is_disabled), ..AccountEdit::default() })
}

fn change(center: &Acting<'_>, name: &str, edit: AccountEdit) -> Result<Done, CentralError> {
    let asked = name.to_owned();
    let (account, has_administrator) = center.write(move |batch| {
        batch.edit_account(&asked, &edit)?;
        let mut reading = batch.reading();
        Ok((reading.account(&asked)?, has_administrator(&mut reading)?))
    })?;
    tracing::info!(account = name, "an account was changed");
    let mut shown = account.as_ref().map(account_json).unwrap_or_default();
    shown["warning"] = warning(has_administrator);
    Ok(Done::ok(shown))
}

pub(super) fn remove(center: &Acting<'_>, name: &str) -> Result<Done, CentralError> {
    let asked = name.to_owned();
    let has_administrator = center.write(move |batch| {
        batch.remove_account(&asked)?;
        has_administrator(&mut batch.reading())
    })?;
    tracing::info!(account = name, "an account was removed");
    Ok(Done::ok(json!({ "account": name, "warning": warning(has_administrator) })))
}

pub(super) fn list(center: &Center) -> Result<Done, CentralError> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    let accounts = center.read(|reading| reading.accounts())?;
    Ok(Done::ok(json!({ "accounts": accounts.iter().map(account_json).collect::<Vec<_>>() })))
}

/// An account as it is shown; never its password's hash.
pub(super) fn account_json(account: &Account) -> Value {
    json!({
        "account": account.name,
        "role": account.role.as_str(),
        "is_disabled": account.is_disabled,
        "created": clock::date_text(account.created_ms),
    })
}

/// The role of a word.
pub(super) fn role(word: &str) -> Result<AccountRole, CentralError> {
    AccountRole::of(word).ok_or_else(|| {
        let message = format!("{word:?} is no role");
        CentralError::new("role_unknown", message, "Give viewer or administrator.", Exit::Usage)
    })
}

fn has_administrator(reading: &mut Reading<'_>) -> Result<bool, StoreError> {
    let accounts = reading.accounts()?;
    Ok(accounts.iter().any(|account| account.role == AccountRole::Administrator && !account.is_disabled))
}

fn warning(has_administrator: bool) -> Value {
    (!has_administrator).then_some(NO_ADMINISTRATOR).into()
}
