//! Who asks for a verb, and what that one may do.

use super::request::Request;
use crate::error::CentralError;
use crate::os_user;
use crate::store::AccountRole;

/// Whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
    role: AccountRole,
}

impl Actor {
    /// A user of this machine who may open the data folder: always an administrator.
    pub fn local(uid: u32) -> Self {
        Self { name: format!("local:{}", os_user::name_of(uid)), role: AccountRole::Administrator }
    }

    /// The user who runs this program.
    pub fn this_user() -> Self {
        Self::local(os_user::own_id())
    }

    /// An account that signed in.
    pub fn account(name: &str, role: AccountRole) -> Self {
        Self { name: format!("account:{name}"), role }
    }

    /// A script's token.
    pub fn token(name: &str, role: AccountRole) -> Self {
        Self { name: format!("token:{name}"), role }
    }

    /// As the audit log has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a user of this machine, who may open the data folder.
    pub(super) fn is_local(&self) -> bool {
        self.name.starts_with("local:")
    }

    /// What it may do.
    pub fn role(&self) -> AccountRole {
        self.role
    }

    /// That it may ask for a verb.
    ///
    /// # Errors
    /// `not_permitted`.
    pub(super) fn check_may(&self, request: &Request) -> Result<(), CentralError> {
        let needed = request.role();
        if self.role == AccountRole::Administrator || needed == AccountRole::Viewer {
            return Ok(());
        }
        let message = format!("{} is a {} and may look, but not do this", self.name, self.role.as_str());
        let advice = "Ask an administrator, or use an account or token with the role administrator.";
        Err(CentralError::refused("not_permitted", message, advice))
    }
}
