//! Measures bytes on the wire for each edit and makes built-in dictionaries (`docs/decisions/compression.md`).
#![allow(clippy::print_stdout, reason = "a command")]

mod corpus;
mod dictionary;

use std::error::Error;
use std::time::Instant;

use codec::{Parameters, Search, ZstdCodec};
use protocol::chain;
use protocol::edge::{Codec, CodecError, Dictionary};
use protocol::frame::{Run, pack};
use protocol::history::History;
use protocol::ids::{Hash, JournalId, Sequence};
use protocol::limits::{
    DICTIONARY_BYTES_MAX, FRAME_ENTRIES_MAX, FRAME_PLAIN_BYTES_TARGET_MAX, REQUEST_FRAME_BYTES_MAX,
};
use protocol::section;

const USAGE: &str = "compression backlog EDITS\ncompression few EDITS\ncompression dictionary OUT BYTES FILE...";

/// A request head with its section header, in bytes: an estimate for a site with a few scopes.
const REQUEST_HEAD_BYTES: usize = 250;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["backlog", file] => backlog(&corpus::entries(file)?),
        ["few", file] => few(&corpus::entries(file)?),
        ["dictionary", output, bytes, files @ ..] => {
            let files: Result<Vec<_>, _> = files.iter().map(|file| corpus::entries(file)).collect();
            std::fs::write(output, dictionary::make(&files?, bytes.parse()?))?;
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

/// Which dictionaries the frames may use.
#[derive(Clone, Copy)]
enum Use {
    Nothing,
    BuiltInAlways,
    /// The last so many plain bytes, and the built-in dictionary for the first frame.
    Previous(usize),
    /// All previous bytes, in requests of at most so many bytes of frames, each with a head.
    Requests(usize),
}

/// The codec under test, which sees fewer previous bytes than it could.
struct Narrowed {
    codec: ZstdCodec,
    dictionaries: Use,
}

impl Codec for Narrowed {
    fn compress(&mut self, dictionary: Dictionary, previous: &[u8], plain: &[u8]) -> Result<Vec<u8>, CodecError> {
        let bytes = match self.dictionaries {
            Use::Previous(bytes) => bytes,
            Use::Requests(_) => DICTIONARY_BYTES_MAX,
            Use::Nothing | Use::BuiltInAlways => 0,
        };
        let start = previous.len().saturating_sub(bytes);
        self.codec.compress(dictionary, previous.get(start..).unwrap_or_default(), plain)
    }

    fn decompress(&mut self, _: Dictionary, _: &[u8], _: &[u8], _: usize) -> Result<Vec<u8>, CodecError> {
        Err(CodecError { reason: "only packing is measured" })
    }

    fn built_in(&self) -> Dictionary {
        if matches!(self.dictionaries, Use::Nothing) { Dictionary::None } else { self.codec.built_in() }
    }
}

/// What sending some entries took.
struct Sent {
    bytes: usize,
    frames: usize,
    milliseconds: u128,
    context_bytes: usize,
}

/// Packs entries into frames of about `target` bytes with their sections' headers, sizing each by how well the last one packed.
#[expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
fn send(entries: &[Vec<u8>], target: usize, dictionaries: Use, parameters: Parameters) -> Result<Sent, CodecError> {
    let mut codec = Narrowed { codec: ZstdCodec::new(parameters), dictionaries };
    let mut history = History::default();
    let (mut bytes, mut frames, mut hash, mut sent) = (0, 0, Hash::NONE, 0);
    let mut request_bytes = usize::MAX;
    let mut plain_target = target * 2;
    let started = Instant::now();
    while let Some(rest) = entries.get(sent..).filter(|rest| !rest.is_empty()) {
        let mut plain_bytes = 0;
        let fitting = rest.iter().take(FRAME_ENTRIES_MAX).take_while(|entry| {
            plain_bytes += entry.len() + 2;
            plain_bytes <= plain_target.min(FRAME_PLAIN_BYTES_TARGET_MAX)
        });
        let run_entries = rest.get(..fitting.count().max(1)).unwrap_or_default();
        let first = Sequence(sent as u64 + 1);
        let before = hash;
        let chained: Vec<_> = run_entries
            .iter()
            .map(|entry| {
                hash = chain::extend(hash, entry);
                (entry.clone(), hash)
            })
            .collect();
        let run = Run { journal: JournalId([7; 16]), first, before, entries: &chained, refused: &[] };
        match dictionaries {
            Use::Nothing | Use::BuiltInAlways => history = History::default(),
            Use::Requests(most) if request_bytes.saturating_add(target) > most => {
                history = History::default();
                bytes += REQUEST_HEAD_BYTES;
                request_bytes = 0;
            }
            Use::Previous(_) | Use::Requests(_) => {}
        }
        let packed = pack(run, &history, &mut codec)?;
        history.push(&packed.plain);
        let body = packed.body;
        plain_target = plain_bytes * target / body.len();
        bytes += section::HEADER_BYTES + body.len();
        request_bytes = request_bytes.saturating_add(section::HEADER_BYTES + body.len());
        frames += 1;
        sent += run_entries.len();
    }
    let milliseconds = started.elapsed().as_millis();
    Ok(Sent { bytes, frames, milliseconds, context_bytes: codec.codec.context_bytes_peak() })
}

fn report(
    name: &str,
    entries: &[Vec<u8>],
    target: usize,
    dictionaries: Use,
    parameters: Parameters,
) -> Result<(), CodecError> {
    let sent = send(entries, target, dictionaries, parameters)?;
    println!(
        "{name:30} {target:6} {:7} B/entry {:5} frames {:6} ms {:5} KiB",
        hundredths(sent.bytes, entries.len()),
        sent.frames,
        sent.milliseconds,
        sent.context_bytes / 1024
    );
    Ok(())
}

/// A quotient with two decimal places.
fn hundredths(bytes: usize, count: usize) -> String {
    let value = (bytes * 100 + count / 2) / count;
    format!("{}.{:02}", value / 100, value % 100)
}

fn variants() -> [(&'static str, Parameters); 6] {
    let level_9 = Parameters { search_log: 4, match_bytes_min: 5, ..Parameters::STANDARD };
    [
        ("level 3", Parameters { search_log: 1, search: Search::Greedy, hash_log: 17, ..level_9 }),
        ("level 6", Parameters { search_log: 3, search: Search::Lazy, ..level_9 }),
        ("level 9", level_9),
        ("standard", Parameters::STANDARD),
        ("level 12", Parameters { search_log: 6, match_bytes_enough: 32, ..level_9 }),
        (
            "level 19",
            Parameters {
                search: Search::Ultra2,
                search_log: 7,
                match_bytes_min: 3,
                match_bytes_enough: 256,
                chain_log: 19,
                hash_log: 17,
                ..level_9
            },
        ),
    ]
}

fn backlog(entries: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let plain: usize = entries.iter().map(Vec::len).sum();
    println!("{} entries, {} plain bytes each", entries.len(), hundredths(plain, entries.len()));
    for (name, parameters) in variants() {
        // About 30 kB of plain bytes.
        report(&format!("{name}, alone"), entries, 15_000, Use::Nothing, parameters)?;
        report(&format!("{name}, built-in"), entries, 15_000, Use::BuiltInAlways, parameters)?;
        for kib in [64, 128, 256] {
            report(&format!("{name}, previous {kib} KiB"), entries, 32 * 1024, Use::Previous(kib * 1024), parameters)?;
        }
    }
    for kib in [4, 8, 16, 32] {
        let previous = Use::Previous(DICTIONARY_BYTES_MAX);
        report("standard, previous 256 KiB", entries, kib * 1024, previous, Parameters::STANDARD)?;
    }
    for kib in [REQUEST_FRAME_BYTES_MAX as usize / 1024, 512, 1024, 2048] {
        let requests = Use::Requests(kib * 1024);
        report(&format!("standard, requests of {kib} KiB"), entries, 32 * 1024, requests, Parameters::STANDARD)?;
    }
    Ok(())
}

/// 100 runs of 50 entries from everywhere, each a request of its own.
fn few(entries: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    for (name, parameters) in variants() {
        for (dictionary, dictionaries) in [("alone", Use::Nothing), ("built-in", Use::BuiltInAlways)] {
            let mut sizes = Vec::new();
            for window in 0..100 {
                let start = window * entries.len().saturating_sub(50) / 99;
                let run = entries.get(start..start + 50).ok_or("fewer than 50 entries")?;
                sizes.push(send(run, 32 * 1024, dictionaries, parameters)?.bytes + REQUEST_HEAD_BYTES);
            }
            sizes.sort_unstable();
            let figure = |size: Option<&usize>| size.map_or(String::new(), |size| hundredths(*size, 50));
            println!(
                "{name:10} {dictionary:10} B/entry: least {} middle {} mean {} most {}",
                figure(sizes.first()),
                figure(sizes.get(50)),
                hundredths(sizes.iter().sum(), 5_000),
                figure(sizes.last())
            );
        }
    }
    Ok(())
}
