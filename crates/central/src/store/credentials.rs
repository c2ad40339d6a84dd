//! A site's name and password, and what they were before (seed 003, "Site Name" and "Password").
//!
//! Each pair has a generation. An exchange names the one that its device has proved, and only the site's own is taken. So a
//! change stops the site until the device proves the new pair, and putting the old pair back lets it go on.
//!
//! A generation lies behind the last one by a step that nobody foresees and that each start of central draws anew. A central that was
//! put back from a backup forgets generations that it gave, and must not give one of them again to another pair: a device that had
//! proved the first would be taken for one that has proved the second.

use std::ops::ControlFlow;

use protocol::chain::hash_of;
use protocol::ids::{CredentialGeneration, Epoch, SiteId};
use protocol::versions::Prelude;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::limits::CREDENTIALS_KEPT_MAX;
use super::reading::Reading;
use super::sites::{check_name_and_code, check_name_is_free, check_name_is_plain};
use super::text;

/// One pair of name and password that a site has or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its generation.
    pub generation: CredentialGeneration,
    /// The name.
    pub name: String,
    /// The password, as the caller hashed it.
    pub password_hash: String,
}

/// A change of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteEdit {
    /// The generation that the caller looked at; another one by then refuses the change.
    pub seen: CredentialGeneration,
    /// Another name.
    pub name: Option<String>,
    /// Another code.
    pub code: Option<String>,
    /// Another password, hashed by the caller; opaque here.
    pub password_hash: Option<String>,
    /// Name and password are those of this generation, as the caller has checked; `password_hash` is passed over.
    pub restored: Option<CredentialGeneration>,
}

impl Batch<'_> {
    /// Changes a site. Another name or password begins a new generation, unless it restores an earlier one; the code changes
    /// nothing else. Gives the generation from now on.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`, `site_changed` if somebody else was faster, and as [`Batch::add_site`] for the name.
    pub fn edit_site(&mut self, site: SiteId, edit: &SiteEdit) -> Result<CredentialGeneration, StoreError> {
        self.job(|batch| {
            if site == SiteId::CENTRAL {
                return Err(StoreError::refused("unknown_site", "central has neither name nor password"));
            }
            let seen = batch.live_site(site)?.generation;
            if seen != edit.seen {
                let what = format!("site {site} was changed meanwhile; look at it and try again");
                return Err(StoreError::refused("site_changed", &what));
            }
            let found = batch.sql.query_one(
                "SELECT name, code, password_hash FROM site WHERE id = ?1",
                &[site.0.into()],
                |row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.text(2)?.to_owned())),
            )?;
            let (name, code, password_hash) =
                found.ok_or_else(|| StoreError::Damaged(format!("site {site} is gone")))?;
            let new_name = edit.name.as_ref().unwrap_or(&name);
            let new_code = edit.code.as_ref().unwrap_or(&code);
            check_name_and_code(new_name, new_code)?;
            // One of before may stay.
            if *new_name != name {
                check_name_is_plain(new_name)?;
            }
            check_name_is_free(batch.sql, new_name, Some(site))?;
            if *new_code != code {
                batch.sql.execute("UPDATE site SET code = ?2 WHERE id = ?1", &[site.0.into(), new_code.into()])?;
                batch.tell_site_code(site, new_code)?;
            }
            let credentials = match edit.restored {
                Some(generation) => batch.earlier_credentials(site, generation)?,
                None if *new_name == name && edit.password_hash.is_none() => return Ok(seen),
                None => {
                    let password_hash = edit.password_hash.clone().unwrap_or(password_hash);
                    batch.next_credentials(site, new_name, password_hash)?
                }
            };
            batch.sql.execute(
                "UPDATE site SET name = ?2, password_hash = ?3, generation = ?4 WHERE id = ?1",
                &[
                    site.0.into(),
                    (&credentials.name).into(),
                    (&credentials.password_hash).into(),
                    credentials.generation.0.into(),
                ],
            )?;
            batch.site(site)?.generation = credentials.generation;
            batch.forget_old_credentials(site)?;
            Ok(credentials.generation)
        })
    }

    /// Keeps a pair under its generation.
    pub(super) fn keep_credentials(&mut self, site: SiteId, credentials: &Credentials) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO site_credentials (site, generation, name, password_hash) VALUES (?1, ?2, ?3, ?4)",
            &[
                site.0.into(),
                credentials.generation.0.into(),
                (&credentials.name).into(),
                (&credentials.password_hash).into(),
            ],
        )?;
        Ok(())
    }

    /// That a request's device has proved the name and password that its site has now.
    pub(super) fn check_generation(&mut self, head: &Prelude) -> Result<(), StoreError> {
        // A site without a device is told that.
        self.active_journal(head.site)?;
        let generation = self.site(head.site)?.generation;
        if head.generation == generation {
            return Ok(());
        }
        Err(StoreError::refused("credentials_changed", &changed_text(head.site, head.generation, generation)))
    }

    fn earlier_credentials(
        &mut self,
        site: SiteId,
        generation: CredentialGeneration,
    ) -> Result<Credentials, StoreError> {
        let mut reading = Reading { sql: &mut *self.sql, catalogue: self.catalogue };
        let earlier = reading.credentials(site)?.into_iter().find(|earlier| earlier.generation == generation);
        earlier.ok_or_else(|| {
            let what = format!("site {site} was changed meanwhile; look at it and try again");
            StoreError::refused("site_changed", &what)
        })
    }

    fn next_credentials(&mut self, site: SiteId, name: &str, password_hash: String) -> Result<Credentials, StoreError> {
        let sql = "SELECT max(generation) FROM site_credentials WHERE site = ?1";
        // The largest one is always kept, so that none is given twice.
        let last = self.sql.query_integer(sql, &[site.0.into()])?.unwrap_or(0);
        let generation = u32::try_from(last + step(self.state.epoch, site, last))
            .map_err(|_| StoreError::Damaged(format!("site {site} has no generation of credentials left")))?;
        let credentials =
            Credentials { generation: CredentialGeneration(generation), name: name.to_owned(), password_hash };
        self.keep_credentials(site, &credentials)?;
        Ok(credentials)
    }

    /// The oldest go; the site's own and the last one stay.
    fn forget_old_credentials(&mut self, site: SiteId) -> Result<(), StoreError> {
        let own = self.site(site)?.generation;
        let kept = Reading { sql: &mut *self.sql, catalogue: self.catalogue }.credentials(site)?;
        let excess = kept.into_iter().filter(|kept| kept.generation != own).skip(CREDENTIALS_KEPT_MAX - 1);
        for old in excess {
            let sql = "DELETE FROM site_credentials WHERE site = ?1 AND generation = ?2";
            self.sql.execute(sql, &[site.0.into(), old.generation.0.into()])?;
        }
        Ok(())
    }
}

/// How far behind a generation the next one lies: 1 to 65,536, so that the 32 bits last for some 130,000 changes.
fn step(epoch: Epoch, site: SiteId, last: i64) -> i64 {
    let hash = hash_of(&[&epoch.0.to_le_bytes()[..], &site.0.to_le_bytes(), &last.to_le_bytes()].concat());
    let [low, high, ..] = hash.0;
    i64::from(u16::from_le_bytes([low, high])) + 1
}

impl Reading<'_> {
    /// The pairs of name and password of a site, the newest first; at most [`CREDENTIALS_KEPT_MAX`], its own among them.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn credentials(&mut self, site: SiteId) -> Result<Vec<Credentials>, StoreError> {
        let mut credentials = Vec::new();
        let sql =
            "SELECT generation, name, password_hash FROM site_credentials WHERE site = ?1 ORDER BY generation DESC";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            credentials.push(Credentials {
                generation: CredentialGeneration(text::small(row, 0)?),
                name: row.text(1)?.to_owned(),
                password_hash: row.text(2)?.to_owned(),
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(credentials)
    }
}

/// What a device is told whose name and password are not those of now.
pub(super) fn changed_text(site: SiteId, proved: CredentialGeneration, generation: CredentialGeneration) -> String {
    format!(
        "the name or password of site {site} was changed at central: the device proved generation {}, and {} counts; enrol \
         it with those of now, or put the old ones back",
        proved.0, generation.0
    )
}
