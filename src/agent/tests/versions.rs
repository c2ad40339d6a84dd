//! The real agent, with a central on loopback that understands only later versions: protocol's own machine, told so.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use protocol::chain::genesis;
use protocol::edge::Signer as _;
use protocol::exchange::{Answer, Ask, Conclusion, Exchange, Received, SiteKeys, Tools};
use protocol::frame::Placement;
use protocol::ids::{Epoch, Hash, JournalId, Position, PublicKey, Sequence, SiteId, Token};
use protocol::limits;
use protocol::message::{self, ReplyHead};
use protocol::versions::Versions;
use serde_json::Value;

use super::bed::Bed;
use crate::agent::{Agent, DeviceTokens};
use crate::operations::{Input, Request, SyncOptions, no_events};
use crate::sync_runner::TokenStore as _;

const NEWER: Versions = Versions { min: message::VERSION + 1, max: message::VERSION + 3 };

/// What a central keeps of the one site that speaks to it.
#[derive(Default)]
struct Center {
    device: Option<(PublicKey, JournalId)>,
    entries: Vec<(Vec<u8>, Hash)>,
    requests: u8,
    frames_twice: usize,
}

impl Center {
    /// Answers requests on loopback as long as the test runs. Gives its address too.
    fn start(signer: Ed25519Signer) -> (Arc<Mutex<Self>>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let center = Arc::new(Mutex::new(Self::default()));
        let shared = Arc::clone(&center);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &shared, &signer);
            }
        });
        (center, url)
    }

    fn received(&self) -> Received {
        let (_, journal) = self.device.unwrap();
        let hash = self.entries.last().map_or(genesis(SiteId(2), journal, None), |entry| entry.1);
        Received { sequence: Sequence(self.entries.len() as u64), hash }
    }

    fn exchange(&mut self, request: &[u8], signer: &Ed25519Signer) -> Vec<u8> {
        let mut codec = ZstdCodec::default();
        let mut tools = Tools { codec: &mut codec, signer, verifier: &Ed25519Verifier };
        let mut exchange = Exchange::of_versions(NEWER);
        self.requests += 1;
        exchange.feed(request, &mut tools);
        exchange.end_of_request(&mut tools);
        loop {
            let answer = match exchange.ask().unwrap() {
                Ask::FindSite(_) => {
                    let current = self.device.map(|(key, _)| key);
                    Answer::Site(SiteKeys { current, retired: Vec::new() })
                }
                Ask::Begin(head, _) => {
                    assert_eq!(head.whole(), None);
                    Answer::Begun(Ok(self.received()))
                }
                Ask::StoreFrame(frame) => {
                    let received = self.received();
                    let stored = self.entries.get(usize::try_from(frame.last().0 - 1).unwrap()).map(|entry| entry.1);
                    match frame.place(received.sequence, received.hash, stored) {
                        Placement::Extends { skip } => self.entries.extend_from_slice(&frame.entries[skip..]),
                        Placement::Duplicate => self.frames_twice += 1,
                        other => panic!("{other:?}"),
                    }
                    Answer::Stored(Ok(self.received()))
                }
                Ask::Conclude => Answer::Concluded(Ok(Box::new(self.conclusion()))),
                Ask::Refuse(_, bytes) => return bytes,
                other => panic!("{other:?}"),
            };
            exchange.answer(answer, &mut tools);
        }
    }

    fn conclusion(&self) -> Conclusion {
        let received = self.received();
        let reply = ReplyHead {
            version: NEWER.max,
            token: Token([self.requests; 16]),
            received: received.sequence,
            received_hash: received.hash,
            judged: Sequence::ZERO,
            backed_up: Sequence::ZERO,
            epoch: Epoch(1),
            position: Position(1),
            admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
            frame_part: None,
            control: Vec::new(),
            has_more_control: false,
            rows_waiting: None,
            has_pages: false,
            further: Vec::new(),
        };
        Conclusion { reply, scopes: Vec::new() }
    }
}

/// One connection, until it is closed.
fn serve(stream: TcpStream, center: &Mutex<Center>, signer: &Ed25519Signer) {
    let mut writing = stream.try_clone().unwrap();
    let mut reading = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reading.read_line(&mut line).is_ok_and(|bytes| bytes == 0) {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
        }
        let mut request = vec![0; length];
        reading.read_exact(&mut request).unwrap();
        let reply = center.lock().unwrap().exchange(&request, signer);
        let head = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-outpost\r\ncontent-length: {}\r\n\r\n",
            reply.len()
        );
        writing.write_all(&[head.as_bytes(), &reply].concat()).unwrap();
    }
}

fn perform(agent: &Agent, request: Request) -> Value {
    crate::operations::perform(agent, request, &mut Input::empty(), &mut no_events).unwrap()
}

#[test]
fn an_agent_that_is_too_old_for_its_central_sends_its_edits_and_says_what_to_update() {
    let signer = Ed25519Signer::from_seed(&[8; 32]);
    let key = signer.public_key();
    let (center, url) = Center::start(signer);
    let mut bed = Bed::of_central(&url, key);
    let agent = bed.open().unwrap();
    // More than the first request carries.
    for number in 0..60 {
        bed.record(&agent, &format!("L{number}"), &"recorded ".repeat(400));
    }
    let journal = agent.recorder().unwrap().core().shared.identity().journal;
    center.lock().unwrap().device = Some((agent.signer.public_key(), journal));

    let result = perform(&agent, Request::Sync(SyncOptions::default()));

    assert_eq!(
        (result["outcome"].as_str(), result["sent"].as_u64(), result["stored"].as_u64()),
        (Some("failed"), Some(60), Some(0))
    );
    assert!(result["requests"].as_u64().unwrap() > 1, "{result}");
    let failure = &result["failure"];
    assert_eq!((failure["code"].as_str(), failure["exit"].as_u64()), (Some("version"), Some(5)));
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("(60 sent by it)") && message.contains("this agent is too old"), "{message}");
    assert!(failure["advice"].as_str().unwrap().starts_with("Update outpost on this device."), "{failure}");
    let status = perform(&agent, Request::Status);
    assert_eq!((status["pending"]["edits"].as_u64(), status["unjudged"].as_u64()), (Some(0), Some(60)), "{status}");
    assert_eq!(status["last_failure"]["code"], "version", "{status}");
    bed.assert_all_there(&agent);

    // Receipt and token outlive the program: what was received is not sent again.
    drop(agent);
    let agent = bed.open().unwrap();
    assert_eq!(DeviceTokens(&agent).token(), Token([center.lock().unwrap().requests; 16]));
    bed.record(&agent, "later", "recorded");
    let result = perform(&agent, Request::Sync(SyncOptions::default()));
    assert_eq!((result["sent"].as_u64(), result["requests"].as_u64()), (Some(1), Some(1)), "{result}");
    let center = center.lock().unwrap();
    assert_eq!((center.entries.len(), center.frames_twice), (61, 0));
}
