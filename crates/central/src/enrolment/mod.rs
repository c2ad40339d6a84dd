//! `POST /enrol/v1/begin` and `POST /enrol/v1`: a device proves a site's name and password once, and from then on its own key
//! speaks for the site, from its own hardware. The first step gives the salt with which the hardware's values are hashed.

mod checks;
mod password;
mod queue;
pub(crate) mod salt;
mod throttle;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use protocol::edge::Signer as _;
use protocol::hardware::HardwareId;
use protocol::ids::{JournalId, PublicKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::hex;
use crate::store::{EnrollingDevice, SITE_NAME_BYTES_MAX, SiteKind, SiteRow};
use crate::writer::WriteError;
pub(crate) use checks::{Checked, PasswordChecks};
use password::is_password_in;
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, hash_new_password, hash_password, is_password};
pub(crate) use queue::Queue;
pub use queue::{DELAYED_MAX, DELAYED_PER_ADDRESS_MAX, WAITING_MAX, WAITING_PER_ADDRESS_MAX};
use salt::NameSalt;
use throttle::Throttle;

/// Largest request, in bytes: a name and a password of the largest sizes in which every character is an escape, and the keys.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// What a device asks first. A field that is not known is left alone, here and in what follows: a later agent may say more.
#[derive(Deserialize)]
struct BeginRequest {
    /// The site's login.
    name: String,
}

/// What a device is told first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginReply {
    /// What to hash the hardware's values with; 32 hexadecimal digits.
    pub salt: String,
    /// Central's key; 64 hexadecimal digits.
    pub central_key: String,
}

/// What a device asks.
#[derive(Deserialize)]
struct EnrolRequest {
    /// The site's login.
    name: String,
    /// The site that the device belongs to already, if it does.
    #[serde(default)]
    site_id: Option<u32>,
    password: String,
    /// Of the device's key, as 64 hexadecimal digits.
    public_key: String,
    /// The device's journal, as 32 hexadecimal digits.
    journal: String,
    /// `standalone` or `mobile`.
    r#type: String,
    /// What the device is made of: a hardware id in hexadecimal digits.
    hardware: String,
}

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// The site that it speaks for now.
    pub site_id: u32,
    /// Central's key, to be pinned; 64 hexadecimal digits.
    pub central_key: String,
    /// Generation of the name and password that were proved.
    pub credential_generation: u32,
    /// How well the hardware tells the device from others: `none`, `weak` or `strong`.
    pub binding: String,
}

/// An enrolment that was not done.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Not the JSON that is asked for.
    #[error("the enrolment cannot be read: {0}")]
    Malformed(String),
    /// A field is not what it must be.
    #[error("{field} must be {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Unknown name or wrong password: which, is not told.
    #[error("the name or the password is wrong")]
    Credentials,
    /// The name is another site's than the device's.
    #[error(
        "this device belongs to site {known}, and {name} is site {found}: use another data folder for another site"
    )]
    OtherSite {
        /// The site that the device knows.
        known: u32,
        /// The name that it gave.
        name: String,
        /// The site of that name.
        found: u32,
    },
    /// Too many wrong passwords for this name from this address.
    #[error("too many wrong passwords for this name; try again in {wait_s} s")]
    TooManyAttempts {
        /// How long.
        wait_s: u32,
    },
    /// Too many enrolments at once.
    #[error("central has too many enrolments in hand; try again in a moment")]
    Overloaded,
    /// The server stops, or its store failed or refused.
    #[error(transparent)]
    Center(#[from] CentralError),
}

impl EnrolError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Malformed(_) => "enrolment_malformed",
            Self::Field { .. } => "enrolment_field",
            Self::Credentials => "wrong_credentials",
            Self::OtherSite { .. } => "other_site",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Overloaded => "overloaded",
            Self::Center(error) => &error.code,
        }
    }

    /// A sentence for a person, without the code.
    pub fn message(&self) -> String {
        match self {
            Self::Center(error) => error.message.clone(),
            other => other.to_string(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::Field { .. } => StatusCode::BAD_REQUEST,
            Self::Credentials => StatusCode::FORBIDDEN,
            Self::OtherSite { .. } => StatusCode::CONFLICT,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Center(error) => match error.exit {
                crate::error::Exit::Refused => StatusCode::CONFLICT,
                crate::error::Exit::Busy => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// Seconds to wait, if waiting helps.
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::TooManyAttempts { wait_s } => Some(*wait_s),
            Self::Overloaded => Some(1),
            _ => None,
        }
    }
}

impl From<WriteError> for EnrolError {
    fn from(error: WriteError) -> Self {
        Self::Center(error.into())
    }
}

/// See the module.
pub struct Enrolment {
    center: Arc<Center>,
    throttle: Mutex<Throttle>,
    /// A hash that no password has, for unknown names while there is no site.
    nobody: Arc<str>,
    name_salt: NameSalt,
    places: Semaphore,
    queue: Arc<Queue>,
    delayed: Arc<Queue>,
    /// What checks that are over have left for the next ones: one for each of the places.
    memory: Arc<Mutex<Vec<Vec<argon2::Block>>>>,
}

impl Enrolment {
    /// For a center.
    ///
    /// # Errors
    /// Those of hashing, and of the store.
    pub fn new(center: Arc<Center>) -> Result<Self, CentralError> {
        let chance = crate::entropy::bytes::<32>();
        Ok(Self {
            throttle: Mutex::new(Throttle::default()),
            nobody: hash_password(center.settings().passwords, &hex::to_hex(&chance))?.into(),
            name_salt: NameSalt::of_central(&center)?,
            places: Semaphore::new(center.settings().limits.enrolments_max),
            queue: Arc::new(Queue::of_checks()),
            delayed: Arc::new(Queue::of_delayed_answers()),
            memory: Arc::default(),
            center,
        })
    }

    /// Tells the salt of a site, or one that looks like it.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub async fn begin(&self, body: &[u8], address: Option<IpAddr>) -> Result<BeginReply, EnrolError> {
        let request: BeginRequest =
            serde_json::from_slice(body).map_err(|error| EnrolError::Malformed(error.to_string()))?;
        check_name(&request.name)?;
        let _in_queue = self.queue.enter(known(address)).ok_or(EnrolError::Overloaded)?;
        let (center, name) = (Arc::clone(&self.center), request.name.clone());
        let found = spawn_blocking(move || center.read(move |reading| reading.site_by_name(&name)));
        let account = found.await.map_err(|_| stopped())??;
        // Central's own is the secret of the others.
        let account = account.filter(|account| account.kind != SiteKind::Central);
        let salt = account.and_then(|account| account.salt).unwrap_or_else(|| self.name_salt.of(&request.name));
        Ok(BeginReply { salt: salt.to_string(), central_key: self.center.signer().public_key().to_string() })
    }

    /// Enrols a device. Doing it again with the same key and journal changes nothing.
    ///
    /// # Errors
    /// [`EnrolError`]; then nothing has changed but the memory of wrong passwords.
    pub async fn enrol(&self, body: &[u8], address: Option<IpAddr>) -> Result<EnrolReply, EnrolError> {
        let request: EnrolRequest =
            serde_json::from_slice(body).map_err(|error| EnrolError::Malformed(error.to_string()))?;
        let device = check(&request)?;
        let address = known(address);
        self.check_throttle(&request.name, address)?;
        let in_queue = self.queue.enter(address).ok_or(EnrolError::Overloaded)?;
        let place = self.places.acquire().await.expect("the places are never closed");
        // Others with the same name may have been wrong while this one waited.
        self.check_throttle(&request.name, address)?;

        let account = self.account_of(&request).await?;
        drop((place, in_queue));
        let Some(account) = account else {
            let delay_ms = self.lock().failed(&request.name, address, clock::monotonic_ms());
            tracing::warn!(name = request.name, %address, delay_ms, "an enrolment with a wrong name or password");
            if delay_ms > 0 {
                let Some(_in_queue) = self.delayed.enter(address) else {
                    let wait_s = u32::try_from(delay_ms.div_ceil(1000)).unwrap_or(u32::MAX);
                    return Err(EnrolError::TooManyAttempts { wait_s });
                };
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            return Err(EnrolError::Credentials);
        };
        self.lock().succeeded(&request.name, address);
        if let Some(known) = request.site_id.filter(|known| *known != account.id.0) {
            return Err(EnrolError::OtherSite { known, name: request.name, found: account.id.0 });
        }
        let site = account.id;
        let (fingerprint, journal) = (device.key.fingerprint(), device.journal);
        let enrolled = self.center.writer()?.run(move |batch| batch.enrol(site, &device)).await;
        self.center.key_changed(site);
        let enrolled = match enrolled {
            Ok(enrolled) => enrolled,
            Err(error) => {
                tracing::warn!(%site, device = fingerprint, %address, "a device was not enrolled: {error}");
                return Err(error.into());
            }
        };
        let binding = enrolled.binding.as_str();
        if enrolled.is_new {
            let replaced = enrolled.replaced.map_or_else(|| "none".to_owned(), |key| key.fingerprint());
            tracing::info!(%site, device = fingerprint, replaced, %journal, binding, "a device was enrolled");
        }
        Ok(EnrolReply {
            site_id: site.0,
            central_key: self.center.signer().public_key().to_string(),
            credential_generation: enrolled.generation.0,
            binding: binding.to_owned(),
        })
    }

    /// The site whose name and password were given.
    async fn account_of(&self, request: &EnrolRequest) -> Result<Option<SiteRow>, EnrolError> {
        let (name, password) = (request.name.clone(), request.password.clone());
        let (center, nobody, shared) = (Arc::clone(&self.center), Arc::clone(&self.nobody), Arc::clone(&self.memory));
        let choice = self.name_salt.of(&name).0;
        let proved = spawn_blocking(move || -> Result<_, EnrolError> {
            let (account, other) = center.read(move |reading| {
                let account = reading.site_by_name(&name)?;
                // An unknown name costs what that of some site costs, always the same: not all hashes are of the same settings.
                let other = reading.password_hash_near(u64::from_le_bytes(*choice.first_chunk().expect("16 bytes")))?;
                Ok((account, other))
            })?;
            let hash = account.as_ref().map(|account| account.password_hash.as_str()).or(other.as_deref());
            let hash = hash.unwrap_or(&nobody);
            let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_default();
            let is_right = is_password_in(&mut memory, hash, &password);
            lock().push(memory);
            Ok(account.filter(|_| is_right))
        });
        proved.await.map_err(|_| stopped())?
    }

    fn check_throttle(&self, name: &str, address: IpAddr) -> Result<(), EnrolError> {
        match self.lock().wait_s(name, address, clock::monotonic_ms()) {
            0 => Ok(()),
            wait_s => Err(EnrolError::TooManyAttempts { wait_s }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beside the network there is only the test without an address.
fn known(address: Option<IpAddr>) -> IpAddr {
    address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn check_name(name: &str) -> Result<(), EnrolError> {
    if name.is_empty() || name.len() > SITE_NAME_BYTES_MAX {
        return Err(EnrolError::Field { field: "name", expected: "a text of 1 to 100 bytes" });
    }
    Ok(())
}

fn check(request: &EnrolRequest) -> Result<EnrollingDevice, EnrolError> {
    check_name(&request.name)?;
    if request.password.is_empty() || request.password.len() > PASSWORD_BYTES_MAX {
        return Err(EnrolError::Field { field: "password", expected: "a text of 1 to 1024 bytes" });
    }
    let key = hex::from_hex(&request.public_key).map(PublicKey);
    let key = key.ok_or(EnrolError::Field { field: "public_key", expected: "64 hexadecimal digits" })?;
    let journal = hex::from_hex(&request.journal).map(JournalId);
    let journal = journal.ok_or(EnrolError::Field { field: "journal", expected: "32 hexadecimal digits" })?;
    let kind = SiteKind::of(&request.r#type).filter(|kind| *kind != SiteKind::Central);
    let kind = kind.ok_or(EnrolError::Field { field: "type", expected: "standalone or mobile" })?;
    let hardware = hex::bytes(&request.hardware).and_then(|bytes| HardwareId::decode(&bytes).ok());
    let hardware =
        hardware.ok_or(EnrolError::Field { field: "hardware", expected: "a hardware id in hexadecimal digits" })?;
    Ok(EnrollingDevice { key, journal, hardware, kind })
}

fn stopped() -> EnrolError {
    EnrolError::Center(WriteError::Stopping.into())
}
