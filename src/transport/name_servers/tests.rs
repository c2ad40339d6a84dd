use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::transport::Transport;

const LIMIT: Duration = Duration::from_secs(30);

/// A name server that answers each question with what a function makes of it; `None` says nothing.
fn server(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        while let Ok((count, from)) = socket.recv_from(&mut datagram) {
            if let Some(answer) = answer(&datagram[..count]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    address
}

/// The answer to a question: flags, code, and records whose names point at the question's.
fn answer(question: &[u8], flags: u8, code: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2] |= 0x80 | flags;
    message[3] = 0x80 | code;
    message[7] = u8::try_from(records.len()).unwrap();
    for (kind, data) in records {
        message.extend([0xC0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(*data);
    }
    message
}

fn kind(question: &[u8]) -> u16 {
    u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]])
}

const V4: [u8; 4] = [192, 0, 2, 7];
const V6: [u8; 16] = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

fn both(question: &[u8]) -> Vec<u8> {
    // An alias, whose address stands behind it, as those who ask others answer.
    let alias: &[u8] = b"\x05other\x07example\0";
    match kind(question) {
        1 => answer(question, 0, 0, &[(5, alias), (1, &V4)]),
        28 => answer(question, 0, 0, &[(5, alias), (28, &V6)]),
        other => panic!("nobody asks for kind {other}"),
    }
}

#[test]
fn a_name_has_the_addresses_that_the_server_tells_those_of_ipv4_first() {
    let found = addresses("Central.Example.org", &[server(|question| Some(both(question)))], LIMIT).unwrap();

    assert_eq!(found, [IpAddr::from(V4), IpAddr::from(V6)]);
}

#[test]
fn central_is_looked_for_by_the_name_servers_of_the_settings() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = server(|question| {
        Some(answer(question, 0, 0, if kind(question) == 1 { &[(1, &[127, 0, 0, 1])] } else { &[] }))
    });
    let settings = format!("[central]\nurl = \"https://central.test:{port}\"\nname_servers = [\"{names}\"]\n");
    let config = Config::of_text(Path::new("agent.toml"), &settings).unwrap();
    let central = config.central_url.clone().unwrap();
    let asking = std::thread::spawn(move || Transport::new(&config, central).unwrap().greet());

    // It comes here, so the name was found; then it hangs up.
    drop(listener.accept().unwrap());

    let greeting = asking.join().unwrap();
    assert_eq!(greeting.addresses, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
}

#[test]
fn the_name_is_asked_for_as_the_standard_writes_it() {
    let asked = Question::of("a.example.", Kind::Ipv6).unwrap();

    assert_eq!(&asked.bytes()[2..], b"\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x1c\0\x01");
}

#[test]
fn an_address_and_this_machine_are_asked_of_nobody() {
    let nobody = server(|_| panic!("nobody asks"));

    assert_eq!(addresses("192.0.2.7", &[nobody], LIMIT).unwrap(), [IpAddr::from(V4)]);
    assert_eq!(addresses("[2001:db8::7]", &[nobody], LIMIT).unwrap(), [IpAddr::from(V6)]);
    assert_eq!(addresses("LocalHost", &[nobody], LIMIT).unwrap()[0], IpAddr::V4(Ipv4Addr::LOCALHOST));
}

#[test]
fn a_name_that_is_not_there_is_not_found_and_the_next_server_is_not_asked() {
    let no_such_name = server(|question| Some(answer(question, 0, 3, &[])));
    let nobody = server(|_| panic!("nobody asks"));

    let error = addresses("central.example", &[no_such_name, nobody], LIMIT).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_name_without_addresses_is_not_found() {
    let error = addresses("central.example", &[server(|question| Some(answer(question, 0, 0, &[])))], LIMIT);

    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn names_that_cannot_be_are_not_found() {
    let nobody = server(|_| panic!("nobody asks"));
    for host in ["", ".", "a..b", &"a".repeat(64), &"a.".repeat(130)] {
        assert_eq!(addresses(host, &[nobody], LIMIT).unwrap_err().kind(), ErrorKind::NotFound, "{host}");
    }
}

#[test]
fn a_server_that_refuses_or_is_not_there_leaves_it_to_the_next() {
    let refusing = server(|question| Some(answer(question, 0, 5, &[])));
    let absent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();

    let found =
        addresses("central.example", &[refusing, absent, server(|question| Some(both(question)))], LIMIT).unwrap();

    assert_eq!(found[0], IpAddr::from(V4));
}

#[test]
fn a_search_ends_with_its_time() {
    let silent = server(|_| None);
    let began = monotonic_now();

    let error = addresses("central.example", &[silent], Duration::from_millis(200)).unwrap_err();

    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
    let took_ms = monotonic_now().since(began);
    assert!((150..30_000).contains(&took_ms), "{took_ms} ms");
}

#[test]
fn an_answer_to_another_question_is_passed_over() {
    let asked = Question::of("central.example", Kind::Ipv4).unwrap();
    let right = answer(asked.bytes(), 0, 0, &[(1, &V4)]);
    let mut other_number = right.clone();
    other_number[0] ^= 1;
    let mut other_name = right.clone();
    other_name[14] ^= 1;
    let mut no_answer = right.clone();
    no_answer[2] = 1;

    for strange in [&other_number, &other_name, &no_answer, &right[..20].to_vec()] {
        assert!(asked.read(strange).is_none());
    }
    assert_eq!(asked.read(&right).unwrap().unwrap(), Answer::Addresses(vec![V4.into()]));
}

#[test]
fn an_answer_that_is_cut_is_asked_for_by_a_stream() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // The same port by both ways, as name servers have it.
    let socket = UdpSocket::bind(address).unwrap();
    let streams = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&streams);
    std::thread::spawn(move || {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        while let Ok((count, from)) = socket.recv_from(&mut datagram) {
            socket.send_to(&answer(&datagram[..count], 0x02, 0, &[]), from).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = vec![0; count + 2];
            stream.read_exact(&mut question).unwrap();
            let whole = both(&question[2..]);
            counted.fetch_add(1, Ordering::Relaxed);
            // In pieces, as streams come.
            stream.write_all(&u16::try_from(whole.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&whole[..7]).unwrap();
            stream.write_all(&whole[7..]).unwrap();
        }
    });

    let found = addresses("central.example", &[address], LIMIT).unwrap();

    assert_eq!(found, [IpAddr::from(V4), IpAddr::from(V6)]);
    assert_eq!(streams.load(Ordering::Relaxed), 2);
}

proptest! {
    #[test]
    fn no_answer_panics_however_it_is_damaged(at in 0_usize..80, by in 1_u8.., cut in 0_usize..80) {
        let asked = Question::of("central.example", Kind::Ipv4).unwrap();
        let mut message = answer(asked.bytes(), 0, 0, &[(5, b"\x01x\0"), (1, &V4), (1, &V4)]);
        message.truncate(cut.max(at));
        if let Some(byte) = message.get_mut(at) {
            *byte = byte.wrapping_add(by);
        }
        let _ = asked.read(&message);
    }
}
