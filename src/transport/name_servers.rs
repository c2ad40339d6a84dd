//! Asks name servers of the settings for central's address, where the system knows none: a static program on Android finds neither
//! `/etc/resolv.conf` nor Android's own service.

mod question;

use std::io::{Error as IoError, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use question::{Answer, Kind, Question};

use crate::clock::{MonotonicMs, monotonic_now};

/// How often all servers are asked, one after the other, before a name counts as not to be found.
const ROUNDS: usize = 2;
/// How long one server may take for one answer, in milliseconds, where the time for the whole search is not shorter.
const ANSWER_MS_MAX: u64 = 2_500;
/// Largest answer by UDP, in bytes (RFC 1035, 4.2.1): the questions ask for no more.
const DATAGRAM_BYTES_MAX: usize = 512;
/// Datagrams of others, or with another number, that are passed over while one answer is waited for.
const STRANGERS_MAX: usize = 32;

/// The addresses of a host, those of IPv4 first.
///
/// # Errors
/// [`ErrorKind::NotFound`] if a server says that there is no such name, or no address; [`ErrorKind::TimedOut`] or what the system said
/// if no server answered in the time.
pub(super) fn addresses(host: &str, servers: &[SocketAddr], limit: Duration) -> Result<Vec<IpAddr>, IoError> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse() {
        return Ok(vec![address]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let end = monotonic_now().plus(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let mut last = IoError::from(ErrorKind::TimedOut);
    for server in (0..ROUNDS).flat_map(|_| servers) {
        match of_server(*server, host, end) {
            Ok(addresses) if addresses.is_empty() => return Err(ErrorKind::NotFound.into()),
            Ok(addresses) => return Ok(addresses),
            // A name that cannot be asked for is not better known to another server.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(ErrorKind::NotFound.into()),
            Err(error) => last = error,
        }
        if monotonic_now() >= end {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Err(last)
}

/// What one server says. A name without addresses of one kind is asked for those of the other.
fn of_server(server: SocketAddr, host: &str, end: MonotonicMs) -> Result<Vec<IpAddr>, IoError> {
    let mut addresses = Vec::new();
    for kind in [Kind::Ipv4, Kind::Ipv6] {
        match ask(server, &Question::of(host, kind)?, end) {
            Ok(answer) => addresses.extend(answer),
            // Some servers know nothing of IPv6 and say nothing to a question for it.
            Err(_) if !addresses.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(addresses)
}

fn ask(server: SocketAddr, question: &Question, end: MonotonicMs) -> Result<Vec<IpAddr>, IoError> {
    let until = end.min(monotonic_now().plus(ANSWER_MS_MAX));
    match by_datagram(server, question, until)? {
        Answer::Addresses(addresses) => Ok(addresses),
        Answer::TooLarge => match by_stream(server, question, until)? {
            Answer::Addresses(addresses) => Ok(addresses),
            Answer::TooLarge => Err(ErrorKind::InvalidData.into()),
        },
    }
}

fn by_datagram(server: SocketAddr, question: &Question, until: MonotonicMs) -> Result<Answer, IoError> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // The system passes over what comes from elsewhere.
    socket.connect(server)?;
    socket.send(question.bytes())?;
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    for _ in 0..STRANGERS_MAX {
        socket.set_read_timeout(Some(time_left(until)?))?;
        let count = socket.recv(&mut datagram)?;
        if let Some(answer) = question.read(datagram.get(..count).unwrap_or_default()) {
            return answer;
        }
    }
    Err(ErrorKind::InvalidData.into())
}

fn by_stream(server: SocketAddr, question: &Question, until: MonotonicMs) -> Result<Answer, IoError> {
    let mut stream = TcpStream::connect_timeout(&server, time_left(until)?)?;
    stream.set_write_timeout(Some(time_left(until)?))?;
    let length = u16::try_from(question.bytes().len()).map_err(|_| ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), question.bytes()].concat())?;
    // Each read is limited: a server that sends byte by byte comes to the end of the time between two of them.
    let mut exact = |bytes: &mut [u8]| {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            stream.set_read_timeout(Some(time_left(until)?))?;
            match stream.read(rest)? {
                0 => return Err(IoError::from(ErrorKind::UnexpectedEof)),
                count => filled += count,
            }
        }
        Ok(())
    };
    let mut length = [0; 2];
    exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    exact(&mut answer)?;
    question.read(&answer).unwrap_or_else(|| Err(ErrorKind::InvalidData.into()))
}

fn time_left(until: MonotonicMs) -> Result<Duration, IoError> {
    match until.since(monotonic_now()) {
        0 => Err(ErrorKind::TimedOut.into()),
        left_ms => Ok(Duration::from_millis(left_ms)),
    }
}

#[cfg(test)]
mod tests;
