//! Where a site's exchanges come from: what an administrator has to tell two devices of one site apart (rule 5.7).

use std::net::IpAddr;
use std::ops::ControlFlow;

use protocol::ids::{JournalId, Sequence, SiteId};
use protocol::versions::Prelude;

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::{text, unsigned};

/// The address at the other end of an exchange's connection, as text of at most 39 bytes. Behind a reverse proxy that is the
/// proxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress(String);

impl From<IpAddr> for PeerAddress {
    /// An IPv4 address that came as an IPv6 one is written as what it is.
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().to_string())
    }
}

impl PeerAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which of the two devices, of which one is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopDevice {
    /// The one whose exchange was answered last before the site stopped.
    AnsweredLast,
    /// The one that came with a token that was dead and showed that it lives.
    DeadToken,
}

impl StopDevice {
    /// The device of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::AnsweredLast, Self::DeadToken].into_iter().find(|device| device.as_str() == word)
    }

    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnsweredLast => "answered_last",
            Self::DeadToken => "dead_token",
        }
    }
}

/// What is known of one of the two devices because of which a site stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDevice {
    /// Which.
    pub which: StopDevice,
    /// When its exchange came, in milliseconds since 1970.
    pub seen_ms: u64,
    /// Where that came from; `None` if nobody said.
    pub address: Option<String>,
    /// The journal that it showed.
    pub journal: Option<JournalId>,
    /// How far that journal went on the device.
    pub head: Option<Sequence>,
}

impl Batch<'_> {
    /// The same batch for an exchange that comes from an address, which is noted with what the exchange does.
    pub fn coming_from<'b>(&'b mut self, address: Option<&'b PeerAddress>) -> Batch<'b> {
        Batch {
            sql: &mut *self.sql,
            catalogue: self.catalogue,
            limits: self.limits,
            state: &mut *self.state,
            token_secret: self.token_secret,
            now_ms: self.now_ms,
            address,
        }
    }

    /// Keeps what is known of both: of the one that is there by its last exchange, of the one that comes by this head.
    pub(super) fn note_stop_devices(&mut self, head: &Prelude) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO site_stop_device (site, is_dead_token, seen_ms, address, journal, head)
             SELECT contact.site, 0, contact.last_contact_ms, contact.address, journal.id, contact.head
             FROM contact LEFT JOIN journal ON journal.site = contact.site AND journal.is_active = 1
             WHERE contact.site = ?1",
            &[head.site.0.into()],
        )?;
        self.sql.execute(
            "INSERT INTO site_stop_device (site, is_dead_token, seen_ms, address, journal, head, token)
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)",
            &[
                head.site.0.into(),
                unsigned(self.now_ms),
                self.address.map(PeerAddress::as_str).into(),
                (&head.journal.0).into(),
                unsigned(head.head.0),
                (&head.token.0).into(),
            ],
        )?;
        Ok(())
    }

    pub(super) fn forget_stop_devices(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM site_stop_device WHERE site = ?1", &[site.0.into()])?;
        Ok(())
    }
}

impl Reading<'_> {
    /// The two devices because of which a site stopped, the one that was answered first; none if it is not stopped.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn stop_devices(&mut self, site: SiteId) -> Result<Vec<SeenDevice>, StoreError> {
        let mut devices = Vec::new();
        let sql = "SELECT is_dead_token, seen_ms, address, journal, head FROM site_stop_device
             WHERE site = ?1 ORDER BY is_dead_token";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            let has_journal = row.optional_blob(3)?.is_some();
            devices.push(SeenDevice {
                which: if row.integer(0)? == 0 { StopDevice::AnsweredLast } else { StopDevice::DeadToken },
                seen_ms: row.unsigned(1)?,
                address: row.optional_text(2)?.map(str::to_owned),
                journal: has_journal.then(|| text::journal_id(row, 3)).transpose()?,
                head: row.optional_unsigned(4)?.map(Sequence),
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(devices)
    }
}
