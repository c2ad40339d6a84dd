//! zstd for the trait of `protocol`: one frame a call, without magic number, checksum, content size and dictionary number,
//! because the header of the frame or page has them already (2 bytes of header and 3 a block remain).
//!
//! A context is made for each call and freed after it. It cannot outlive the previous bytes that it refers to, an idle program
//! keeps no compressor memory, and making one costs little beside loading those bytes (`docs/decisions/compression.md`).

use protocol::edge::{Codec, CodecError, Dictionary};
use protocol::limits;
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, ErrorCode, FrameFormat, ParamSwitch, Strategy};

use crate::dictionary::{BUILT_IN_LATEST, built_in};

/// Most memory of a compression context, in bytes: the budget of a device with 64 MiB.
pub const CONTEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most plain bytes that are ever packed or unpacked at once: a whole frame or page.
const PLAIN_BYTES_MAX: usize = if limits::FRAME_PLAIN_BYTES_MAX > limits::PAGE_PLAIN_BYTES_MAX {
    limits::FRAME_PLAIN_BYTES_MAX
} else {
    limits::PAGE_PLAIN_BYTES_MAX
};

/// How zstd searches for repeats, from fast to thorough; its manual describes the strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// `ZSTD_greedy`.
    Greedy,
    /// `ZSTD_lazy`.
    Lazy,
    /// `ZSTD_lazy2`.
    Lazy2,
    /// `ZSTD_btultra2`.
    Ultra2,
}

/// zstd's compression parameters, given one by one so that the memory is known; any frame unpacks without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Farthest repeat, as a power of two of bytes.
    pub window_log: u32,
    /// Entries of the chain table or binary tree, as a power of two; 4 bytes each.
    pub chain_log: u32,
    /// Entries of the hash table, as a power of two; 4 bytes each.
    pub hash_log: u32,
    /// Attempts at each position, as a power of two.
    pub search_log: u32,
    /// Shortest repeat looked for, in bytes, 3 to 7.
    pub match_bytes_min: u32,
    /// Length from which a repeat is taken without looking further, in bytes.
    pub match_bytes_enough: u32,
    /// How it searches.
    pub search: Search,
}

impl Parameters {
    /// What device and central use: half of [`CONTEXT_BYTES_MAX`] for anything the protocol allows. Stronger searches cost
    /// twelve times the time for 3 % (measured in `docs/decisions/compression.md`).
    pub const STANDARD: Parameters = Parameters {
        window_log: 19,
        chain_log: 18,
        hash_log: 18,
        search_log: 5,
        match_bytes_min: 4,
        match_bytes_enough: 16,
        search: Search::Lazy2,
    };
}

/// Packs and unpacks frames and pages. Equal input gives equal output.
#[derive(Debug)]
pub struct ZstdCodec {
    parameters: Parameters,
    context_bytes_peak: usize,
}

impl Default for ZstdCodec {
    fn default() -> Self {
        Self::new(Parameters::STANDARD)
    }
}

impl ZstdCodec {
    /// A codec that packs with these parameters.
    pub fn new(parameters: Parameters) -> Self {
        Self { parameters, context_bytes_peak: 0 }
    }

    /// Memory of the largest context that packed or unpacked so far, in bytes, without input and output.
    pub fn context_bytes_peak(&self) -> usize {
        self.context_bytes_peak
    }
}

impl Codec for ZstdCodec {
    fn compress(&mut self, dictionary: Dictionary, previous: &[u8], plain: &[u8]) -> Result<Vec<u8>, CodecError> {
        if plain.len() > PLAIN_BYTES_MAX {
            return Err(CodecError { reason: "more plain bytes than a frame or page holds" });
        }
        let prefix = prefix_of(dictionary, previous)?;
        let mut context = CCtx::try_create().ok_or(NO_MEMORY)?;
        configure(&mut context, &self.parameters).map_err(from_code)?;
        if !prefix.is_empty() {
            context.ref_prefix(prefix).map_err(from_code)?;
        }
        let mut packed = vec![0; zstd_safe::compress_bound(plain.len())];
        let written = context.compress2(packed.as_mut_slice(), plain).map_err(from_code)?;
        packed.truncate(written);
        packed.shrink_to_fit();
        self.context_bytes_peak = self.context_bytes_peak.max(context.sizeof());
        Ok(packed)
    }

    fn decompress(
        &mut self,
        dictionary: Dictionary,
        previous: &[u8],
        packed: &[u8],
        plain_bytes: usize,
    ) -> Result<Vec<u8>, CodecError> {
        if plain_bytes > PLAIN_BYTES_MAX {
            return Err(CodecError { reason: "more plain bytes than a frame or page holds" });
        }
        if announced_window(packed) > WINDOW_BYTES_MAX {
            return Err(CodecError { reason: "a larger window than a frame or page may have" });
        }
        let prefix = prefix_of(dictionary, previous)?;
        let mut context = DCtx::try_create().ok_or(NO_MEMORY)?;
        context.set_parameter(DParameter::Format(FrameFormat::Magicless)).map_err(from_code)?;
        if !prefix.is_empty() {
            context.ref_prefix(prefix).map_err(from_code)?;
        }
        // All at once into a slice of the right size: it is zstd's window, so zstd allocates none, whatever window a frame
        // announces. (The library's limit for windows only holds for its streaming calls, where it does allocate one.)
        let mut plain = vec![0; plain_bytes];
        let written = context.decompress(plain.as_mut_slice(), packed);
        self.context_bytes_peak = self.context_bytes_peak.max(context.sizeof());
        let written = written.map_err(from_code)?;
        if written != plain_bytes {
            return Err(CodecError { reason: "fewer plain bytes than announced" });
        }
        Ok(plain)
    }

    fn built_in(&self) -> Dictionary {
        Dictionary::BuiltIn(BUILT_IN_LATEST)
    }
}

/// Largest window that a frame may announce, in bytes (`docs/wire-format.md`). zstd's own limit is another one on a machine of 32 bit
/// than on one of 64, and what one takes the other must not refuse.
const WINDOW_BYTES_MAX: u64 = 1 << 21;

/// The window that a frame's head announces, in bytes (RFC 8878, 3.1.1.1.2); 0 for a head that is cut off or has none, which zstd judges.
fn announced_window(packed: &[u8]) -> u64 {
    /// The bit of a frame that is its own window.
    const IS_SINGLE_SEGMENT: u8 = 0x20;
    match *packed {
        [head, window, ..] if head & IS_SINGLE_SEGMENT == 0 => {
            let base = 1_u64 << (10 + (window >> 3));
            base + base / 8 * u64::from(window & 7)
        }
        _ => 0,
    }
}

const NO_MEMORY: CodecError = CodecError { reason: "not enough memory for a compression context" };

fn from_code(code: ErrorCode) -> CodecError {
    CodecError { reason: zstd_safe::get_error_name(code) }
}

/// The bytes that a dictionary means.
fn prefix_of(dictionary: Dictionary, previous: &[u8]) -> Result<&[u8], CodecError> {
    match dictionary {
        Dictionary::None => Ok(&[]),
        Dictionary::BuiltIn(number) => {
            built_in(number).ok_or(CodecError { reason: "a built-in dictionary that this program does not have" })
        }
        Dictionary::Previous => {
            let start = previous.len().saturating_sub(limits::DICTIONARY_BYTES_MAX);
            Ok(previous.get(start..).unwrap_or_default())
        }
    }
}

fn configure(context: &mut CCtx<'_>, parameters: &Parameters) -> Result<(), ErrorCode> {
    let strategy = match parameters.search {
        Search::Greedy => Strategy::ZSTD_greedy,
        Search::Lazy => Strategy::ZSTD_lazy,
        Search::Lazy2 => Strategy::ZSTD_lazy2,
        Search::Ultra2 => Strategy::ZSTD_btultra2,
    };
    for parameter in [
        CParameter::Format(FrameFormat::Magicless),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
        // Without this the output depends on whether the previous bytes lie directly before the plain ones in memory.
        CParameter::DeterministicRefPrefix(true),
        CParameter::WindowLog(parameters.window_log),
        CParameter::ChainLog(parameters.chain_log),
        CParameter::HashLog(parameters.hash_log),
        CParameter::SearchLog(parameters.search_log),
        CParameter::MinMatch(parameters.match_bytes_min),
        CParameter::TargetLength(parameters.match_bytes_enough),
        CParameter::Strategy(strategy),
        // Ids do not compress and texts do: a block for each kind costs less than one for both.
        CParameter::UseBlockSplitter(ParamSwitch::Enable),
    ] {
        context.set_parameter(parameter)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
