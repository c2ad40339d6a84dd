//! Connections: how bytes get from a device to central and back, and everything that can happen to them on the way.

use outpost::error::AgentError;
use outpost::exit::Exit;
use outpost::sync_runner::ExchangeFailure;

use crate::centre::Said;
use crate::device::Step;
use crate::mix::Fault;
use crate::model::Violation;
use crate::world::{Event, World};

/// How long a device waits for bytes, in milliseconds.
pub(crate) const DEVICE_IDLE_MS: u64 = 60_000;
/// How long central waits for a device that is silent, in milliseconds.
const CENTRAL_IDLE_MS: u64 = 120_000;
/// Copies of old requests that are kept to come late.
const OLD_REQUESTS_KEPT: usize = 4;
/// How often, in a thousand pages, an agent is killed behind one in runs with transfers.
const KILLS_BEHIND_PAGE_PERMILLE: u64 = 60;
/// Pieces that a request or a part of a reply comes in, at most.
const PIECES_MAX: usize = 40;

/// One connection, for one exchange.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The device, by index.
    device: usize,
    /// The device's life in which it was made.
    life: u64,
    /// The request breaks off before this byte.
    request_cut: Option<usize>,
    /// The reply breaks off before this byte.
    reply_cut: Option<usize>,
    /// Nobody is told of a break.
    is_silent: bool,
    /// Central is not told of a break.
    is_half_open: bool,
    /// A bit of the reply flips here.
    reply_flip: Option<usize>,
    /// Bytes come in pieces of this size.
    piece_bytes: usize,
    /// Nobody listens for the reply.
    is_ghost: bool,
    /// When the last byte of the reply arrives.
    reply_at_ms: u64,
    reply_bytes: usize,
    is_cut: bool,
    progress: u64,
}

impl World {
    /// A device sends a request.
    pub(crate) fn send_request(&mut self, index: usize, request: Vec<u8>) -> Result<(), Violation> {
        self.check_request(index, &request)?;
        let connection = self.new_connection(index, &request);
        if let Some(underway) = self.devices.get_mut(index).and_then(|device| device.live_mut().session.as_mut()) {
            underway.connection = connection;
        }
        self.note(format_args!("device {index} sends {} B on #{connection}", request.len()));
        let round_trip_ms = 2 * self.mix.latency_ms;
        if !self.is_link_up(self.now_ms) || self.strikes(Fault::NoRoute) {
            self.after(round_trip_ms, Event::DeviceCut(connection, "connect_failed"));
            return Ok(());
        }
        if self.strikes(Fault::Portal) {
            self.portal(connection, round_trip_ms);
            return Ok(());
        }
        if self.strikes(Fault::LateCopy) && !self.old_requests.is_empty() {
            let number = self.random.index(self.old_requests.len());
            let old = self.old_requests.remove(number);
            self.send_ghost(index, &old);
        }
        let mut request = request;
        if self.has_in_store(Fault::LateCopy) {
            if self.old_requests.len() >= OLD_REQUESTS_KEPT {
                self.old_requests.remove(0);
            }
            self.old_requests.push(request.clone());
        }
        if self.strikes(Fault::Twice) {
            self.send_ghost(index, &request);
        }
        if self.strikes(Fault::Garble) && !request.is_empty() {
            let at = self.random.index(request.len());
            let bit = self.random.below(8);
            if let Some(byte) = request.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        self.after(DEVICE_IDLE_MS, Event::DeviceIdle(connection, 0));
        self.carry_request(connection, &request);
        Ok(())
    }

    /// What a captive portal says.
    fn portal(&mut self, connection: u64, wait_ms: u64) {
        self.note(format_args!("a portal answers #{connection}"));
        if self.random.chance(500) {
            self.after(wait_ms, Event::DeviceCut(connection, "not_central"));
            return;
        }
        // One that lies about the content type too.
        self.after(
            wait_ms,
            Event::ToDevice(connection, Some(b"<html>Please log in to use the internet</html>".to_vec())),
        );
        self.after(wait_ms, Event::ToDevice(connection, None));
    }

    /// A request that comes again, and whose reply nobody reads.
    fn send_ghost(&mut self, index: usize, request: &[u8]) {
        let ghost = self.new_connection(index, request);
        self.note(format_args!("a copy of a request goes out as #{ghost}"));
        if let Some(ghost) = self.connections.get_mut(&ghost) {
            ghost.is_ghost = true;
        }
        let wait_ms = self.random.below(30_000);
        self.last_connection += 1;
        let carry_at_ms = self.now_ms + wait_ms;
        self.carry_request_at(ghost, request, carry_at_ms);
    }

    fn new_connection(&mut self, index: usize, request: &[u8]) -> u64 {
        self.last_connection += 1;
        let is_cut = self.strikes(Fault::Cut);
        let request_cut = (is_cut && self.random.chance(500)).then(|| self.random.index(request.len() + 1));
        let reply_cut = (is_cut && request_cut.is_none()).then(|| self.random.index(20_000));
        let reply_cut = if self.strikes(Fault::ReplyLost) { Some(0) } else { reply_cut };
        let is_silent = self.strikes(Fault::BlackHole);
        let reply_cut = if is_silent && request_cut.is_none() { Some(self.random.index(3_000)) } else { reply_cut };
        let is_dripping = self.strikes(Fault::Drip);
        let connection = Connection {
            device: index,
            life: self.devices.get(index).map_or(0, |device| device.life),
            request_cut,
            reply_cut,
            is_silent,
            is_half_open: self.strikes(Fault::HalfOpen),
            reply_flip: self.strikes(Fault::Garble).then(|| self.random.index(5_000)),
            piece_bytes: if is_dripping { self.random.index(60) + 1 } else { self.random.index(16_000) + 200 },
            is_ghost: false,
            reply_at_ms: 0,
            reply_bytes: 0,
            is_cut: false,
            progress: 0,
        };
        self.connections.insert(self.last_connection, connection);
        self.last_connection
    }

    fn carry_request(&mut self, connection: u64, request: &[u8]) {
        self.carry_request_at(connection, request, self.now_ms);
    }

    fn carry_request_at(&mut self, connection: u64, request: &[u8], from_ms: u64) {
        let Some(line) = self.connections.get(&connection).cloned() else { return };
        let piece_bytes = line.piece_bytes.max(request.len() / PIECES_MAX + 1);
        let mut sent = 0;
        for piece in request.chunks(piece_bytes) {
            sent += piece.len();
            let at_ms = from_ms + self.mix.latency_ms + self.transfer_ms(sent);
            let cut = line.request_cut.filter(|cut| *cut < sent);
            if cut.is_some() || !self.is_link_up(at_ms) {
                let left = cut.map_or(0, |cut| piece.len() - (sent - cut).min(piece.len()));
                if left > 0 {
                    self.at(at_ms, Event::ToCentral(connection, piece.get(..left).map(<[u8]>::to_vec)));
                }
                self.break_off(connection, at_ms);
                return;
            }
            self.at(at_ms, Event::ToCentral(connection, Some(piece.to_vec())));
        }
        let at_ms = from_ms + self.mix.latency_ms + self.transfer_ms(sent);
        self.at(at_ms, Event::ToCentral(connection, None));
    }

    /// The connection breaks at a moment: each side is told, or is not.
    fn break_off(&mut self, connection: u64, at_ms: u64) {
        let Some(line) = self.connections.get_mut(&connection) else { return };
        if std::mem::replace(&mut line.is_cut, true) {
            return;
        }
        let (is_silent, is_half_open) = (line.is_silent, line.is_half_open);
        if !is_silent {
            self.at(at_ms, Event::DeviceCut(connection, "connection_lost"));
        }
        let central_ms = if is_silent || is_half_open { CENTRAL_IDLE_MS } else { self.mix.latency_ms };
        self.at(at_ms + central_ms, Event::CentralCut(connection));
    }

    /// Bytes reach central.
    pub(crate) fn bytes_to_central(&mut self, connection: u64, bytes: Option<Vec<u8>>) {
        let Some(line) = self.connections.get_mut(&connection) else { return };
        line.progress += 1;
        if self.centre.live.is_none() {
            self.break_off(connection, self.now_ms + self.mix.latency_ms);
            return;
        }
        let said = self.centre.feed(connection, bytes, self.now_ms, &mut self.codec, &mut self.random);
        self.speak(said);
        self.commit_soon();
        if self.centre.disk.is_off() {
            self.crash_centre();
        }
    }

    /// Lets a commit come, if there is something to commit.
    pub(crate) fn commit_soon(&mut self) {
        if self.centre.has_jobs() {
            let wait_ms = self.random.below(20);
            self.after(wait_ms, Event::Commit);
        }
    }

    /// What central says goes on its way.
    pub(crate) fn speak(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Bytes(connection, bytes) => self.carry_reply(connection, &bytes),
                Said::End(connection) => self.end_reply(connection),
                Said::Refused(connection, refusal, bytes) => {
                    self.note(format_args!("central refuses #{connection}: {}", refusal.code));
                    self.carry_reply(connection, &bytes);
                    self.end_reply(connection);
                }
                Said::Failed(connection) => {
                    self.note(format_args!("central fails #{connection}"));
                    self.after(self.mix.latency_ms, Event::DeviceCut(connection, "central_failed"));
                }
            }
        }
    }

    fn carry_reply(&mut self, connection: u64, bytes: &[u8]) {
        let Some(line) = self.connections.get(&connection).cloned() else { return };
        if line.is_ghost || line.is_cut {
            return;
        }
        let piece_bytes = line.piece_bytes.max(bytes.len() / PIECES_MAX + 1);
        let mut at_ms = line.reply_at_ms.max(self.now_ms + self.mix.latency_ms);
        let mut sent = line.reply_bytes;
        for piece in bytes.chunks(piece_bytes) {
            let mut piece = piece.to_vec();
            at_ms += self.transfer_ms(piece.len());
            let is_down = !self.is_link_up(at_ms);
            let end = sent + piece.len();
            if let Some(flip) = line.reply_flip.filter(|flip| (sent..end).contains(flip))
                && let Some(byte) = piece.get_mut(flip - sent)
            {
                *byte ^= 4;
            }
            if let Some(cut) = line.reply_cut.filter(|cut| *cut < end) {
                piece.truncate(cut.saturating_sub(sent));
                if !piece.is_empty() {
                    self.at(at_ms, Event::ToDevice(connection, Some(piece)));
                }
                self.break_off(connection, at_ms);
                return;
            }
            if is_down {
                self.break_off(connection, at_ms);
                return;
            }
            self.at(at_ms, Event::ToDevice(connection, Some(piece)));
            sent = end;
        }
        if let Some(line) = self.connections.get_mut(&connection) {
            line.reply_at_ms = at_ms;
            line.reply_bytes = sent;
        }
    }

    fn end_reply(&mut self, connection: u64) {
        let Some(line) = self.connections.get(&connection) else { return };
        if !line.is_ghost && !line.is_cut {
            let at_ms = line.reply_at_ms.max(self.now_ms + self.mix.latency_ms);
            self.at(at_ms, Event::ToDevice(connection, None));
        }
    }

    /// Bytes of a reply reach the device, or its end.
    pub(crate) fn bytes_to_device(&mut self, connection: u64, bytes: Option<&[u8]>) -> Result<(), Violation> {
        let Some(index) = self.listener(connection) else { return Ok(()) };
        if let Some(line) = self.connections.get_mut(&connection) {
            line.progress += 1;
        }
        let wall_ms = self.device_wall_ms(index);
        let before = self.rows_stored(index);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let step = match bytes {
            Some(bytes) => device.take_reply(&mut self.codec, bytes, wall_ms),
            None => device.end_exchange(&mut self.codec, None, wall_ms),
        };
        let has_stored = self.rows_stored(index) > before;
        if has_stored {
            self.check_pushed_before_pulled(index)?;
        }
        if bytes.is_none() || !matches!(step, Ok(Step::Waits)) {
            self.close(connection);
        }
        if has_stored && matches!(step, Ok(Step::Waits | Step::Sends(_))) && self.kills_behind_page(index) {
            self.close(connection);
            self.kill_device(index);
            return Ok(());
        }
        self.take_step(index, step)
    }

    /// Whether the agent is killed now that it has a page and has not answered yet what that asks of its site. By chance that is rare.
    fn kills_behind_page(&mut self, index: usize) -> bool {
        let may_be = self.has_in_store(Fault::Transfers) && self.mix.has(Fault::DeviceKill);
        let is_off = self.devices.get(index).is_some_and(crate::device::Device::is_off);
        may_be && !is_off && self.kills.chance(KILLS_BEHIND_PAGE_PERMILLE)
    }

    /// The device notices that its exchange failed.
    pub(crate) fn device_cut(&mut self, connection: u64, code: &'static str) -> Result<(), Violation> {
        let Some(index) = self.listener(connection) else { return Ok(()) };
        self.close(connection);
        let wall_ms = self.device_wall_ms(index);
        let failure = ExchangeFailure {
            code: code.to_owned(),
            message: format!("the exchange failed: {code}"),
            what_to_do: String::new(),
            exit: Exit::Offline,
            retry_after_s: None,
        };
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let step = device.end_exchange(&mut self.codec, Some(failure), wall_ms);
        self.take_step(index, step)
    }

    /// Whether nothing moved since.
    pub(crate) fn device_idle(&mut self, connection: u64, progress: u64) -> Result<(), Violation> {
        let Some(line) = self.connections.get(&connection) else { return Ok(()) };
        if line.progress != progress {
            let progress = line.progress;
            self.after(DEVICE_IDLE_MS, Event::DeviceIdle(connection, progress));
            return Ok(());
        }
        self.device_cut(connection, "timeout")
    }

    /// The device is done with a connection; central may still work on it, and then finds nobody.
    fn close(&mut self, connection: u64) {
        if let Some(line) = self.connections.get_mut(&connection) {
            line.is_ghost = true;
            self.after(CENTRAL_IDLE_MS, Event::CentralCut(connection));
        }
    }

    /// The device that waits on a connection, if it still does.
    fn listener(&self, connection: u64) -> Option<usize> {
        let line = self.connections.get(&connection).filter(|line| !line.is_ghost)?;
        let device = self.devices.get(line.device)?;
        let agent = device.live.as_ref().filter(|_| device.life == line.life)?;
        let is_awake = self.asleep_until_ms.get(line.device).is_some_and(|until_ms| *until_ms <= self.now_ms);
        let waits = agent.session.as_ref().is_some_and(|underway| underway.connection == connection);
        (is_awake && waits).then_some(line.device)
    }

    /// What a session wants next is done.
    pub(crate) fn take_step(&mut self, index: usize, step: Result<Step, AgentError>) -> Result<(), Violation> {
        if self.devices.get(index).is_some_and(crate::device::Device::is_off) {
            // The power went in the middle of it: what it wanted next does not happen.
            self.cut_device_power(index);
            return Ok(());
        }
        match step {
            Ok(Step::Waits) => Ok(()),
            Ok(Step::Sends(request)) => self.send_request(index, request),
            Ok(Step::Over(report)) => self.session_over(index, &report),
            Err(error) => self.device_failed(index, &error),
        }
    }

    pub(crate) fn rows_stored(&self, index: usize) -> u64 {
        let live = self.devices.get(index).and_then(|device| device.live.as_ref());
        let session = live.and_then(|live| live.session.as_ref());
        session.map_or(0, |underway| underway.session.summary().rows_stored)
    }

    fn transfer_ms(&self, bytes: usize) -> u64 {
        bytes as u64 * 1000 / self.mix.bytes_per_s.max(1)
    }

    fn is_link_up(&self, at_ms: u64) -> bool {
        match self.mix.up_down_ms {
            Some((up_ms, down_ms)) if self.is_chaos => at_ms % (up_ms + down_ms) < up_ms,
            Some(_) | None => true,
        }
    }

    fn has_in_store(&self, fault: Fault) -> bool {
        self.is_chaos && self.mix.has(fault)
    }

    /// Whether something goes wrong now.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.is_chaos && self.mix.strikes(fault, &mut self.random);
        self.counts.faults += u64::from(strikes);
        strikes
    }
}
