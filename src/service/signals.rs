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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_signal_wakes_the_loop_with_its_meaning() {
        let (sender, receiver) = super::super::daemon::wakes();
        let _listening = listen(sender).unwrap();

        for (number, expected) in
            [(SIGUSR1, Signal::SyncNow), (SIGHUP, Signal::Reload), (SIGTERM, Signal::Stop), (SIGINT, Signal::Stop)]
        {
            signal_hook::low_level::raise(number).unwrap();

            let wake = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(matches!(wake, Wake::Signal(signal) if signal == expected), "{wake:?}");
        }
    }
}
