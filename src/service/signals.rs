//! Signals become wake-ups of the loop, on a thread of their own.

use std::io;
use std::sync::mpsc::SyncSender;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::caller::Caller;
use super::plan::{Signal, Wake};

/// Ends the listening when it is dropped.
pub(super) struct Listening(Handle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Sends a wake-up for each signal from now on. Several of one kind may come as one.
pub(super) fn listen(sender: SyncSender<Wake<Caller>>) -> io::Result<Listening> {
    let mut signals = Signals::new([SIGUSR1, SIGTERM, SIGINT, SIGHUP])?;
    let handle = signals.handle();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for number in signals.forever() {
            let signal = match number {
                SIGUSR1 => Signal::SyncNow,
                SIGHUP => Signal::Reload,
                _ => Signal::Stop,
            };
            log::info!("a signal came number={number} meaning={signal:?}");
            if sender.send(Wake::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(Listening(handle))
}
