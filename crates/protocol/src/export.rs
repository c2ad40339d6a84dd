//! A site's records in a file: everything that the site shall have, each scope read from its beginning, signed by central for this site
//! (`docs/wire-format.md`, "Export"). Its sections are of their own kinds, so that none ever passes for one of a reply: an export answers no
//! request, gives no token, and says nothing of receipts, verdicts and grants.
//!
//! [`Import`] is the device's half, sans-I/O: feed bytes, then take steps until it wants more.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::chain::hash_of;
use crate::edge::{Codec, Verifier};
use crate::frame::FrameError;
use crate::history::History;
use crate::ids::{Epoch, Hash, Position, PublicKey, SiteId};
use crate::limits;
use crate::message::{self, MessageError};
use crate::page::{self, PageHeader};
use crate::section::{Binding, Kind, Sealed, SectionError, SectionReader};
use crate::session::Page;

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHead {
    /// 0.
    pub version: u8,
    /// Whose.
    pub site: SiteId,
    /// Random: each export has a head of its own.
    pub id: [u8; 16],
    /// Central's epoch when it began.
    pub epoch: Epoch,
    /// Central's head when it began.
    pub position: Position,
    /// Rows that waited for the site then, from the beginning of each lane; what is written meanwhile may come on top.
    pub rows: u64,
}

/// The edges that an import needs.
pub struct Tools<'a> {
    /// Unpacks.
    pub codec: &'a mut dyn Codec,
    /// Checks central's signatures.
    pub verifier: &'a dyn Verifier,
}

/// What an import found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Its head.
    Head(ExportHead),
    /// The next page.
    Page(Page),
}

/// An export that cannot be used from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportError {
    /// It is not of this site's central, not of this site, or altered.
    Section(SectionError),
    /// A head breaks the format.
    Message(MessageError),
    /// A page cannot be unpacked.
    Page(FrameError),
    /// Something stands where it may not.
    Rule(&'static str),
}

impl fmt::Display for ExportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(error) => {
                write!(formatter, "the export is not of this site's central for this site: {error}")
            }
            Self::Message(error) => write!(formatter, "the export is not right: {error}"),
            Self::Page(error) => write!(formatter, "a page of the export is not right: {error}"),
            Self::Rule(rule) => write!(formatter, "the export breaks a rule: {rule}"),
        }
    }
}

impl core::error::Error for ExportError {}

/// Takes an export apart.
#[derive(Debug)]
pub struct Import {
    central: PublicKey,
    site: SiteId,
    reader: SectionReader,
    history: History,
    head: Option<Hash>,
    pages: u32,
    /// Whether it is complete, once its last page has come.
    last: Option<bool>,
}

impl Import {
    /// Waits for an export that this central made for this site.
    pub fn new(central: PublicKey, site: SiteId) -> Self {
        let (reader, history) = (SectionReader::default(), History::default());
        Self { central, site, reader, history, head: None, pages: 0, last: None }
    }

    /// Adds bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes);
    }

    /// The next step, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`ExportError`]: nothing more may be taken from it.
    pub fn step(&mut self, tools: &mut Tools<'_>) -> Result<Option<Step>, ExportError> {
        let Some(sealed) = self.reader.next_section().map_err(ExportError::Section)? else { return Ok(None) };
        match (sealed.kind(), self.head, self.last) {
            (Kind::ExportHead, None, _) => self.open_head(&sealed, tools).map(Some),
            (Kind::ExportPage, Some(head), None) => self.open_page(&sealed, head, tools).map(Some),
            _ => Err(ExportError::Rule("a section stands where none of its kind may")),
        }
    }

    /// The file is over: whether every lane was read to its end.
    ///
    /// # Errors
    /// [`ExportError::Rule`] if it ended early.
    pub fn end(&self) -> Result<bool, ExportError> {
        match self.last {
            Some(is_complete) if !self.reader.holds_rest() => Ok(is_complete),
            _ => Err(ExportError::Rule("it ended before its last page")),
        }
    }

    fn open_head(&mut self, sealed: &Sealed, tools: &Tools<'_>) -> Result<Step, ExportError> {
        let binding = Binding { central: self.central, site: self.site, context: Hash::NONE };
        let body = sealed.open(&binding, &self.central, tools.verifier).map_err(ExportError::Section)?;
        let head: ExportHead = message::decode(body).map_err(ExportError::Message)?;
        if head.site != self.site {
            return Err(ExportError::Rule("its head names another site than it is signed for"));
        }
        self.head = Some(hash_of(body));
        Ok(Step::Head(head))
    }

    fn open_page(&mut self, sealed: &Sealed, head: Hash, tools: &mut Tools<'_>) -> Result<Step, ExportError> {
        let binding = Binding { central: self.central, site: self.site, context: head };
        let body = sealed.open(&binding, &self.central, tools.verifier).map_err(ExportError::Section)?;
        let (header, packed) = page::read_header(body).map_err(ExportError::Message)?;
        self.check_header(&header)?;
        self.pages += 1;
        self.last = header.is_last.then_some(header.is_complete);
        let rows = page::unpack_rows(&header, packed, &mut self.history, tools.codec).map_err(ExportError::Page)?;
        let PageHeader { scope, cursor, is_drained, .. } = header;
        Ok(Step::Page(Page { scope, cursor, is_drained, rows }))
    }

    fn check_header(&self, header: &PageHeader) -> Result<(), ExportError> {
        if header.index != self.pages {
            return Err(ExportError::Rule("pages are not in order"));
        }
        if header.part.is_some() {
            return Err(ExportError::Rule("a page comes in parts"));
        }
        if header.cursor.number.0.max(header.cursor.began.0) > limits::NUMBER_MAX {
            return Err(ExportError::Rule("a number is above limits::NUMBER_MAX"));
        }
        Ok(())
    }
}
