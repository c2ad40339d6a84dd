//! Where each source lies on Linux.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use protocol::few::sort_few;
use protocol::hardware::HardwareKind;
use zeroize::Zeroizing;

use super::android;
use super::junk::is_junk;
use super::permanent_address::{Addresses, permanent_addresses};
use crate::hex;

/// Longest value, in bytes: the firmware's tables hold texts of up to 64 or so. What is longer does not count.
const VALUE_BYTES_MAX: usize = 256;
/// Most entries of a folder that are looked at: network ports, disks.
const FOLDER_ENTRIES_MAX: usize = 256;

/// A serial number. Wiped when it goes, and without a way to print it.
pub(super) type Value = Zeroizing<String>;

/// The value of one kind; `None` if it is absent, unreadable or tells nothing.
pub(super) fn read(root: &Path, kind: HardwareKind) -> Option<Value> {
    let one_of = |paths: &[&str]| paths.iter().find_map(|path| telling(read_value(&root.join(path))?));
    match kind {
        HardwareKind::DeviceTreeSerial => {
            one_of(&["proc/device-tree/serial-number", "sys/firmware/devicetree/base/serial-number"])
        }
        HardwareKind::SocSerial => one_of(&["sys/devices/soc0/serial_number"]),
        HardwareKind::ProductUuid => one_of(&["sys/class/dmi/id/product_uuid"]).map(lower_case),
        HardwareKind::BoardSerial => one_of(&["sys/class/dmi/id/board_serial"]),
        HardwareKind::StorageCid => storage_cid(root),
        HardwareKind::PortAddress => port_address(root, &permanent_addresses(root)),
        HardwareKind::MachineId => one_of(&["etc/machine-id"]).filter(|value| is_machine_id(value)),
        HardwareKind::AndroidSerial => android::serial(root).and_then(telling),
        HardwareKind::Unknown(_) => None,
    }
}

/// A small text file without zero bytes and white space at its ends; `None` if it cannot be read.
pub(super) fn read_value(path: &Path) -> Option<Value> {
    let file = File::open(path).ok()?;
    trimmed(file, VALUE_BYTES_MAX)
}

/// Text of at most so many bytes, without zero bytes and white space at its ends.
pub(super) fn trimmed(from: impl std::io::Read, bytes_max: usize) -> Option<Value> {
    // Room from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    from.take(bytes_max as u64 + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() > bytes_max {
        return None;
    }
    let text = str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.trim_matches(|character: char| character == '\0' || character.is_whitespace()).to_owned()))
}

fn telling(value: Value) -> Option<Value> {
    if is_junk(&value) { None } else { Some(value) }
}

fn lower_case(mut value: Value) -> Value {
    value.make_ascii_lowercase();
    value
}

/// systemd writes "uninitialized" before the first start.
fn is_machine_id(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Of the first built-in flash storage. A memory card (type SD) goes from device to device.
fn storage_cid(root: &Path) -> Option<Value> {
    folder(&root.join("sys/block"))
        .into_iter()
        .filter(|disk| disk.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mmcblk")))
        .filter(|disk| read_value(&disk.join("device/type")).is_some_and(|kind| *kind == "MMC"))
        .find_map(|disk| telling(read_value(&disk.join("device/cid"))?))
        .map(lower_case)
}

/// Of the built-in port with the lowest address, or else of the lowest USB adapter: adapters come and go.
/// A port counts by the address that it was made with; what it was set to, or drew at random, says nothing.
pub(super) fn port_address(root: &Path, permanent: &Addresses) -> Option<Value> {
    let addresses = folder(&root.join("sys/class/net")).into_iter().filter_map(|port| {
        // Bridges, tunnels and loopback have no device behind them.
        let device = port.join("device");
        if !device.exists() {
            return None;
        }
        let known = port.file_name().and_then(|name| permanent.get(name.to_str()?)).cloned();
        let address = known.or_else(|| {
            // 0: the address is still the one that the port was made with.
            let is_permanent = read_value(&port.join("addr_assign_type")).is_some_and(|kind| *kind == "0");
            is_permanent.then(|| read_value(&port.join("address"))).flatten().map(lower_case)
        })?;
        let is_usb = device.join("subsystem").read_link().is_ok_and(|bus| bus.ends_with("usb"));
        is_given_by_maker(&address).then_some((is_usb, address))
    });
    addresses
        .min_by(|left, right| (left.0, left.1.as_str()).cmp(&(right.0, right.1.as_str())))
        .map(|(_, address)| address)
}

/// Six bytes, neither all equal nor for a group nor chosen by an administrator or a hypervisor (bits 0 and 1 of the first).
fn is_given_by_maker(address: &str) -> bool {
    let digits = |part: &str| hex::array::<1>(part).map(|[byte]| byte);
    let bytes: Option<Vec<u8>> = address.split(':').map(digits).collect();
    match bytes.as_deref() {
        Some(bytes @ [first, _, _, _, _, _]) => first.trailing_zeros() >= 2 && bytes.iter().any(|byte| byte != first),
        _ => false,
    }
}

/// What a folder holds, in the order of names; nothing if it cannot be read.
fn folder(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.take(FOLDER_ENTRIES_MAX).filter_map(|entry| Some(entry.ok()?.path())).collect();
    sort_few(&mut paths, |one, other| one < other);
    paths
}
