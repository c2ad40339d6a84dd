//! Which device speaks for a site: enrolment, the reset by an administrator, and the keys that spoke for it before.

use std::ops::ControlFlow;

use protocol::hardware::{BindingStrength, HardwareId, Likeness, compare};
use protocol::ids::{CredentialGeneration, JournalId, PublicKey, SiteId};
use protocol::limits::RETIRED_KEYS_MAX;
use serde_json::json;
use sql::SqlExt;

use super::audit::{AuditEntry, site_actor};
use super::batch::Batch;
use super::error::StoreError;
use super::reading::{Reading, SiteKind, public_key};
use super::state::{Journal, has_unjudged_journal};
use super::{text, unsigned};
use crate::clock::date_text;

/// A device that wants to speak for a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollingDevice {
    /// Its key.
    pub key: PublicKey,
    /// The journal that it will send.
    pub journal: JournalId,
    /// What it is made of, hashed with the site's salt.
    pub hardware: HardwareId,
    /// What it says that it is. From now on that counts for its site (seed 003, "Type"), whatever was meant when the site was added.
    pub kind: SiteKind,
}

/// A device that may speak for a site from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled {
    /// The site.
    pub site: SiteId,
    /// Of the name and password that were proved.
    pub generation: CredentialGeneration,
    /// How well its hardware tells it from others.
    pub binding: BindingStrength,
    /// The key whose place it took: of the same hardware before it was wiped.
    pub replaced: Option<PublicKey>,
    /// False if this very device and journal were enrolled already.
    pub is_new: bool,
}

/// Why a key speaks for its site no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetiredReason {
    /// The same hardware enrolled with a new key: a tablet that was wiped.
    Replaced,
    /// An administrator reset the binding.
    Reset,
    /// The site was deleted.
    Deleted,
}

/// A key that spoke for a site before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetiredKey {
    /// The key.
    pub key: PublicKey,
    /// Since when it is retired, in milliseconds since 1970.
    pub retired_ms: u64,
    /// Why.
    pub reason: RetiredReason,
}

/// What stands in the row of a site.
struct Bound {
    generation: CredentialGeneration,
    key: Option<PublicKey>,
    hardware: HardwareId,
    since_ms: Option<u64>,
    last_contact_ms: Option<u64>,
}

impl RetiredReason {
    /// The word that database and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Reset => "reset",
            Self::Deleted => "deleted",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Replaced, Self::Reset, Self::Deleted].into_iter().find(|reason| reason.as_str() == word)
    }
}

impl Batch<'_> {
    /// Makes a device the one that speaks for a site. The caller has checked the password. Repeating it changes nothing.
    ///
    /// A site without a key takes the device. One with this key takes it if the hardware is the same as far as can be told. One
    /// with another key takes it only if the hardware is the same for sure (a tablet that was wiped): the old key and journal
    /// are retired. A key that was retired is never taken again, since whoever has a copy of it would be taken with it; the device
    /// makes a new one. Under that it goes on in the site's last journal, if nothing came of it after a reset closed it and no other
    /// journal began since.
    ///
    /// # Errors
    /// Refused with `unknown_site`; `site_deleted`; `site_disabled`; `site_paused`; `site_stopped`; `key_retired`;
    /// `site_type_differs` or `primary_is_mobile` for a tablet in the place of more; `hardware_differs` for the right key on other
    /// hardware; `site_bound` for another device; `journal_retired` for a journal that was closed.
    pub fn enrol(&mut self, site: SiteId, device: &EnrollingDevice) -> Result<Enrolled, StoreError> {
        self.job(|batch| {
            if site == SiteId::CENTRAL {
                return Err(StoreError::refused("unknown_site", "no device enrols as central"));
            }
            batch.refuse_barred(site)?;
            let active = batch.site(site)?.journal.as_ref().map(|journal| journal.id);
            batch.refuse_stopped(site)?;
            batch.refuse_retired_key(site, &device.key)?;
            batch.check_kind(site, device.kind)?;
            let bound = batch.bound(site)?;
            let likeness = compare(&bound.hardware, &device.hardware).likeness;
            let mut enrolled = Enrolled {
                site,
                generation: bound.generation,
                binding: device.hardware.strength(),
                replaced: None,
                is_new: true,
            };
            match bound.key {
                None => {}
                Some(key) if key == device.key => {
                    if likeness == Likeness::OtherDevice {
                        return Err(hardware_differs(site, &bound));
                    }
                    if active == Some(device.journal) {
                        if bound.hardware != device.hardware {
                            batch.set_hardware(site, &device.hardware)?;
                        }
                        // Whoever has just proved the password may have been set back, and shows an old token.
                        batch.reopen_tokens(site)?;
                        batch.note_said(site, device.kind, bound.generation)?;
                        return Ok(Enrolled { is_new: false, ..enrolled });
                    }
                }
                Some(_) if likeness != Likeness::SameDevice => return Err(site_bound(site, &bound, device)),
                Some(old) => {
                    batch.retire_key(site, &old, RetiredReason::Replaced)?;
                    enrolled.replaced = Some(old);
                }
            }
            // It begins a journal that says nothing of the one before. A reset has counted what is lost already.
            let loses_numbers =
                bound.key.is_some() && active != Some(device.journal) && batch.lose_numbers_of_site(site)?;
            batch.bind(site, device, bound.key == Some(device.key))?;
            batch.note_said(site, device.kind, bound.generation)?;
            let is_free = bound.key.is_none();
            let had_device = is_free && batch.had_device(site)?;
            let is_back = active != Some(device.journal) && batch.change_journal(site, device.journal, is_free)?;
            // The same device still has what it had read, also under another journal after damage.
            if !is_back && bound.key != Some(device.key) {
                batch.forget_device(site)?;
            } else if is_back || loses_numbers {
                batch.tell_grants(site)?;
            }
            if had_device {
                batch.forget_what_was_read(site)?;
            }
            let entry = AuditEntry { site: Some(site), ..AuditEntry::new(&site_actor(site), "device-enrols") };
            let before = json!({ "device": bound.key.as_ref().map(PublicKey::fingerprint) });
            batch.note(entry, before, json!({ "device": device.key.fingerprint() }))?;
            Ok(enrolled)
        })
    }

    /// That a device may be what it says that it is: a tablet has one store, and is no primary.
    ///
    /// # Errors
    /// Refused with `site_type_differs`, `primary_is_mobile`.
    fn check_kind(&mut self, site: SiteId, kind: SiteKind) -> Result<(), StoreError> {
        if kind != SiteKind::Mobile {
            return Ok(());
        }
        if self.state.mirror.fills(site) {
            let what = format!(
                "site {site} is the primary, which keeps everything of all stores, and the device says that it is mobile"
            );
            return Err(StoreError::refused("primary_is_mobile", &what));
        }
        let stores = self.state.stores_of(site).count() + self.coming_stores(site, None);
        if stores > 1 {
            let what = format!(
                "the device says that it is mobile, which has one store, and site {site} has {stores}, those on their way there \
                 among them: use a standalone device, or let an administrator give the other stores to other sites first"
            );
            return Err(StoreError::refused("site_type_differs", &what));
        }
        Ok(())
    }

    /// What a device said of itself when it proved name and password.
    fn note_said(&mut self, site: SiteId, kind: SiteKind, generation: CredentialGeneration) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE site SET reported_kind = ?2, proved_generation = ?3 WHERE id = ?1",
            &[site.0.into(), kind.as_str().into(), generation.0.into()],
        )?;
        Ok(())
    }

    /// Whether a device ever spoke for a site.
    fn had_device(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM journal WHERE site = ?1 LIMIT 1";
        Ok(self.sql.query_integer(sql, &[site.0.into()])?.is_some())
    }

    /// Frees a site of its device, so that another one can enrol. Its key and its journal stay known and are closed. Gives the
    /// key that was retired; `None` if the site had no device, which is no error.
    ///
    /// # Errors
    /// Refused with `unknown_site`, also for central itself; `site_deleted`.
    pub fn reset_hardware(&mut self, site: SiteId) -> Result<Option<PublicKey>, StoreError> {
        self.job(|batch| {
            if site == SiteId::CENTRAL {
                return Err(StoreError::refused("unknown_site", "central is bound to no device"));
            }
            batch.live_site(site)?;
            if batch.bound(site)?.key.is_some() {
                batch.lose_numbers_of_site(site)?;
            }
            batch.free_of_device(site, RetiredReason::Reset)
        })
    }

    /// No device speaks for the site any more. Gives the key that was retired.
    pub(super) fn free_of_device(
        &mut self,
        site: SiteId,
        reason: RetiredReason,
    ) -> Result<Option<PublicKey>, StoreError> {
        // Whether the device is freed now or was before: nobody is left to claim anything.
        self.forget_claims(site)?;
        let Some(key) = self.bound(site)?.key else { return Ok(None) };
        self.retire_key(site, &key, reason)?;
        self.sql.execute(
            "UPDATE site SET public_key = NULL, hardware = NULL, bound_ms = NULL, enrolled_ms = NULL, reported_kind = NULL,
                proved_generation = NULL
             WHERE id = ?1",
            &[site.0.into()],
        )?;
        self.forget_tokens(site)?;
        self.forget_report(site)?;
        self.forget_primary_device(site)?;
        self.close_journal(site)?;
        self.site(site)?.is_enrolled = false;
        self.follow_draining_without_device(site)?;
        Ok(Some(key))
    }

    /// That a key speaks for a site still: an exchange that was begun before another device took the place may go on for long, and
    /// the other one may go on in the same journal.
    ///
    /// # Errors
    /// Refused with `device_retired`.
    pub fn refuse_replaced(&mut self, site: SiteId, key: &PublicKey) -> Result<(), StoreError> {
        let sql = "SELECT 1 FROM site WHERE id = ?1 AND public_key = ?2";
        if self.sql.query_integer(sql, &[site.0.into(), (&key.0).into()])?.is_some() {
            return Ok(());
        }
        let what = format!("key {} ceased to speak for site {site} during the exchange", key.fingerprint());
        Err(StoreError::refused("device_retired", &what))
    }

    /// The keys that spoke for a site before, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn retired_keys(&mut self, site: SiteId) -> Result<Vec<RetiredKey>, StoreError> {
        Reading { sql: &mut *self.sql, catalogue: self.catalogue }.retired_keys(site)
    }

    fn bound(&mut self, site: SiteId) -> Result<Bound, StoreError> {
        let found = self.sql.query_one(
            "SELECT site.generation, site.public_key, site.hardware, site.bound_ms, contact.last_contact_ms
             FROM site LEFT JOIN contact ON contact.site = site.id WHERE site.id = ?1",
            &[site.0.into()],
            |row| {
                Ok(Bound {
                    generation: CredentialGeneration(text::small(row, 0)?),
                    key: public_key(row, 1)?,
                    hardware: text::optional_hardware(row, 2)?.unwrap_or_default(),
                    since_ms: row.optional_unsigned(3)?,
                    last_contact_ms: row.optional_unsigned(4)?,
                })
            },
        )?;
        found.ok_or_else(|| StoreError::Damaged(format!("site {site} is gone")))
    }

    /// A device that was bound before and only changes its journal keeps the time since which it is bound.
    fn bind(&mut self, site: SiteId, device: &EnrollingDevice, is_bound: bool) -> Result<(), StoreError> {
        let now = unsigned(self.now_ms);
        self.sql.execute(
            "UPDATE site SET public_key = ?2, enrolled_ms = ?3 WHERE id = ?1",
            &[site.0.into(), (&device.key.0).into(), now],
        )?;
        if !is_bound {
            self.sql.execute("UPDATE site SET bound_ms = ?2 WHERE id = ?1", &[site.0.into(), now])?;
        }
        // They were given to a device, and this one begins anew.
        self.forget_tokens(site)?;
        self.set_hardware(site, &device.hardware)?;
        self.site(site)?.is_enrolled = true;
        Ok(())
    }

    fn set_hardware(&mut self, site: SiteId, hardware: &HardwareId) -> Result<(), StoreError> {
        let bytes = hardware.encode();
        self.sql.execute("UPDATE site SET hardware = ?2 WHERE id = ?1", &[site.0.into(), (&bytes).into()])?;
        Ok(())
    }

    /// Whether the device is back in a journal that was closed; else it begins a new one.
    fn change_journal(&mut self, site: SiteId, journal: JournalId, is_free: bool) -> Result<bool, StoreError> {
        let Some(known) = self.stored_journal(site, journal)? else {
            self.replace_journal(site, journal, None)?;
            return Ok(false);
        };
        let last = self.sql.query_integer("SELECT max(number) FROM journal WHERE site = ?1", &[site.0.into()])?;
        // What came after it was closed is in set-aside, and can be taken for received no more.
        if !is_free || last != Some(known.number) || known.closed_at.is_some_and(|closed| closed < known.received) {
            let what = format!(
                "journal {journal} of site {site} was closed; a device goes on in a new one: outpost recover begins it"
            );
            return Err(StoreError::refused("journal_retired", &what));
        }
        self.sql
            .execute("UPDATE journal SET is_active = 1, closed_at = NULL WHERE number = ?1", &[known.number.into()])?;
        self.site(site)?.journal = Some(Journal { is_active: true, closed_at: None, ..known });
        let is_left = has_unjudged_journal(self.sql, site)?;
        self.site(site)?.has_unjudged_journal = is_left;
        Ok(true)
    }

    /// That a key never was retired, as far as is remembered.
    fn refuse_retired_key(&mut self, site: SiteId, key: &PublicKey) -> Result<(), StoreError> {
        let Some(retired) = self.retired_keys(site)?.into_iter().find(|retired| retired.key == *key) else {
            return Ok(());
        };
        let what = format!(
            "key {} spoke for site {site} until {} and never does again, because a copy of it would as well: the device has to \
             make a new one",
            key.fingerprint(),
            date_text(retired.retired_ms)
        );
        Err(StoreError::refused("key_retired", &what))
    }

    /// Keeps a key as one that spoke for the site. At the limit the oldest is forgotten, and then counts as any stranger's.
    fn retire_key(&mut self, site: SiteId, key: &PublicKey, reason: RetiredReason) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO retired_key (site, public_key, retired_ms, reason) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (site, public_key) DO UPDATE SET retired_ms = excluded.retired_ms, reason = excluded.reason",
            &[site.0.into(), (&key.0).into(), unsigned(self.now_ms), reason.as_str().into()],
        )?;
        for forgotten in self.retired_keys(site)?.into_iter().skip(RETIRED_KEYS_MAX) {
            let sql = "DELETE FROM retired_key WHERE site = ?1 AND public_key = ?2";
            self.sql.execute(sql, &[site.0.into(), (&forgotten.key.0).into()])?;
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// The keys that spoke for a site before, the newest first; at most [`RETIRED_KEYS_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn retired_keys(&mut self, site: SiteId) -> Result<Vec<RetiredKey>, StoreError> {
        let mut keys = Vec::new();
        let sql = "SELECT public_key, retired_ms, reason FROM retired_key WHERE site = ?1
             ORDER BY retired_ms DESC, public_key";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            keys.push(RetiredKey {
                key: public_key(row, 0)?.ok_or_else(|| text::damaged(0, "key"))?,
                retired_ms: row.unsigned(1)?,
                reason: RetiredReason::of(row.text(2)?).ok_or_else(|| text::damaged(2, "reason"))?,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(keys)
    }
}

fn hardware_differs(site: SiteId, bound: &Bound) -> StoreError {
    let known = bound.key.map(|key| key.fingerprint()).unwrap_or_default();
    let what = format!(
        "site {site} is bound to other hardware since {}, last seen {}; this device has its key {known}: its data folder was copied, \
         or it was repaired. To free it: outpost-central site reset-hardware {site}",
        moment(bound.since_ms),
        moment(bound.last_contact_ms)
    );
    StoreError::refused("hardware_differs", &what)
}

fn site_bound(site: SiteId, bound: &Bound, device: &EnrollingDevice) -> StoreError {
    let known = bound.key.map(|key| key.fingerprint()).unwrap_or_default();
    let what = format!(
        "site {site} is bound to device {known} since {}, last seen {}; this is device {}. If it takes that one's place, an \
         administrator frees the site: outpost-central site reset-hardware {site}",
        moment(bound.since_ms),
        moment(bound.last_contact_ms),
        device.key.fingerprint()
    );
    StoreError::refused("site_bound", &what)
}

fn moment(wall_ms: Option<u64>) -> String {
    wall_ms.map_or_else(|| "never".to_owned(), date_text)
}
