//! Hears from the kernel that the network is another one than it was, on a thread of its own (rtnetlink(7)).

use std::sync::mpsc::{SyncSender, TrySendError};

use super::caller::Caller;
use super::plan::Wake;

/// Sends a wake-up for each change from now on. A system that does not let us hear of it is logged once and does no harm: then the backoff
/// alone decides.
pub(super) fn listen(sender: SyncSender<Wake<Caller>>) {
    let heard = kernel::Ear::open().and_then(|ear| {
        let thread = std::thread::Builder::new().name("network".to_owned());
        thread.spawn(move || run(&ear, &sender)).map(drop)
    });
    if let Err(error) = heard {
        log::info!("changes of the network are not heard here, the schedule goes by time alone error={error}");
    }
}

/// Until the loop is gone, or the kernel ends it.
fn run(ear: &kernel::Ear, sender: &SyncSender<Wake<Caller>>) {
    loop {
        match ear.wait() {
            // A full channel has others in it, behind which the loop looks anyway.
            Ok(true) => {
                if let Err(TrySendError::Disconnected(_)) = sender.try_send(Wake::NetworkChanged) {
                    return;
                }
            }
            Ok(false) => {}
            Err(error) => {
                log::info!("changes of the network are not heard any more error={error}");
                return;
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

    /// Bytes of one message or of several: the kernel fills up to 32 KiB only if it is asked for everything.
    const MESSAGES_BYTES_MAX: usize = 8 * 1024;
    /// Length, type, flags, sequence and port of a message.
    const HEADER_BYTES: usize = 16;
    /// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE`.
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    const NEW_LINK: u16 = 16;
    const NEW_ADDRESS: u16 = 20;
    const NEW_ROUTE: u16 = 24;
    /// `IFF_RUNNING`: the port has a carrier.
    const RUNNING: u32 = 0x40;
    /// Where the flags of a port stand in its message, behind family, kind and number.
    const PORT_FLAGS_AT: usize = HEADER_BYTES + 8;

    pub(super) struct Ear(OwnedFd);

    impl Ear {
        pub(super) fn open() -> io::Result<Self> {
            // The protocol NETLINK_ROUTE is 0, which is what `None` means.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            Ok(Self(socket))
        }

        /// Waits for the kernel to say something. Whether something may be reached that could not before.
        pub(super) fn wait(&self) -> io::Result<bool> {
            let mut bytes = [0; MESSAGES_BYTES_MAX];
            match recv(&self.0, bytes.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => Ok(is_news(bytes.get(..length).unwrap_or_default())),
                // More was said than the kernel kept for us.
                Err(Errno::NOBUFS) => Ok(true),
                Err(Errno::INTR) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
    }

    /// Whether one of the messages tells of a port with a carrier, an address or a route that came.
    pub(super) fn is_news(mut messages: &[u8]) -> bool {
        while let Some(length) = u32_at(messages, 0).map(|length| length as usize) {
            if length < HEADER_BYTES {
                return false;
            }
            let is_news = match u16_at(messages, 4) {
                Some(NEW_LINK) => u32_at(messages, PORT_FLAGS_AT).is_some_and(|flags| flags & RUNNING != 0),
                Some(NEW_ADDRESS | NEW_ROUTE) => true,
                _ => false,
            };
            if is_news {
                return true;
            }
            messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        false
    }

    // The kernel speaks in the order of this machine.
    fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
    }

    fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
    }

    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "the kernel speaks in the order of this machine")]
    mod tests {
        use super::*;

        fn message(kind: u16, content: &[u8]) -> Vec<u8> {
            let length = u32::try_from(HEADER_BYTES + content.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.resize(HEADER_BYTES, 0);
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        }

        fn port(flags: u32) -> Vec<u8> {
            message(NEW_LINK, &[vec![0; 8], flags.to_ne_bytes().to_vec(), vec![0; 4]].concat())
        }

        #[test]
        fn a_carrier_an_address_and_a_route_are_news_and_what_goes_is_none() {
            assert!(is_news(&port(RUNNING)));
            assert!(is_news(&message(NEW_ADDRESS, &[0; 8])));
            assert!(is_news(&[port(0), message(NEW_ROUTE, &[0; 7])].concat()));
            // RTM_DELADDR, RTM_DELROUTE, a port without a carrier.
            for other in [message(21, &[]), message(25, &[]), port(0)] {
                assert!(!is_news(&other));
            }
        }

        #[test]
        fn what_is_cut_or_altered_ends() {
            let messages = [port(0), port(0), message(25, &[1; 5])].concat();
            for end in 0..messages.len() {
                let _ = is_news(&messages[..end]);
            }
            for at in 0..messages.len() {
                for bit in 0..8 {
                    let mut altered = messages.clone();
                    altered[at] ^= 1 << bit;
                    let _ = is_news(&altered);
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod kernel {
    use std::io;

    pub(super) struct Ear;

    impl Ear {
        pub(super) fn open() -> io::Result<Self> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        pub(super) fn wait(&self) -> io::Result<bool> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }
    }
}
