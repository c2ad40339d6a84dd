//! What this device is made of, as salted digests, and whether it is the device that was enrolled.
//!
//! Serial numbers are read, hashed and wiped in this module. They are never logged, shown or sent.

mod android;
mod junk;
mod permanent_address;
mod sources;
#[cfg(test)]
mod tests;

use std::path::Path;

use protocol::hardware::{BindingStrength, Comparison, HardwareId, HardwareKind, HardwareSource, Likeness, compare};
use protocol::ids::HardwareSalt;

use super::Device;
use crate::error::AgentError;
use crate::exit::Exit;

/// What a person may know of a device's binding; what `doctor` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// What was enrolled beside what is found; `None` before the first enrolment.
    pub comparison: Option<Comparison>,
    /// How well what was enrolled tells this device from others; before the first enrolment, how well what is found would.
    pub strength: BindingStrength,
    /// The sources that are found.
    pub found: Vec<HardwareKind>,
    /// All of it as sentences.
    pub sentences: Vec<String>,
}

/// Reads every source below `root`, which is `/` but in tests. What cannot be read is left out.
pub fn find_hardware(root: &Path, salt: &HardwareSalt) -> HardwareId {
    let found = HardwareKind::KNOWN.into_iter().filter_map(|kind| {
        let value = sources::read(root, kind)?;
        Some(HardwareSource::of_value(kind, salt, value.as_bytes()))
    });
    HardwareId::new(found.collect()).expect("each known kind once is within the limit")
}

/// How a device that is not enrolled would be bound by what is found below `root`.
pub fn binding_to_be(root: &Path) -> Binding {
    let found = find_hardware(root, &HardwareSalt([0; 16]));
    binding(None, found.strength(), &found)
}

impl Device {
    /// Compares what is found below `root` with what was enrolled.
    pub fn binding(&self, root: &Path) -> Binding {
        let Some(enrolment) = &self.identity().enrolment else { return binding_to_be(root) };
        let found = find_hardware(root, &enrolment.salt);
        binding(Some(compare(&enrolment.hardware, &found)), enrolment.hardware.strength(), &found)
    }
}

impl Binding {
    /// Whether this may speak for the site.
    ///
    /// # Errors
    /// `hardware_changed`: it is another device than the enrolled one, as far as can be told.
    pub fn check(&self) -> Result<(), AgentError> {
        match &self.comparison {
            Some(comparison) if comparison.likeness == Likeness::OtherDevice => Err(hardware_changed(comparison)),
            _ => Ok(()),
        }
    }

    /// Whether what was enrolled tells this device from others at all.
    pub fn is_told(&self) -> bool {
        self.comparison.as_ref().is_none_or(|comparison| comparison.likeness != Likeness::CannotTell)
    }

    /// What differs although it is the same device; `None` if nothing does.
    pub fn difference(&self) -> Option<String> {
        let comparison = self.comparison.as_ref()?;
        if comparison.likeness == Likeness::OtherDevice {
            return None;
        }
        difference(comparison)
    }
}

/// How well a device of this binding is told from others, as a sentence.
pub fn strength_sentence(strength: BindingStrength) -> String {
    let text = match strength {
        BindingStrength::None => {
            "Binding to the hardware: none. Whoever has a copy of the data folder passes for this device. That is usual in a \
             container; show it the host's serial numbers (setting hardware_root), or guard its disk."
        }
        BindingStrength::Weak => {
            "Binding to the hardware: weak. One serial number stands for the whole device; in a virtual machine that number is \
             a setting, which can be copied."
        }
        BindingStrength::Strong => {
            "Binding to the hardware: strong. Several serial numbers tell this device from others."
        }
    };
    text.to_owned()
}

fn binding(comparison: Option<Comparison>, strength: BindingStrength, found: &HardwareId) -> Binding {
    let found: Vec<HardwareKind> = found.sources().iter().map(|source| source.kind).collect();
    let mut sentences = vec![if found.is_empty() {
        "This device shows no serial number of its own.".to_owned()
    } else {
        format!("This device shows: {}.", list(&found))
    }];
    if comparison.is_none() {
        sentences.push("It is not enrolled; this is how it would be bound.".to_owned());
    }
    sentences.push(strength_sentence(strength));
    if let Some(comparison) = &comparison {
        sentences.push(match comparison.likeness {
            Likeness::SameDevice => "It is the device that was enrolled.".to_owned(),
            Likeness::OtherDevice => "It is not the device that was enrolled: syncing is refused.".to_owned(),
            Likeness::CannotTell => "Whether it is the device that was enrolled cannot be told.".to_owned(),
        });
        sentences.extend(difference(comparison).map(|what| format!("Since the enrolment {what}.")));
    }
    Binding { comparison, strength, found, sentences }
}

fn hardware_changed(comparison: &Comparison) -> AgentError {
    let what = difference(comparison).unwrap_or_else(|| "nothing of it was found".to_owned());
    AgentError::new(
        "hardware_changed",
        format!(
            "this is not the hardware that was enrolled for the site: {what}; syncing is refused, recording goes on"
        ),
        "If this data folder was copied or put back, use the device that it belongs to. If the agent runs as another user than \
         at its enrolment, run it as that one: some serial numbers are for root alone. If the device was repaired, ask whoever \
         looks after central to run `outpost-central site reset-hardware`, then run `outpost enrol` again.",
        Exit::Refused,
    )
}

/// "the X has changed and the Y is missing"; `None` if neither.
fn difference(comparison: &Comparison) -> Option<String> {
    let part = |kinds: &[HardwareKind], verb: &str| match kinds {
        [] => None,
        kinds => Some(format!("{verb}: {}", list(kinds))),
    };
    let parts = [part(&comparison.changed, "changed"), part(&comparison.missing, "cannot be found or read")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { None } else { Some(parts.join("; ")) }
}

fn list(kinds: &[HardwareKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
