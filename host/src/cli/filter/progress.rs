//! Progress: says what takes a while, to whoever waits for it.
//!
//! In: work. Out: what it gives; after a second of it, a line on standard error. Never: a word about what is over in a blink; more
//! than one line, which a terminal sees change and a log does not.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::model::printable;

/// Whoever waits longer wonders what for; and how often a terminal is told anew.
const BLINK: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The line is written over while it changes.
    Terminal,
    /// It stays as it is.
    Log,
}

/// Does `work`. If it is not over after a second, `what` is said of it.
pub(super) fn patiently<T>(what: impl Fn() -> String + Sync, work: impl FnOnce() -> T) -> T {
    let place = if io::stderr().is_terminal() { Place::Terminal } else { Place::Log };
    thread::scope(|scope| {
        // Dropped when the work is over, or has panicked.
        let (_working, over) = channel::<()>();
        let what = &what;
        scope.spawn(move || attend(&over, BLINK, place, what, &mut io::stderr()));
        work()
    })
}

/// Says what is being done until it is over.
fn attend(
    over: &Receiver<()>,
    blink: Duration,
    place: Place,
    what: impl Fn() -> String,
    err: &mut impl Write,
) {
    let mut said = 0;
    // Nobody is the worse for not reading it.
    while over.recv_timeout(blink) == Err(RecvTimeoutError::Timeout) {
        let line = what();
        let line = printable(&line);
        let _ = match place {
            Place::Log => {
                let _ = writeln!(err, "{line}");
                let _ = over.recv();
                return;
            }
            // What is left of a longer line is wiped.
            Place::Terminal => write!(err, "\r{line:<said$}").and_then(|()| err.flush()),
        };
        said = line.chars().count();
    }
    if said > 0 {
        let _ = writeln!(err);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What is said of work that is over after it was asked about `asked` times.
    fn said(place: Place, asked: usize) -> String {
        let (working, over) = channel::<()>();
        let (working, count, mut err) =
            (std::sync::Mutex::new(Some(working)), AtomicUsize::new(0), Vec::new());
        let what = || {
            let before = count.fetch_add(1, Ordering::Relaxed);
            if before + 1 == asked {
                drop(working.lock().unwrap().take());
            }
            format!("{} to go", 10 - before)
        };
        attend(&over, Duration::ZERO, place, what, &mut err);
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn what_takes_a_while_is_told_in_one_line() {
        assert_eq!(said(Place::Log, 1), "10 to go\n");
        assert_eq!(said(Place::Terminal, 3), "\r10 to go\r9 to go \r8 to go\n");
    }

    #[test]
    fn what_is_over_at_once_is_not_talked_about() {
        for place in [Place::Log, Place::Terminal] {
            let (working, over) = channel::<()>();
            drop(working);
            let mut err = Vec::new();
            attend(&over, Duration::from_secs(600), place, || unreachable!(), &mut err);
            assert_eq!(err, b"");
        }
    }

    #[test]
    fn work_gives_what_it_gives() {
        assert_eq!(patiently(String::new, || 7), 7);
    }
}
