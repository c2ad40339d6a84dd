//! Swarm testing: each seed draws its own mix of faults, sizes and rates, so that rare combinations come up.

use std::collections::BTreeSet;
use std::fmt;

use crate::random::Random;

/// Faults with a stream of their own, so that the course of a seed does not hang on them: what central's people do, and what came to the
/// simulator after its first seeds were known. In how many runs of a thousand there is each, and the stream that draws it, which is
/// another one than that of forks.
const OWN_STREAMS: [(Fault, u64, u64); 26] = [
    (Fault::Modes, 500, 0x006d_6f64_6573),
    (Fault::LateStores, 500, 0x006c_6174_6521),
    (Fault::Visibility, 500, 0x0076_6973_6962),
    (Fault::TakeOver, 400, 0x0074_616b_656f),
    (Fault::Mirror, 400, 0x006d_6972_726f),
    (Fault::Wide, 40, WIDE_STREAM),
    (Fault::Patients, 400, 0x0070_6174_6965),
    (Fault::Messages, 400, 0x006d_6573_7361),
    (Fault::Merges, 400, 0x006d_6572_6765),
    (Fault::Prescribers, 300, 0x0070_7265_7363),
    (Fault::HomeTransfers, 400, 0x0068_6f6d_6573),
    (Fault::HomeMerges, 300, 0x0068_6f6d_6572),
    (Fault::Prescriptions, 300, 0x0070_7265_7374),
    (Fault::Withholding, 400, 0x0077_6974_6868),
    (Fault::Procurement, 350, 0x0070_726f_6375),
    (Fault::NewUsers, 300, 0x0075_7365_7273),
    (Fault::Homeless, 300, 0x0068_6f6d_656c),
    (Fault::Moves, 400, 0x006d_6f76_6573),
    (Fault::Tombstones, 300, 0x0074_6f6d_6273),
    (Fault::Verifies, 400, 0x0076_6572_6966),
    (Fault::Pauses, 400, 0x0070_6175_7365),
    (Fault::Deletions, 300, 0x0064_656c_6574),
    (Fault::Carries, 400, 0x0063_6172_7279),
    (Fault::Numbers, 350, 0x006e_756d_6265),
    (Fault::Proposals, 400, 0x0070_726f_706f),
    (Fault::Transfers, 350, 0x0074_7261_6e73),
];
/// The stream that draws how wide a wide world is.
const WIDE_STREAM: u64 = 0x0077_6964_6521;
/// Longest chaos in a wide world, in virtual milliseconds: it has many times the work of another.
const WIDE_CHAOS_MS_MAX: u64 = 10 * 60_000;
/// The stream that draws how much is back-filled at once.
const BACKFILL_STREAM: u64 = 0x0062_6163_6b66;
/// Of how many runs in a thousand devices and central may be copied, set back or replaced.
const FORKS_PERMILLE: u64 = 350;

/// What kind of world a run plays in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Nothing fails.
    Calm,
    /// A satellite link: 600 ms there, 30 kbit/s, and cuts.
    Edge,
    /// A link that is up for 10 s and down for 60 s.
    Cuts,
    /// Power cuts, kills and failing disks on both sides.
    Crash,
    /// All of it, with damage, forged edits and forged requests.
    Hostile,
    /// Only links fail, and then heal: what is left drains by the schedule within a bound of time. No seed draws it.
    Healing,
}

impl Profile {
    /// Every profile that a seed may draw, in the order in which a swarm goes through them.
    pub const ALL: [Profile; 5] = [Self::Calm, Self::Edge, Self::Cuts, Self::Crash, Self::Hostile];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Edge => "edge",
            Self::Cuts => "cuts",
            Self::Crash => "crash",
            Self::Hostile => "hostile",
            Self::Healing => "healing",
        }
    }

    /// The profile of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Healing]).find(|profile| profile.as_str() == word)
    }
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What can go wrong. Each can be left out by its word, which is how a failing run is made smaller.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            /// The word on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Fault::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// No connection can be made.
    NoRoute = "no-route",
    /// A connection breaks at any byte, either way.
    Cut = "cut",
    /// Central commits, and the reply is lost.
    ReplyLost = "reply-lost",
    /// The device is gone and central does not notice.
    HalfOpen = "half-open",
    /// Bytes vanish and both sides wait.
    BlackHole = "black-hole",
    /// A captive portal or proxy answers instead of central.
    Portal = "portal",
    /// A proxy sends a request twice.
    Twice = "twice",
    /// A copy of an old request arrives late.
    LateCopy = "late-copy",
    /// Bytes come a few at a time.
    Drip = "drip",
    /// A bit flips on the way.
    Garble = "garble",
    /// The device loses power at a write.
    DevicePower = "device-power",
    /// The agent is killed.
    DeviceKill = "device-kill",
    /// A write or sync of the device's disk fails.
    DeviceIo = "device-io",
    /// The device's disk is full for a while.
    DeviceFull = "device-full",
    /// A segment of the journal or a page of the local copy is damaged.
    DeviceDamage = "device-damage",
    /// The local copy is gone, the journal is not.
    LocalCopyLost = "local-copy-lost",
    /// Central loses power at a write.
    CentralPower = "central-power",
    /// Central is killed.
    CentralKill = "central-kill",
    /// A write or sync of central's disk fails.
    CentralIo = "central-io",
    /// Central's disk is full for a while.
    CentralFull = "central-full",
    /// A clock jumps: 1970, 2038, back, years off.
    Clock = "clock",
    /// A device sleeps for weeks.
    Sleep = "sleep",
    /// Somebody fetches everything anew.
    Initialise = "initialise",
    /// A device is wiped, enrolled again and initialised.
    Wipe = "wipe",
    /// Edits that central must refuse.
    ForgedEdit = "forged-edit",
    /// Lines that reach central before their headers.
    LineFirst = "line-first",
    /// Requests with forged frames, signatures or journals.
    ForgedRequest = "forged-request",
    /// Old entries are pruned from central's log.
    Prune = "prune",
    /// A device's disk is copied, and both run.
    Clone = "clone",
    /// A device's disk is put back to an older backup.
    SetBack = "set-back",
    /// Another device takes the place of one, which may be found again.
    Replace = "replace",
    /// Somebody who knows the password enrols a device of their own.
    Stranger = "stranger",
    /// Central's disk is put back to an older backup, and others write to it before its sites come.
    CentralSetBack = "central-set-back",
    /// Stores become dispensaries and cease to be, so that what their sites receive changes.
    Modes = "modes",
    /// Central gives its sites further stores while they work.
    LateStores = "late-stores",
    /// Central changes which names and stores see each other, and what hangs on them.
    Visibility = "visibility",
    /// A site writes a record of another site as one of its own store.
    TakeOver = "take-over",
    /// Central data goes to a site, the primary, and comes back, in order or at once.
    Mirror = "mirror",
    /// Sites make patients, what hangs on these, and where they are visible.
    Patients = "patients",
    /// Sites and central send each other messages and set them to processed.
    Messages = "messages",
    /// Central, or the primary, makes two items or units one, and undoes that.
    Merges = "merges",
    /// Sites make prescribers, make them visible, and these prescribe.
    Prescribers = "prescribers",
    /// Central gives patients and prescribers other home stores, in order or at once.
    HomeTransfers = "home-transfers",
    /// Patients are found to be one, and prescribers, or two again, by their sites, by central or by the primary; the last two say where
    /// patients are visible.
    HomeMerges = "home-merges",
    /// Prescriptions are written, and go where their patient is visible while the preference says so.
    Prescriptions = "prescriptions",
    /// Stores keep their transactions, or all their data, on their sites, and send them again.
    Withholding = "withholding",
    /// Sites, central and the primary write purchase orders, and procurement is centralised, kept local and entered in supervisor mode.
    Procurement = "procurement",
    /// Sites make users, some under ids that others use too, and have existing ones, which stay.
    NewUsers = "new-users",
    /// Central takes over patients without a home store, which get one by their first prescription.
    Homeless = "homeless",
    /// Stores move between sites and central, in order or at once, are sent elsewhere on the way and called back, while all sites try to
    /// write them.
    Moves = "moves",
    /// Central takes tombstones out of the lanes, so that a site that missed one reads the lane from 0.
    Tombstones = "tombstones",
    /// Sites compare what they have with central, after records were changed, lost or made there by nobody.
    Verifies = "verifies",
    /// Sites are disabled and enabled, paused and let go on while they work, are not deleted because they have stores, and changes of where
    /// stores are are rehearsed.
    Pauses = "pauses",
    /// Sites without stores come and are deleted, and their devices come all the same.
    Deletions = "deletions",
    /// Requests and answers go by stick as well: late, twice, or never. Exports are brought to devices that have little, or much.
    Carries = "carries",
    /// Sites give document numbers of their stores and of those that move.
    Numbers = "numbers",
    /// Central's people apply refused edits of stores that sites hold, and dismiss some of them.
    Proposals = "proposals",
    /// Sites send each other invoices, returns, requisitions and orders, change and delete what they sent, and work on what came.
    Transfers = "transfers",
    /// Up to forty sites with up to five stores each, instead of up to three with up to two.
    Wide = "wide",
}

impl Fault {
    /// The fault of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.as_str() == word)
    }

    /// Whether it makes two of what should be one, or an old one of it. Drawn for itself, beside what a profile has.
    pub fn is_fork(self) -> bool {
        matches!(self, Self::Clone | Self::SetBack | Self::Replace | Self::Stranger | Self::CentralSetBack)
    }

    fn has_own_stream(self) -> bool {
        OWN_STREAMS.iter().any(|(fault, _, _)| *fault == self)
    }

    /// Whether a profile may draw it.
    fn is_in(self, profile: Profile) -> bool {
        use Fault as F;
        let link = matches!(
            self,
            F::NoRoute | F::Cut | F::ReplyLost | F::HalfOpen | F::BlackHole | F::Twice | F::LateCopy | F::Drip
        );
        match profile {
            Profile::Calm => matches!(self, F::Initialise | F::LineFirst),
            Profile::Edge => link || matches!(self, F::Portal | F::Sleep | F::LineFirst),
            Profile::Cuts => matches!(self, F::ReplyLost | F::HalfOpen | F::Twice | F::Portal | F::Drip | F::LineFirst),
            Profile::Crash => {
                link || !matches!(self, F::Garble | F::DeviceDamage | F::ForgedEdit | F::ForgedRequest | F::Portal)
            }
            Profile::Hostile => true,
            Profile::Healing => link || matches!(self, F::Portal | F::LineFirst),
        }
    }
}

/// Everything that a seed draws before the run begins.
#[derive(Debug, Clone)]
pub struct Mix {
    /// The profile.
    pub profile: Profile,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// How often, in a thousand chances.
    pub fault_permille: u64,
    /// Remote sites.
    pub sites: usize,
    /// Stores of each site.
    pub stores_per_site: usize,
    /// How long things go wrong, in virtual milliseconds.
    pub chaos_ms: u64,
    /// Mean time between two bursts of edits at a site, in virtual milliseconds.
    pub burst_every_ms: u64,
    /// Groups in a burst, at most.
    pub burst_groups_max: u64,
    /// Edits in a group, at most; a few are larger.
    pub group_edits_max: u64,
    /// Bytes of the longest text in a record.
    pub text_bytes_max: u64,
    /// Time between two syncs by schedule, in milliseconds.
    pub interval_ms: u64,
    /// One way, in milliseconds.
    pub latency_ms: u64,
    /// What the link carries, in bytes a second.
    pub bytes_per_s: u64,
    /// The link is up and down by turns, in milliseconds each.
    pub up_down_ms: Option<(u64, u64)>,
    /// Entries of a journal's segment, so that small runs have several.
    pub segment_entries_max: u64,
    /// Bytes of the journal that stay although central has them.
    pub acknowledged_tail_bytes_max: u64,
    /// Entries that may wait for headers at central.
    pub waiting_entries_max: u64,
    /// Groups that central judges before it answers, at most.
    pub judged_groups_max: u64,
    /// Control rows in one reply, in bytes.
    pub control_bytes_max: usize,
    /// Rows that are back-filled for a site in one exchange.
    pub backfill_step_rows_max: u64,
    /// Records of central data to begin with.
    pub central_records: u64,
    /// Syncs of SQLite's disks do nothing.
    pub has_lying_syncs: bool,
}

impl Mix {
    /// Draws a mix for a profile. With `has_forks` it is one in which devices are copied, set back and replaced, or may be.
    pub fn draw(profile: Profile, has_forks: bool, random: &mut Random) -> Self {
        let share = *random.pick(&[300, 600, 900]);
        let is_base = |fault: &Fault| !fault.is_fork() && !fault.has_own_stream() && fault.is_in(profile);
        let base = Fault::ALL.iter().copied().filter(is_base);
        let mut faults: BTreeSet<Fault> = base.filter(|_| random.chance(share)).collect();
        // A stream of its own, so that the rest of a seed's course does not hang on it.
        let mut forks = Random::new(random.clone().number());
        if has_forks || forks.chance(FORKS_PERMILLE) {
            let forking = Fault::ALL.iter().copied().filter(|fault| fault.is_fork());
            faults.extend(forking.filter(|_| forks.chance(500)));
        }
        for (fault, permille, stream) in OWN_STREAMS {
            if Random::new(random.clone().number() ^ stream).chance(permille) {
                faults.insert(fault);
            }
        }
        if profile == Profile::Healing {
            faults.retain(|fault| fault.is_in(profile));
        }
        let mut backfill = Random::new(random.clone().number() ^ BACKFILL_STREAM);
        let backfill_step_rows_max = *backfill.pick(&[1, 2, 5, 2_000]);
        let is_edge = profile == Profile::Edge;
        Self {
            profile,
            faults,
            fault_permille: *random.pick(&[20, 60, 150, 300]),
            sites: usize::try_from(random.range(1, 3)).unwrap_or(1),
            stores_per_site: usize::try_from(random.range(1, 2)).unwrap_or(1),
            chaos_ms: *random.pick(&[5, 10, 10, 20, 20, 40, 80]) * 60_000,
            burst_every_ms: *random.pick(&[30_000, 120_000, 120_000, 400_000]),
            burst_groups_max: *random.pick(&[2, 2, 5, 15]),
            group_edits_max: *random.pick(&[1, 4, 10]),
            text_bytes_max: *random.pick(&[20, 60, 60, 2_000]),
            interval_ms: *random.pick(&[60_000, 300_000, 900_000]),
            latency_ms: if is_edge { 600 } else { *random.pick(&[1, 20, 200]) },
            bytes_per_s: if is_edge { 3_750 } else { *random.pick(&[3_750, 50_000, 1_000_000]) },
            up_down_ms: match profile {
                Profile::Cuts => Some((10_000, 60_000)),
                // One that seems gone for good, when it comes back.
                Profile::Healing => Some((60_000, *random.pick(&[60_000, 1_200_000]))),
                Profile::Calm | Profile::Edge | Profile::Crash | Profile::Hostile => None,
            },
            segment_entries_max: *random.pick(&[3, 20, 5_000]),
            acknowledged_tail_bytes_max: *random.pick(&[0, 0, 2_000, 1_000_000]),
            waiting_entries_max: *random.pick(&[3, 10_000, 10_000]),
            judged_groups_max: *random.pick(&[1, 3, 1_000_000]),
            control_bytes_max: *random.pick(&[200, 65_536]),
            backfill_step_rows_max,
            central_records: random.range(0, 40),
            has_lying_syncs: false,
        }
    }

    /// As many sites and stores as a wide world has, if this is one. After it is known what is left out.
    pub fn widen(&mut self, seed: u64) {
        if !self.has(Fault::Wide) {
            return;
        }
        let mut wide = Random::new(seed ^ WIDE_STREAM);
        self.sites = usize::try_from(wide.range(5, 40)).unwrap_or(5);
        self.stores_per_site = usize::try_from(wide.range(1, 5)).unwrap_or(1);
        self.chaos_ms = self.chaos_ms.min(WIDE_CHAOS_MS_MAX);
    }

    /// Whether something may go wrong in this way.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether it goes wrong now.
    pub fn strikes(&self, fault: Fault, random: &mut Random) -> bool {
        self.has(fault) && random.chance(self.fault_permille)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "profile={} sites={} stores_per_site={} chaos_min={} fault_permille={} faults=",
            self.profile.as_str(),
            self.sites,
            self.stores_per_site,
            self.chaos_ms / 60_000,
            self.fault_permille
        )?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(formatter, "{}{}", if index == 0 { "" } else { "," }, fault.as_str())?;
        }
        Ok(())
    }
}
