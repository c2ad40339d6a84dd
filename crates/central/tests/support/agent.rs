//! The smallest agent: a journal in memory, the protocol's session machine, the real codec and keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use domain::catalogue::Catalogue;
use domain::json::row_from_json;
use protocol::chain;
use protocol::check;
use protocol::control::Control;
use protocol::edge::Signer as _;
use protocol::entry::{Entry, Operation};
use protocol::hardware::{HardwareId, HardwareKind, HardwareSource};
use protocol::ids::{
    ControlNumber, CredentialGeneration, Hash, JournalId, OwnershipNumber, PublicKey, RecordId, ScopeId, Sequence,
    SiteId, Token,
};
use protocol::message::{Cursor, RequestHead, ScopeCursor};
use protocol::news::{self, Question};
use protocol::section::Binding;
use protocol::session::{Input, Link, Outcome, Output, Session, Start, Tools};
use protocol::versions::Dialect;

use super::folder::PASSWORD;
use super::http::{HttpReply, post};

/// Carries a request: the reply's bytes, or how it failed.
pub(crate) type Exchange<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, String> + 'a;

/// See the module.
pub(crate) struct Agent {
    pub(crate) site: SiteId,
    pub(crate) central: PublicKey,
    pub(crate) signer: Ed25519Signer,
    journal: JournalId,
    entries: Vec<(Vec<u8>, Hash)>,
    pub(crate) received: Sequence,
    token: Token,
    control: ControlNumber,
    pub(crate) controls: Vec<Control>,
    cursors: BTreeMap<ScopeId, Cursor>,
    /// Records by id, as pages brought them.
    pub(crate) records: BTreeMap<String, bool>,
    link: Link,
    /// Central's head at the last reply.
    through: Cursor,
    /// Which release it stands in for.
    pub(crate) dialect: Dialect,
}

/// The body of an enrolment, on the hardware of number 1.
pub(crate) fn enrolment(name: &str, password: &str, seed: u8, journal: u8) -> String {
    enrolment_on(1, name, password, seed, journal)
}

/// The body of an enrolment on some hardware; number 0 has no serial number.
pub(crate) fn enrolment_on(hardware: u8, name: &str, password: &str, seed: u8, journal: u8) -> String {
    let sources = [HardwareKind::SocSerial, HardwareKind::BoardSerial, HardwareKind::MachineId];
    let sources = sources.into_iter().filter(|_| hardware > 0);
    let sources = sources.map(|kind| HardwareSource { kind, digest: [hardware; 16] }).collect();
    let hardware = central::hex::to_hex(&HardwareId::new(sources).unwrap().encode());
    let key = Ed25519Signer::from_seed(&[seed; 32]).public_key();
    let journal = JournalId([journal; 16]);
    format!(
        r#"{{"name":"{name}","password":"{password}","public_key":"{key}","journal":"{journal}","type":"standalone","hardware":"{hardware}"}}"#
    )
}

impl Agent {
    /// Enrols a device whose key and journal come from a number.
    pub(crate) fn enrol(address: SocketAddr, name: &str, seed: u8) -> Self {
        let reply = post(address, "/enrol/v1", enrolment(name, PASSWORD, seed, seed).as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        let reply = reply.json();
        let key = central::hex::from_hex(reply["central_key"].as_str().unwrap()).unwrap();
        Self {
            site: SiteId(u32::try_from(reply["site_id"].as_u64().unwrap()).unwrap()),
            central: PublicKey(key),
            signer: Ed25519Signer::from_seed(&[seed; 32]),
            journal: JournalId([seed; 16]),
            entries: Vec::new(),
            received: Sequence::ZERO,
            token: Token::NONE,
            control: ControlNumber(0),
            controls: Vec::new(),
            cursors: BTreeMap::new(),
            records: BTreeMap::new(),
            link: Link::default(),
            through: Cursor::default(),
            dialect: Dialect::default(),
        }
    }

    /// Another device with everything that this one has.
    pub(crate) fn copy(&self) -> Self {
        Self {
            central: self.central,
            signer: Ed25519Signer::from_seed(&self.signer.seed()),
            entries: self.entries.clone(),
            controls: self.controls.clone(),
            cursors: self.cursors.clone(),
            records: self.records.clone(),
            dialect: self.dialect.clone(),
            ..*self
        }
    }

    /// Journals a stock location of a store, a group of its own.
    pub(crate) fn record_location(&mut self, id: &str, store: &str) {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name("Location").unwrap();
        let record = RecordId::new(id).unwrap();
        let data = format!(r#"{{"ID":"{id}","code":"{id}","store_ID":"{store}"}}"#);
        let row = row_from_json(table, &record, &data).unwrap();
        let entry = Entry {
            is_group_end: true,
            ownership: OwnershipNumber(1),
            table: table.reference().clone(),
            record,
            operation: Operation::Put(row),
        };
        let bytes = entry.encode();
        let hash = chain::extend(self.hash_at(self.head()), &bytes);
        self.entries.push((bytes, hash));
    }

    /// One session; each request is carried by `exchange`, which gives the reply's bytes or says how it failed.
    pub(crate) fn session(&mut self, exchange: &mut Exchange<'_>) -> Outcome {
        let mut codec = ZstdCodec::default();
        let signer = Ed25519Signer::from_seed(&self.signer.seed());
        let mut tools = Tools { codec: &mut codec, signer: &signer, verifier: &Ed25519Verifier };
        let mut session = Session::begin_in(self.start(), self.dialect.clone(), &mut tools);
        let mut reply: Option<Result<Vec<u8>, String>> = None;
        loop {
            let Some(output) = session.output() else {
                match reply.take().expect("the session asks for something") {
                    Ok(bytes) if bytes.is_empty() => session.input(Input::ReplyEnd, &mut tools),
                    Ok(bytes) => {
                        session.input(Input::Reply(&bytes), &mut tools);
                        reply = Some(Ok(Vec::new()));
                    }
                    Err(reason) => session.input(Input::ExchangeFailed(&reason), &mut tools),
                }
                continue;
            };
            match output {
                Output::ReadJournal { after, through, bytes_max } => {
                    let range = usize::try_from(after.0).unwrap()..usize::try_from(through.0).unwrap();
                    let mut bytes = 0;
                    let entries = self.entries[range].iter().take_while(|entry| {
                        let is_first = bytes == 0;
                        bytes += entry.0.len();
                        is_first || bytes <= bytes_max
                    });
                    let entries = entries.cloned().collect();
                    session.input(
                        Input::Entries { before: self.hash_at(after), entries, refused: Vec::new() },
                        &mut tools,
                    );
                }
                Output::Exchange(request) => reply = Some(exchange(&request)),
                Output::ReadHash { sequence } => {
                    session.input(Input::HashRead(Some(self.hash_at(sequence))), &mut tools);
                }
                Output::StoreReply(head) => {
                    assert!(head.received >= self.received, "what was acknowledged stays so");
                    self.received = head.received;
                    self.token = head.token;
                    self.control = head.control.last().map_or(self.control, |row| row.number);
                    self.controls.extend(head.control.iter().map(|row| Control::of(row).unwrap()));
                    session.input(Input::Stored, &mut tools);
                }
                Output::StoreReceipt(receipt) => {
                    assert!(receipt.received >= self.received, "what was acknowledged stays so");
                    (self.received, self.token) = (receipt.received, receipt.token);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePage(page) => {
                    for row in page.rows {
                        self.records.insert(row.record.to_string(), row.row.is_some());
                    }
                    self.cursors.insert(page.scope, page.cursor);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePart(_) => panic!("the records of these tests are small"),
                Output::Finished(outcome) => {
                    self.link = outcome.link;
                    self.through = session.through().unwrap_or(self.through);
                    return outcome;
                }
            }
        }
    }

    /// One session with a server.
    pub(crate) fn sync(&mut self, address: SocketAddr) -> Outcome {
        self.session(&mut |request| match post(address, "/sync/v1", request) {
            Some(reply) => Ok(reply.body),
            None => Err("cut".to_owned()),
        })
    }

    /// A session that comes to its end.
    #[track_caller]
    pub(crate) fn sync_whole(&mut self, address: SocketAddr) {
        let outcome = self.sync(address);
        assert_eq!(outcome.failure, None);
        assert_eq!(self.received, self.head());
    }

    /// The bytes of the first request of a session.
    pub(crate) fn request(&mut self) -> Vec<u8> {
        let mut first = None;
        self.session(&mut |request| {
            first.get_or_insert_with(|| request.to_vec());
            Err("only the request was wanted".to_owned())
        });
        self.link = Link::default();
        first.unwrap()
    }

    /// A question for news, and what its answer is bound to.
    pub(crate) fn question(&self, wait_s: u16) -> (Vec<u8>, Binding) {
        let salt = crate::support::fresh_salt();
        let head = check::head(self.site, self.journal, CredentialGeneration(1), salt[..8].try_into().unwrap());
        let head = RequestHead { token: self.token, control: self.control, ..head };
        news::ask(&Question { head, through: self.through, wait_s }, self.central, &self.signer)
    }

    /// Sends the first request of a session, and gives the plain reply.
    pub(crate) fn post_request(&mut self, address: SocketAddr) -> HttpReply {
        let request = self.request();
        post(address, "/sync/v1", &request).unwrap()
    }

    pub(crate) fn head(&self) -> Sequence {
        Sequence(self.entries.len() as u64)
    }

    pub(crate) fn head_hash(&self) -> Hash {
        self.hash_at(self.head())
    }

    fn hash_at(&self, sequence: Sequence) -> Hash {
        match usize::try_from(sequence.0).unwrap().checked_sub(1) {
            None => chain::genesis(self.site, self.journal, None),
            Some(index) => self.entries[index].1,
        }
    }

    fn start(&self) -> Start {
        let cursors = self.cursors.iter();
        Start {
            site: self.site,
            central: self.central,
            token: self.token,
            salt: crate::support::fresh_salt(),
            generation: CredentialGeneration(1),
            journal: self.journal,
            predecessor: None,
            head: self.head(),
            head_hash: self.hash_at(self.head()),
            received: self.received,
            is_unsure: false,
            control: self.control,
            cursors: cursors.map(|(scope, cursor)| ScopeCursor { scope: scope.clone(), cursor: *cursor }).collect(),
            heard: None,
            claims: protocol::control::Claims::default(),
            page_part: None,
            frame_part: None,
            link: self.link,
        }
    }
}
