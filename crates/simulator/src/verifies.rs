//! Sites that compare what they have with central, and what no session explains planted before it.

use codec::{Ed25519Verifier, ZstdCodec};
use domain::scope::Scope;
use outpost::error::AgentError;
use outpost::exit::Exit;
use outpost::local_copy::LocalCopyError;
use outpost::verifying::Asker;
use protocol::ids::{Position, RecordId};
use protocol::page::PageRow;
use protocol::section::Binding;
use protocol::session::Page;
use protocol::verify::{self, Answer, Outcome};

use crate::centre::Centre;
use crate::mix::{Fault, Profile};
use crate::model::{Key, Violation, violation};
use crate::world::World;

/// How often a site compares when a session has drained everything, in a thousand.
const VERIFY_PERMILLE: u64 = 120;

/// Central, asked without a network: what is on its way is the sessions' story.
struct AtCentre<'a> {
    centre: &'a mut Centre,
    codec: ZstdCodec,
    wall_ms: u64,
}

impl Asker for AtCentre<'_> {
    fn ask(&mut self, question: &[u8], binding: &Binding) -> Result<Answer, AgentError> {
        let answer = self.centre.answer_comparison(question, self.wall_ms, &mut self.codec);
        let lost = || AgentError::new("offline", "central is not there", "", Exit::Offline);
        let answer = answer.ok_or_else(lost)?;
        verify::read_answer(&answer, binding, &Ed25519Verifier)
            .map_err(|error| AgentError::new("not_central", error.to_string(), "", Exit::Offline))
    }
}

/// What no session explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    /// A record is gone.
    Lost,
    /// A record reads otherwise.
    Changed,
    /// There is a record that nobody made.
    Made,
}

impl World {
    /// A site that has drained everything compares: only what was planted before differs, and is mended.
    pub(crate) fn verify_at_times(&mut self, index: usize) -> Result<(), Violation> {
        if !self.mix.has(Fault::Verifies) || !self.random.chance(VERIFY_PERMILLE) || !self.may_compare(index) {
            return Ok(());
        }
        let Some(before) = self.compare_unless_refused(index)? else { return Ok(()) };
        self.note(format_args!("device {index} compares: {before:?}"));
        if !self.mix.has(Fault::LineFirst) && before.sent_again + before.pulled + before.let_go > 0 {
            return violation("10", format!("device {index} has drained everything and differs: {before:?}"));
        }
        let Some((plant, key)) = self.plant(index)? else { return Ok(()) };
        let Some(after) = self.compare_unless_refused(index)? else {
            return violation("10", format!("device {index} could compare, and cannot once more"));
        };
        self.note(format_args!("device {index} compares after {plant:?} {key:?}: {after:?}"));
        let expected = match plant {
            Plant::Lost => (1, 0, 0),
            Plant::Changed => (1, 1, 0),
            Plant::Made => (0, 1, 1),
        };
        if (after.pulled, after.set_aside, after.let_go) != expected || after.sent_again > 0 {
            return violation("10", format!("device {index} mends {plant:?} {key:?} by {after:?}"));
        }
        self.check_view(index, true)
    }

    /// Whether nothing is at fault with which a comparison could end in the middle, and nobody is two.
    fn may_compare(&mut self, index: usize) -> bool {
        let has_whole_disks = matches!(self.mix.profile, Profile::Calm | Profile::Edge | Profile::Cuts);
        let is_one = self.counts.forks == 0 && !self.mix.faults.iter().any(|fault| fault.is_fork());
        let is_up = self.devices.get(index).is_some_and(|device| device.live.is_some() && !device.is_off());
        has_whole_disks && is_one && is_up && self.centre.live.is_some()
    }

    fn compare_unless_refused(&mut self, index: usize) -> Result<Option<Outcome>, Violation> {
        match self.compare_once(index) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(error) if matches!(error.code.as_str(), "not_drained" | "other_scope" | "reading_anew") => Ok(None),
            Err(error) => violation("10", format!("device {index} cannot compare: {} {}", error.code, error.message)),
        }
    }

    /// Changes what a device has of central data, past everything that looks after it.
    fn plant(&mut self, index: usize) -> Result<Option<(Plant, Key)>, Violation> {
        let plant = *self.random.pick(&[Plant::Lost, Plant::Changed, Plant::Made]);
        let catalogue = std::sync::Arc::clone(self.devices[index].catalogue());
        let mut core = self.devices[index].live().recorder.core();
        let scope = Scope::AllSites.to_id();
        let state = core.local.session_state().or_else(|error| failed(index, &error))?;
        let is_primary = core.local.grants().or_else(|error| failed(index, &error))?;
        let is_primary = is_primary.iter().any(|(store, _)| store == domain::authority::CENTRAL_DATA);
        let Some(read) = state.cursors.iter().find(|read| read.scope == scope).filter(|_| !is_primary) else {
            return Ok(None);
        };
        let Ok(unit) = catalogue.table_by_name("unit") else { return Ok(None) };
        let listing = core
            .local
            .list(unit, None, domain::merge::Merged::Listed, None, 100)
            .or_else(|error| failed(index, &error))?;
        let records = listing.items.iter().filter(|item| item.state.as_str() == "central").collect::<Vec<_>>();
        if records.is_empty() {
            return Ok(None);
        }
        let found = records[self.random.index(records.len())];
        let id = if plant == Plant::Made { "made-by-nobody" } else { found.id.as_str() };
        let id = RecordId::new(id).expect("it is short");
        let changed = domain::json::row_from_json(unit, &id, "{\"units\":\"changed by nobody\"}");
        let row = if plant == Plant::Lost { None } else { changed.ok() };
        // Whatever stands there gives way to it, and it gives way to central's all the same.
        let position = Position(1 << 40);
        let row = PageRow { table: unit.reference().clone(), record: id.clone(), position, row };
        let page = Page { scope, cursor: read.cursor, is_drained: false, rows: vec![row] };
        core.local.store_page(&page).or_else(|error| failed(index, &error))?;
        drop(core);
        let key = ("unit".to_owned(), id.as_str().to_owned());
        self.note(format_args!("device {index} has {plant:?} {key:?}"));
        Ok(Some((plant, key)))
    }

    /// A device compares once. `None` if it could not, which is no surprise while something is at fault.
    fn compare_once(&mut self, index: usize) -> Result<Outcome, AgentError> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let mut asker = AtCentre { centre: &mut self.centre, codec: ZstdCodec::default(), wall_ms };
        let device = self.devices.get_mut(index).expect("the caller has it");
        device.verify(&mut self.codec, &mut asker)
    }

    /// At rest nothing differs, and a comparison changes nothing.
    pub(crate) fn check_compared(&mut self, index: usize) -> Result<(), Violation> {
        let outcome = match self.compare_once(index) {
            Ok(outcome) => outcome,
            Err(error) => {
                return violation(
                    "10",
                    format!("device {index} cannot compare at rest: {} {}", error.code, error.message),
                );
            }
        };
        // A line that somebody forges before its header may be noted in a scope that it is not of.
        if outcome.is_whole || self.mix.has(Fault::LineFirst) {
            return Ok(());
        }
        // What a copied device kept hides what the other one has sent: it differs, and is left alone.
        let is_left = outcome.left_alone > 0
            && (outcome.sent_again, outcome.pulled, outcome.set_aside, outcome.let_go) == (0, 0, 0, 0);
        if is_left && self.mix.has(Fault::Withholding) && self.counts.forks > 0 {
            return Ok(());
        }
        violation("10", format!("device {index} differs from central at rest: {outcome:?}"))
    }
}

fn failed<T>(index: usize, error: &LocalCopyError) -> Result<T, Violation> {
    violation("10", format!("device {index}: {error}"))
}
