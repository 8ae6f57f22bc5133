//! Background: work that may be late, on threads that yield to all others.
//!
//! In: work that takes processor time. Out: what came of it. Never: a thread that does anything else afterwards, since one that
//! yields can take nothing back; more threads than the caller bounds.

use std::panic::resume_unwind;
use std::thread;

use tokio::sync::oneshot;

/// How much it yields: on a core that others want as well it gets about a tenth.
pub const NICENESS: i32 = 10;

/// Does the work, and waits for it. A panic goes on to the caller.
pub fn run<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(|| yielding(work)).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Does the work, whoever still waits for it. `None` if it panics.
pub async fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, came) = oneshot::channel();
    thread::Builder::new()
        .name("background".into())
        // Nobody waits any more, then.
        .spawn(move || drop(done.send(yielding(work))))
        .ok()?;
    came.await.ok()
}

fn yielding<T>(work: impl FnOnce() -> T) -> T {
    // It concerns this thread alone. Where the kernel refuses it the work is done all the same.
    let _ = rustix::process::nice(NICENESS);
    work()
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    fn niceness() -> i32 {
        getpriority_process(None).expect("the kernel says it")
    }

    #[tokio::test]
    async fn only_the_work_yields() {
        let before = niceness();
        assert_eq!(run(niceness), before + NICENESS);
        assert_eq!(spawn(niceness).await, Some(before + NICENESS));
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn work_that_panics_is_told_of() {
        assert_eq!(spawn(|| assert_eq!(1, 2)).await, None);
        assert!(std::panic::catch_unwind(|| run(|| assert_eq!(1, 2))).is_err());
    }
}
