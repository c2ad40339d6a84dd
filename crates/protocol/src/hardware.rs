//! What tells one device from another, without telling what the device is: salted digests of its serial numbers.
//!
//! A device is bound to a site at enrolment. Each source is hashed on its own with the site's salt, so that a repair that
//! changes one source is told from another device, and so that nobody learns a serial number or meets a device again at another
//! site.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::bytes::{DecodeError, Reader, put_count};
use crate::few::sort_few;
use crate::ids::HardwareSalt;
use crate::limits::HARDWARE_SOURCES_MAX;

/// Version of the wire form.
const VERSION: u8 = 1;

/// Where an id of the hardware comes from, the most stable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardwareKind {
    /// Serial number in the device tree that the boot loader hands over.
    DeviceTreeSerial,
    /// Serial number of the system on a chip.
    SocSerial,
    /// UUID of the product in the firmware's tables (DMI).
    ProductUuid,
    /// Serial number of the board in the firmware's tables (DMI).
    BoardSerial,
    /// Identification register (CID) of built-in flash storage.
    StorageCid,
    /// Permanent address (MAC) of a physical network port.
    PortAddress,
    /// Id of the installed system. It lies on the disk and goes where a copy of the disk goes: it is not hardware.
    MachineId,
    /// Serial number that Android gives.
    AndroidSerial,
    /// A kind of a later program, by its code. It is compared, and never counts as hardware.
    Unknown(u8),
}

/// One source: its kind, and the digest of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardwareSource {
    /// Where it comes from.
    pub kind: HardwareKind,
    /// First 16 bytes of SHA-256(`outpost hardware 1`, salt, code of the kind, value).
    pub digest: [u8; 16],
}

/// The sources of one device: by rising code, no kind twice, at most [`HARDWARE_SOURCES_MAX`]. May be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HardwareId {
    sources: Vec<HardwareSource>,
}

/// Why sources are no hardware id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardwareError {
    /// More than [`HARDWARE_SOURCES_MAX`].
    TooMany {
        /// How many.
        found: usize,
    },
    /// A kind stands there twice.
    KindTwice(HardwareKind),
}

/// How well a hardware id tells a device from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BindingStrength {
    /// No hardware source: whoever has the data folder passes for the device. Usual in containers.
    None,
    /// One hardware source. A virtual machine whose settings are copied, or one exchanged part, is taken for the device or not.
    Weak,
    /// Two hardware sources or more.
    Strong,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// At least one hardware source and at least half of the enrolled sources match.
    SameDevice,
    /// Too little matches.
    OtherDevice,
    /// The enrolled id has no hardware source, so that nothing can be compared.
    CannotTell,
}

/// An enrolled id beside the one that is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What it comes to.
    pub likeness: Likeness,
    /// Enrolled kinds with the same value.
    pub matched: Vec<HardwareKind>,
    /// Enrolled kinds with another value.
    pub changed: Vec<HardwareKind>,
    /// Enrolled kinds that were not found. They count as not matching.
    pub missing: Vec<HardwareKind>,
}

impl HardwareKind {
    /// Every kind that this program knows, by rising code.
    pub const KNOWN: [HardwareKind; 8] = [
        Self::DeviceTreeSerial,
        Self::SocSerial,
        Self::ProductUuid,
        Self::BoardSerial,
        Self::StorageCid,
        Self::PortAddress,
        Self::MachineId,
        Self::AndroidSerial,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::DeviceTreeSerial => 1,
            Self::SocSerial => 2,
            Self::ProductUuid => 3,
            Self::BoardSerial => 4,
            Self::StorageCid => 5,
            Self::PortAddress => 6,
            Self::MachineId => 7,
            Self::AndroidSerial => 8,
            Self::Unknown(code) => code,
        }
    }

    /// The kind of a code; one that is not known is kept.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        Self::KNOWN.into_iter().find(|kind| kind.code() == code).unwrap_or(Self::Unknown(code))
    }

    /// Whether it is part of the hardware, so that it does not go where a copied disk goes.
    #[must_use]
    pub const fn is_hardware(self) -> bool {
        match self {
            Self::DeviceTreeSerial
            | Self::SocSerial
            | Self::ProductUuid
            | Self::BoardSerial
            | Self::StorageCid
            | Self::PortAddress
            | Self::AndroidSerial => true,
            Self::MachineId | Self::Unknown(_) => false,
        }
    }
}

impl fmt::Display for HardwareKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::DeviceTreeSerial => "serial number in the device tree",
            Self::SocSerial => "serial number of the chip",
            Self::ProductUuid => "UUID of the product",
            Self::BoardSerial => "serial number of the board",
            Self::StorageCid => "id of the built-in storage",
            Self::PortAddress => "address of a network port",
            Self::MachineId => "machine id",
            Self::AndroidSerial => "Android's serial number",
            Self::Unknown(code) => return write!(formatter, "source {code} of a later program"),
        })
    }
}

impl HardwareSource {
    /// The source of a value. The value is not kept.
    #[must_use]
    pub fn of_value(kind: HardwareKind, salt: &HardwareSalt, value: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"outpost hardware 1");
        hasher.update(salt.0);
        hasher.update([kind.code()]);
        hasher.update(value);
        let hash: [u8; 32] = hasher.finalize().into();
        let mut digest = [0; 16];
        digest.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self { kind, digest }
    }
}

impl HardwareId {
    /// An id of some sources, in any order.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn new(mut sources: Vec<HardwareSource>) -> Result<Self, HardwareError> {
        if sources.len() > HARDWARE_SOURCES_MAX {
            return Err(HardwareError::TooMany { found: sources.len() });
        }
        sort_few(&mut sources, |one, other| one.kind.code() < other.kind.code());
        let twice = sources.iter().zip(sources.iter().skip(1)).find(|(one, next)| one.kind.code() == next.kind.code());
        match twice {
            Some((source, _)) => Err(HardwareError::KindTwice(source.kind)),
            None => Ok(Self { sources }),
        }
    }

    /// The sources by rising code.
    #[must_use]
    pub fn sources(&self) -> &[HardwareSource] {
        &self.sources
    }

    /// How well it tells a device from others.
    #[must_use]
    pub fn strength(&self) -> BindingStrength {
        match self.sources.iter().filter(|source| source.kind.is_hardware()).count() {
            0 => BindingStrength::None,
            1 => BindingStrength::Weak,
            _ => BindingStrength::Strong,
        }
    }

    /// The wire form: version, count as a varint, and for each source its code and its digest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + self.sources.len() * 17);
        bytes.push(VERSION);
        put_count(&mut bytes, self.sources.len());
        for source in &self.sources {
            bytes.push(source.kind.code());
            bytes.extend_from_slice(&source.digest);
        }
        bytes
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`DecodeError`]: an unknown version, too many sources, codes that do not rise, bytes that end too early or are left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(DecodeError::Unknown { what: "version of a hardware id", value: version });
        }
        let count = reader.count(HARDWARE_SOURCES_MAX, "HARDWARE_SOURCES_MAX")?;
        let mut sources = Vec::with_capacity(count);
        let mut least = 0_u16;
        for _ in 0..count {
            let code = reader.byte()?;
            if u16::from(code) < least {
                return Err(DecodeError::Invalid("the kinds of a hardware id do not rise"));
            }
            least = u16::from(code) + 1;
            sources.push(HardwareSource { kind: HardwareKind::of_code(code), digest: reader.array()? });
        }
        reader.end()?;
        Ok(Self { sources })
    }
}

/// Whether what is found is the device that was enrolled.
#[must_use]
pub fn compare(enrolled: &HardwareId, found: &HardwareId) -> Comparison {
    let (mut matched, mut changed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for source in enrolled.sources() {
        match found.sources().iter().find(|other| other.kind == source.kind) {
            Some(other) if other.digest == source.digest => matched.push(source.kind),
            Some(_) => changed.push(source.kind),
            None => missing.push(source.kind),
        }
    }
    let has_hardware = matched.iter().any(|kind| kind.is_hardware());
    let likeness = if enrolled.strength() == BindingStrength::None {
        Likeness::CannotTell
    } else if has_hardware && 2 * matched.len() >= enrolled.sources().len() {
        Likeness::SameDevice
    } else {
        Likeness::OtherDevice
    };
    Comparison { likeness, matched, changed, missing }
}

impl BindingStrength {
    /// The word that answers and reports use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Weak => "weak",
            Self::Strong => "strong",
        }
    }

    /// The strength of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::None, Self::Weak, Self::Strong].into_iter().find(|strength| strength.as_str() == word)
    }
}

impl fmt::Display for HardwareError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { found } => {
                write!(formatter, "a hardware id has {found} sources; at most {HARDWARE_SOURCES_MAX} are possible")
            }
            Self::KindTwice(kind) => write!(formatter, "a hardware id has the source \"{kind}\" twice"),
        }
    }
}

impl core::error::Error for HardwareError {}

#[cfg(test)]
mod tests;
