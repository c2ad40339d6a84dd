//! The address that each network port was made with, whatever it was set to since: the kernel tells it by rtnetlink(7) alone, in the
//! attribute `IFLA_PERM_ADDRESS` (Linux 5.5 and later; `include/uapi/linux/{netlink,rtnetlink,if_link}.h`). Programs that look for
//! wireless networks draw another address now and then, and the port shall not look like another one while they do.
#![expect(
    clippy::disallowed_methods,
    reason = "the kernel speaks in the order of this machine, and nothing of it is kept"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use zeroize::Zeroizing;

use super::sources::Value;

/// Bytes of one answer: the kernel fills up to 32 KiB at once.
const ANSWER_BYTES_MAX: usize = 32 * 1024;
/// Answers that are read at most; each tells of ten ports or more.
const ANSWERS_MAX: usize = 64;
/// How long one answer may take, in milliseconds: the kernel gives it at once.
const ANSWER_MS_MAX: u64 = 500;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
/// `NLM_F_REQUEST | NLM_F_DUMP`: of every port.
const EVERY_PORT: u16 = 0x301;
const NAME: u16 = 3;
const PERMANENT_ADDRESS: u16 = 54;
/// Length, type, flags, sequence and port of a message.
const MESSAGE_HEADER_BYTES: usize = 16;
/// What stands before the attributes of a port: family, kind, number, flags.
const PORT_HEADER_BYTES: usize = 16;
/// Length and type of an attribute.
const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// Addresses by the names of their ports, as `/sys` writes them: two hexadecimal digits a byte, with colons.
pub(super) type Addresses = BTreeMap<String, Value>;

/// What the kernel tells; nothing from an older one, one that does not let us ask, or for another tree than this machine's.
pub(super) fn permanent_addresses(root: &Path) -> Addresses {
    if root == Path::new("/") { ask().unwrap_or_default() } else { Addresses::new() }
}

/// What was told until the kernel said that it is all, or that it does not tell.
fn ask() -> Option<Addresses> {
    // The protocol NETLINK_ROUTE is 0, which is what `None` means.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_millis(ANSWER_MS_MAX))).ok()?;
    send(&socket, &request(), SendFlags::empty()).ok()?;
    let mut addresses = Addresses::new();
    let mut answer = Zeroizing::new(vec![0; ANSWER_BYTES_MAX]);
    for _ in 0..ANSWERS_MAX {
        let (length, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty()).ok()?;
        if read_answer(answer.get(..length)?, &mut addresses)? {
            return Some(addresses);
        }
    }
    None
}

fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(MESSAGE_HEADER_BYTES + PORT_HEADER_BYTES);
    request.extend_from_slice(&32_u32.to_ne_bytes());
    request.extend_from_slice(&GET_LINK.to_ne_bytes());
    request.extend_from_slice(&EVERY_PORT.to_ne_bytes());
    request.resize(MESSAGE_HEADER_BYTES + PORT_HEADER_BYTES, 0);
    request
}

/// Adds what an answer tells. Whether it was the last one; `None` for an error or what is no answer.
fn read_answer(mut answer: &[u8], addresses: &mut Addresses) -> Option<bool> {
    while !answer.is_empty() {
        let (length, kind) = (u32_at(answer, 0)? as usize, u16_at(answer, 4)?);
        match kind {
            DONE => return Some(true),
            ERROR => return None,
            NEW_LINK => {
                let attributes = answer.get(..length)?.get(MESSAGE_HEADER_BYTES + PORT_HEADER_BYTES..)?;
                addresses.extend(read_port(attributes));
            }
            _ => {}
        }
        answer = after(answer, length, MESSAGE_HEADER_BYTES)?;
    }
    Some(false)
}

/// A port's name and address, if it has both.
fn read_port(mut attributes: &[u8]) -> Option<(String, Value)> {
    let (mut name, mut address) = (None, None);
    while !attributes.is_empty() {
        let (length, kind) = (usize::from(u16_at(attributes, 0)?), u16_at(attributes, 2)?);
        let value = attributes.get(..length)?.get(ATTRIBUTE_HEADER_BYTES..)?;
        match kind {
            NAME => name = Some(str::from_utf8(value.strip_suffix(b"\0")?).ok()?.to_owned()),
            PERMANENT_ADDRESS => address = Some(text(value)),
            _ => {}
        }
        attributes = after(attributes, length, ATTRIBUTE_HEADER_BYTES)?;
    }
    Some((name?, address?))
}

/// What follows something of a length, which begins at a multiple of four bytes; nothing may be shorter than its header.
fn after(bytes: &[u8], length: usize, length_min: usize) -> Option<&[u8]> {
    let end = length.checked_next_multiple_of(4).filter(|_| length >= length_min)?;
    Some(bytes.get(end..).unwrap_or_default())
}

fn text(address: &[u8]) -> Value {
    // Room from the start: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(3 * address.len()));
    for byte in address {
        if !text.is_empty() {
            text.push(':');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    text
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(MESSAGE_HEADER_BYTES + content.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER_BYTES, 0);
        bytes.extend_from_slice(content);
        bytes
    }

    /// A port as the kernel tells it, with an attribute more than we know.
    fn port(name: &[u8], address: Option<&[u8]>) -> Vec<u8> {
        let address = address.map(|address| attribute(PERMANENT_ADDRESS, address)).unwrap_or_default();
        message(NEW_LINK, &[vec![0; PORT_HEADER_BYTES], attribute(NAME, name), attribute(4, &[1]), address].concat())
    }

    #[test]
    fn each_port_that_has_one_is_told_with_its_address() {
        let answer =
            [port(b"lo\0", None), port(b"eth0\0", Some(&[0xdc, 0xa6, 0x32, 0x11, 0x22, 0x03])), message(DONE, &[0; 4])];
        let mut addresses = Addresses::new();

        assert_eq!(read_answer(&answer[..2].concat(), &mut addresses), Some(false));
        assert_eq!(read_answer(&answer[2], &mut addresses), Some(true));

        let told: Vec<_> = addresses.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
        assert_eq!(told, [("eth0", "dc:a6:32:11:22:03")]);
    }

    #[test]
    fn an_answer_that_is_cut_or_altered_anywhere_ends_and_tells_no_other_address() {
        let answer = [port(b"eth0\0", Some(&[0xdc, 0xa6, 0x32, 0x11, 0x22, 0x33])), message(DONE, &[0; 4])].concat();
        for end in 0..answer.len() {
            let mut addresses = Addresses::new();
            let _ = read_answer(&answer[..end], &mut addresses);
            assert!(addresses.values().all(|address| **address == "dc:a6:32:11:22:33"), "cut at {end}");
        }
        for at in 0..answer.len() {
            for bit in 0..8 {
                let mut altered = answer.clone();
                altered[at] ^= 1 << bit;
                let _ = read_answer(&altered, &mut Addresses::new());
            }
        }
        assert_eq!(read_answer(&message(ERROR, &[0; 20]), &mut Addresses::new()), None);
    }

    #[test]
    fn this_machine_s_kernel_tells_what_sys_shows_of_ports_that_kept_their_address() {
        let told = permanent_addresses(Path::new("/"));
        for port in std::fs::read_dir("/sys/class/net").into_iter().flatten().map_while(Result::ok) {
            let shown =
                |file: &str| std::fs::read_to_string(port.path().join(file)).unwrap_or_default().trim().to_owned();
            let (address, assigned) = (shown("address"), shown("addr_assign_type"));
            // Loopback has none, and the addresses of tunnels are none of the hardware.
            if assigned == "0" && port.path().join("device").exists() {
                let name = port.file_name().to_string_lossy().into_owned();
                assert_eq!(told.get(&name).map(|address| address.as_str()), Some(address.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn another_tree_than_this_machine_s_has_no_kernel_to_ask() {
        assert!(permanent_addresses(Path::new("/host")).is_empty());
    }
}
