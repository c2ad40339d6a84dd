//! Enrolment: the site's name and password once, for central's key and a place among its sites.

use protocol::hardware::{BindingStrength, HardwareId};
use protocol::ids::{CredentialGeneration, HardwareSalt, JournalId, PublicKey, SiteId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::TOO_MANY_ATTEMPTS;
use super::{ENROL_BEGIN_PATH, ENROL_PATH, Transport, TransportError, code, content_type};
use crate::config::DeviceKind;
use crate::hex;

/// What a device says of itself. Repeating it with the same bytes gives the same answer.
#[derive(Debug)]
pub struct EnrolRequest<'a> {
    /// The site's name.
    pub site_name: &'a str,
    /// The site that the device belongs to already: central takes it for no other one.
    pub site: Option<SiteId>,
    /// The site's password.
    pub password: &'a Zeroizing<String>,
    /// The device's key.
    pub public_key: PublicKey,
    /// The journal that it will send.
    pub journal: JournalId,
    /// What it is.
    pub device_kind: DeviceKind,
    /// What it is made of, hashed with the salt of [`Transport::begin_enrolment`].
    pub hardware: &'a HardwareId,
}

/// What central says of a site before a device shows its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnrolBegin {
    /// What to hash the hardware's values with.
    pub salt: HardwareSalt,
    /// Central's key, which the second step must give too.
    pub central_key: PublicKey,
}

/// What central answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolReply {
    /// The site that the device speaks for.
    pub site: SiteId,
    /// Central's key, to be pinned.
    pub central_key: PublicKey,
    /// The generation of the site's name and password.
    pub generation: CredentialGeneration,
    /// How well the hardware tells the device from others.
    pub binding: BindingStrength,
}

#[derive(Serialize)]
struct BeginFields<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct RequestFields<'a> {
    name: &'a str,
    site_id: Option<u32>,
    password: &'a str,
    public_key: String,
    journal: String,
    r#type: &'static str,
    hardware: String,
}

#[derive(Deserialize)]
struct BeginReplyFields {
    salt: String,
    central_key: String,
}

/// Fields that are not known are passed over: a later central may say more.
#[derive(Deserialize)]
struct ReplyFields {
    site_id: u32,
    central_key: String,
    credential_generation: u32,
    binding: String,
}

impl Transport {
    /// The first step of an enrolment: asks for the salt of a site. An unknown name gets one too.
    ///
    /// # Errors
    /// As for [`Transport::exchange`].
    pub fn begin_enrolment(&mut self, site_name: &str) -> Result<EnrolBegin, TransportError> {
        let body = serde_json::to_vec(&BeginFields { name: site_name }).expect("texts are always JSON");
        self.enrolment_step(ENROL_BEGIN_PATH, &body, begin_of)
    }

    /// The second step: asks central to take this device.
    ///
    /// # Errors
    /// [`TransportError::CentralRefused`] with central's own code for a wrong name or password, and as for
    /// [`Transport::exchange`].
    pub fn enrol(&mut self, request: &EnrolRequest<'_>) -> Result<EnrolReply, TransportError> {
        let fields = RequestFields {
            name: request.site_name,
            site_id: request.site.map(|site| site.0),
            password: request.password,
            public_key: request.public_key.to_string(),
            journal: request.journal.to_string(),
            r#type: request.device_kind.as_str(),
            hardware: hex::text(&request.hardware.encode()),
        };
        // Room from the start, for a text of escapes alone: a buffer that grows leaves copies of the password in memory.
        let room = 6 * (request.site_name.len() + request.password.len()) + 2048;
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *body, &fields).expect("texts are always JSON");
        self.enrolment_step(ENROL_PATH, &body, reply_of)
    }

    fn enrolment_step<T>(
        &mut self,
        path: &str,
        body: &[u8],
        read: fn(&[u8]) -> Option<T>,
    ) -> Result<T, TransportError> {
        let mut response = self.post(path, "application/json", body)?;
        if !response.status().is_success() || content_type(&response) != "application/json" {
            let is_throttled = code(&response) == TOO_MANY_ATTEMPTS;
            return Err(match self.unexpected(&mut response) {
                // Nobody tries an enrolment again by itself.
                TransportError::Busy { retry_after_s } if is_throttled => {
                    TransportError::TooManyAttempts { retry_after_s }
                }
                TransportError::Busy { retry_after_s } => TransportError::EnrolmentBusy { retry_after_s },
                other => other,
            });
        }
        let body = self.small_body(&mut response)?;
        let status = response.status().as_u16();
        read(&body).ok_or_else(|| TransportError::not_central(self.central(), status, "application/json"))
    }
}

fn begin_of(body: &[u8]) -> Option<EnrolBegin> {
    let fields: BeginReplyFields = serde_json::from_slice(body).ok()?;
    Some(EnrolBegin {
        salt: HardwareSalt(hex::array(&fields.salt)?),
        central_key: PublicKey(hex::array(&fields.central_key)?),
    })
}

fn reply_of(body: &[u8]) -> Option<EnrolReply> {
    let fields: ReplyFields = serde_json::from_slice(body).ok()?;
    let site = SiteId(fields.site_id);
    if site <= SiteId::CENTRAL {
        return None;
    }
    Some(EnrolReply {
        site,
        central_key: PublicKey(hex::array(&fields.central_key)?),
        generation: CredentialGeneration(fields.credential_generation),
        binding: BindingStrength::of_word(&fields.binding)?,
    })
}
