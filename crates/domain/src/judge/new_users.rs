//! Who may write a user ([`new_user`](crate::new_user)).

use protocol::entry::Operation;
use protocol::ids::SiteId;
use protocol::row::{ColumnRef, Row, Value};

use super::{Case, Found, Refusal, RefusalCode, Side};
use crate::new_user::{IS_EXISTING_COLUMN, MADE_ON_COLUMN, is_existing, is_of_users, made_on};

impl Case<'_> {
    /// Why an edit of a user is refused for where the user was made. Whether Local data may be written here, and that nobody changes where
    /// a user was made, is judged as with any other data.
    pub(super) fn wrong_user(&self, operation: &Operation, found: &Found) -> Option<Refusal> {
        if !is_of_users(self.table) {
            return None;
        }
        let written = match operation {
            Operation::Put(row) | Operation::Patch(row) => Some(row),
            Operation::Delete => None,
        };
        if let Some(refusal) = written.and_then(|written| self.says_no_boolean(written)) {
            return Some(refusal);
        }
        match found {
            Found::Here { row, .. } => self.written_elsewhere(row).or_else(|| self.changes_kind(row, written?)),
            Found::Deleted { .. } => self.made_elsewhere(written?).or_else(|| self.is_not_gone_yet(written?)),
            Found::Unknown => self.made_elsewhere(written?),
        }
    }

    /// A user that is here, and another site's.
    fn written_elsewhere(&self, here: &Row) -> Option<Refusal> {
        let own = "make a user with an id of its own, or record it with outpost_is_existing, and it stays on this site";
        let what = match made_on(here) {
            Some(site) if site == self.author => return None,
            Some(site) => format!("was made on site {site}, which alone writes it; {own}"),
            // A device has no Local users but its own.
            None if self.side == Side::Device || self.author == SiteId::CENTRAL => return None,
            None => format!("is a user of central's own; {own}"),
        };
        Some(self.refuse(RefusalCode::UserOfOtherSite, &what))
    }

    fn says_no_boolean(&self, written: &Row) -> Option<Refusal> {
        match written.value(&ColumnRef::named(IS_EXISTING_COLUMN))? {
            Value::Bool(_) => None,
            _ => {
                Some(self.refuse(
                    RefusalCode::BadValue,
                    &format!("has a {IS_EXISTING_COLUMN} that is neither true nor false"),
                ))
            }
        }
    }

    fn changes_kind(&self, here: &Row, written: &Row) -> Option<Refusal> {
        let says = |column: &str| written.value(&ColumnRef::named(column));
        let what = if made_on(here).is_some() {
            is_existing(written).then(|| {
                format!("was made here and goes to central, and is no existing user; leave out {IS_EXISTING_COLUMN}")
            })
        } else {
            let goes = says(MADE_ON_COLUMN).is_some_and(|site| *site != Value::Null);
            (goes || says(IS_EXISTING_COLUMN) == Some(&Value::Bool(false)))
                .then(|| "is an existing user here, which stays, and no edit sends it to central".to_owned())
        };
        what.map(|what| self.refuse(RefusalCode::DataTypeChange, &what))
    }

    /// An existing user under the id of one that went to central, whose delete may be on its way: a device forgets it with the verdict.
    fn is_not_gone_yet(&self, written: &Row) -> Option<Refusal> {
        is_existing(written).then(|| {
            let what = "was made as a new user and deleted, which central is to hear first; try again after a sync, or use an id of its own";
            self.refuse(RefusalCode::DataTypeChange, what)
        })
    }

    /// A user that is made, and says that it was made where its author is not.
    fn made_elsewhere(&self, written: &Row) -> Option<Refusal> {
        written.value(&ColumnRef::named(MADE_ON_COLUMN))?;
        let author = Some(self.author).filter(|author| *author != SiteId::CENTRAL);
        (made_on(written) != author).then(|| {
            let what = format!("sets {MADE_ON_COLUMN}, which says on which site it is made; leave it out");
            self.refuse(RefusalCode::CentralColumn, &what)
        })
    }
}
