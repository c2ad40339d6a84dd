//! The lines of a backup (`docs/sealed-file-format.md`, "Content of a backup").

use domain::edit::{Edit, LINE_BYTES_MAX};
use protocol::ids::{JournalId, RecordId, Sequence};
use protocol::limits::{GROUP_ENTRIES_MAX, RECORD_ID_BYTES_MAX};
use serde_json::{Value, json};

use crate::agent::{OpenBackup, line_of};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::hex;
use crate::local_copy::{ImageDigest, KeptCounts, SetAsideEntry, UnsentGroup};

/// Hexadecimal digits of three digests.
const IMAGES_DIGITS: usize = 3 * 2 * 16;
const _: () = assert!(
    GROUP_ENTRIES_MAX * (IMAGES_DIGITS + 6 * RECORD_ID_BYTES_MAX + 8) < LINE_BYTES_MAX,
    "the head of any group is a line"
);

/// What a backup says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    /// By the device's clock, in milliseconds since 1970.
    pub(super) made_at_ms: u64,
    pub(super) counts: KeptCounts,
}

/// A group as it comes out of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptGroup {
    pub(super) what: Kept,
    pub(super) edits: Vec<Edit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// Of each edit's record the digests before it, behind it, and in the end.
    Unsent {
        journal: JournalId,
        sequence: Sequence,
        recorded_at_ms: u64,
        stores: Vec<RecordId>,
        images: Vec<[ImageDigest; 3]>,
    },
    /// A record that never leaves the site.
    Staying,
    /// A refused edit.
    Refused { journal: JournalId, sequence: Sequence, recorded_at_ms: u64, code: String, reason: String },
}

pub(super) fn about_line(about: &About) -> String {
    let KeptCounts { unsent, waiting, staying, refused, refused_at_central: _ } = about.counts;
    let made_at_ms = about.made_at_ms;
    format!(
        "{{\"made_at_ms\":{made_at_ms},\"unsent\":{unsent},\"waiting\":{waiting},\"staying\":{staying},\"refused\":{refused}}}\n"
    )
}

pub(super) fn unsent_lines(group: &UnsentGroup) -> String {
    let mut images: Vec<String> = Vec::with_capacity(group.edits.len());
    for one in &group.edits {
        images.push([one.before, one.after, one.last].map(|digest| hex::text(&digest.0)).concat());
    }
    let head = head_of("unsent", group.journal, group.sequence, group.recorded_at_ms);
    let mut lines = format!("{head},\"stores\":{},\"images\":{}}}\n", json!(group.stores), json!(images));
    group.edits.iter().for_each(|one| lines += &line_of(&one.edit));
    lines + "\n"
}

/// The fields of a head that two kinds have, without its end.
fn head_of(kind: &str, journal: JournalId, sequence: Sequence, recorded_at_ms: u64) -> String {
    let sequence = sequence.0;
    format!(
        "{{\"group\":\"{kind}\",\"journal\":\"{journal}\",\"sequence\":{sequence},\"recorded_at_ms\":{recorded_at_ms}"
    )
}

pub(super) fn staying_lines(edit: &Edit) -> String {
    format!("{{\"group\":\"staying\"}}\n{}\n", line_of(edit))
}

/// Nothing of one whose data is not here.
pub(super) fn refused_lines(SetAsideEntry { about, edit }: &SetAsideEntry) -> String {
    let head = head_of("refused", about.journal, about.sequence, about.recorded_at_ms);
    let head = format!("{head},\"code\":{},\"reason\":{}}}", json!(about.code), json!(about.reason));
    edit.as_ref().map_or_else(String::new, |edit| format!("{head}\n{}\n", line_of(edit)))
}

/// Reads the lines; `line` counts them.
pub(super) struct BackupLines {
    file: OpenBackup,
    line: u64,
    about: About,
}

impl BackupLines {
    /// # Errors
    /// `backup_wrong`; those of the disk.
    pub(super) fn begin(file: OpenBackup) -> Result<Self, AgentError> {
        let none = About { made_at_ms: 0, counts: KeptCounts::default() };
        let mut lines = Self { file, line: 0, about: none };
        let first = lines.next_object()?.ok_or_else(|| lines.wrong("it is empty"))?;
        let number = |name: &str| first[name].as_u64().ok_or_else(|| lines.wrong(format_args!("{name} is no number")));
        let counts = KeptCounts {
            unsent: number("unsent")?,
            waiting: number("waiting")?,
            staying: number("staying")?,
            refused: number("refused")?,
            refused_at_central: 0,
        };
        lines.about = About { made_at_ms: number("made_at_ms")?, counts };
        Ok(lines)
    }

    /// # Errors
    /// As [`BackupLines::begin`].
    pub(super) fn rewind(self) -> Result<Self, AgentError> {
        Self::begin(self.file.rewind()?)
    }

    pub(super) fn about(&self) -> About {
        self.about
    }

    /// The next group; `None` at the end. Memory: one group.
    ///
    /// # Errors
    /// As [`BackupLines::begin`].
    pub(super) fn next_group(&mut self) -> Result<Option<KeptGroup>, AgentError> {
        let Some(head) = self.next_object()? else { return Ok(None) };
        let mut edits = Vec::new();
        loop {
            let Some(text) = self.next_line()? else { return Err(self.wrong("it ends within a group")) };
            if text.is_empty() {
                break;
            }
            if edits.len() >= GROUP_ENTRIES_MAX {
                return Err(self.wrong("its group is too large"));
            }
            edits.push(Edit::parse(&text).map_err(|error| self.wrong(error))?);
        }
        let what = kept_of(&head, edits.len()).ok_or_else(|| self.wrong("the head of its group is not understood"))?;
        Ok(Some(KeptGroup { what, edits }))
    }

    fn next_object(&mut self) -> Result<Option<Value>, AgentError> {
        let Some(text) = self.next_line()? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| self.wrong(error))
    }

    fn next_line(&mut self) -> Result<Option<String>, AgentError> {
        let mut bytes = self.file.next_line(LINE_BYTES_MAX as u64 + 1)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if bytes.pop() != Some(b'\n') {
            return Err(self.wrong("it is too long, or has no end"));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| self.wrong(error))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> AgentError {
        let message = format!("line {} of the backup is not understood: {what}", self.line);
        let advice = "Use the program that wrote it, or a newer one. Nothing was changed.";
        AgentError::new("backup_wrong", message, advice, Exit::Refused)
    }
}

fn kept_of(head: &Value, edits: usize) -> Option<Kept> {
    let number = |name: &str| head[name].as_u64();
    let text = |name: &str| head[name].as_str();
    let journal = || Some(JournalId(hex::array(text("journal")?)?));
    match text("group")? {
        "unsent" => {
            let images: Vec<_> = head["images"].as_array()?.iter().map(digests_of).collect::<Option<_>>()?;
            let stores = head["stores"].as_array()?.iter().map(|store| RecordId::new(store.as_str()?).ok());
            let stores = stores.collect::<Option<_>>()?;
            let (sequence, recorded_at_ms) = (Sequence(number("sequence")?), number("recorded_at_ms")?);
            (images.len() == edits && edits > 0).then_some(Kept::Unsent {
                journal: journal()?,
                sequence,
                recorded_at_ms,
                stores,
                images,
            })
        }
        "staying" if edits == 1 => Some(Kept::Staying),
        "refused" if edits == 1 => Some(Kept::Refused {
            journal: journal()?,
            sequence: Sequence(number("sequence")?),
            recorded_at_ms: number("recorded_at_ms")?,
            code: text("code")?.to_owned(),
            reason: text("reason")?.to_owned(),
        }),
        _ => None,
    }
}

fn digests_of(text: &Value) -> Option<[ImageDigest; 3]> {
    let digits: [u8; IMAGES_DIGITS / 2] = hex::array(text.as_str()?)?;
    let (before, rest) = digits.split_first_chunk::<16>()?;
    let (after, rest) = rest.split_first_chunk::<16>()?;
    let (last, _) = rest.split_first_chunk::<16>()?;
    Some([*before, *after, *last].map(ImageDigest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_copy::UnsentEdit;
    use domain::edit::EditOp;

    fn edit(id: &str) -> Edit {
        let data = Some(format!("{{\"ID\":\"{id}\",\"price\":12.30}}"));
        Edit { table: "item".to_owned(), op: EditOp::Patch, id: RecordId::new(id).unwrap(), data }
    }

    #[test]
    fn a_group_comes_back_and_a_head_that_does_not_fit_its_edits_is_not_understood() {
        let [before, after, last] = [0, 1, 2].map(|byte| ImageDigest([byte; 16]));
        let edits = ["a", "b"].map(|id| UnsentEdit { edit: edit(id), before, after, last });
        let group = UnsentGroup {
            journal: JournalId([7; 16]),
            sequence: Sequence(12),
            recorded_at_ms: 5,
            stores: vec!["S".to_owned()],
            edits: edits.to_vec(),
        };

        let text = unsent_lines(&group);

        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[3]), (4, ""));
        let read = [lines[1], lines[2]].map(|line| Edit::parse(line).unwrap());
        assert_eq!(read, ["a", "b"].map(edit));
        let head: Value = serde_json::from_str(lines[0]).unwrap();
        let (journal, sequence, recorded_at_ms) = (group.journal, group.sequence, 5);
        let (stores, images) = (vec![RecordId::new("S").unwrap()], vec![[before, after, last]; 2]);
        assert_eq!(kept_of(&head, 2), Some(Kept::Unsent { journal, sequence, recorded_at_ms, stores, images }));
        assert_eq!(kept_of(&head, 3), None);
        for name in ["group", "journal", "sequence", "images", "stores"] {
            let mut other = head.clone();
            other[name] = json!("something else");
            assert_eq!(kept_of(&other, 2), None, "{name}");
        }
        let staying = staying_lines(&edit("a"));
        let head: Value = serde_json::from_str(staying.lines().next().unwrap()).unwrap();
        assert_eq!((kept_of(&head, 1), kept_of(&head, 2)), (Some(Kept::Staying), None));
    }
}
