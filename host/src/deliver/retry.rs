//! Retry: sends the same thing again until it is acknowledged.
//!
//! In: one attempt as a function, the pace, and when to stop. Out: the acknowledgement, or the error that ended it.
//! Never: an attempt cut off in the middle unless told to (it is in doubt then), an attempt after an error that is final, or a
//! second attempt beside the first.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Error;

/// The pause after a first failure: short, since most failures are a receiver's restart.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// The longest pause: a receiver that came back is noticed within it. Prometheus' is 5 s (`max_backoff`), for one sender;
/// here thousands of pipelines may wait for one receiver.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A receiver that asks for more than this is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How fast attempts follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The pause after the first failure; it doubles with every further one.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
    /// The longest pause that a receiver may ask for with `Retry-After`.
    pub retry_after_max: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { first: BACKOFF_FIRST, max: BACKOFF_MAX, retry_after_max: RETRY_AFTER_MAX }
    }
}

impl Policy {
    /// The pause before the attempt that follows the `failed`-th failure in a row: between a half and the whole of
    /// the doubled backoff, since thousands of pipelines can lose one receiver at the same moment; `Retry-After`
    /// stands for the lower end when it is longer. `jitter` is from 0 to 1.
    fn pause(&self, failed: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let doubled =
            2u32.checked_pow(failed.saturating_sub(1)).and_then(|times| self.first.checked_mul(times));
        let backoff = doubled.unwrap_or(self.max).min(self.max);
        let least = retry_after.unwrap_or_default().min(self.retry_after_max).max(backoff / 2);
        least + (backoff / 2).mul_f64(jitter)
    }
}

/// What an observer is told after every attempt.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Counted from one.
    pub number: u32,
    /// How long it took.
    pub took: Duration,
    /// What is wrong, if it was not acknowledged.
    pub error: Option<&'a Error>,
    /// When the next attempt follows, if one does.
    pub next: Option<Duration>,
}

impl Attempt<'_> {
    /// The attempt's outcome as a metric's label, of which there may be only a few: `success`, the class of another
    /// status (`3xx`, `4xx`, `5xx`; `429` on its own, since it asks for patience), or `error` if there was no answer.
    pub fn status(&self) -> &'static str {
        match self.error.map(|error| error.status()) {
            None => "success",
            Some(Some(status)) => class(status.as_u16()),
            Some(None) => "error",
        }
    }
}

fn class(status: u16) -> &'static str {
    match status {
        429 => "429",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

/// When to make no further attempt.
#[derive(Debug, Clone, Copy)]
pub struct Until<'a> {
    /// Cancelled when the pipeline stops.
    pub stop: &'a CancellationToken,
    /// Cancelled when even an attempt under way may go on no longer. What it sent is in doubt then, and is sent again by
    /// whoever goes on from the cursor.
    pub cut: &'a CancellationToken,
    /// From when on what is sent is too old to be of use; `None` means never.
    pub give_up_at: Option<Instant>,
}

/// Calls `attempt` until it succeeds, fails for good, or `until` says stop, and tells `observe` of every attempt.
/// The first attempt is always made.
pub async fn until_acknowledged<T, F>(
    mut attempt: impl FnMut() -> F,
    policy: &Policy,
    until: Until<'_>,
    mut observe: impl FnMut(Attempt<'_>),
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut number = 0u32;
    loop {
        number = number.saturating_add(1);
        let start = Instant::now();
        let result = tokio::select! {
            biased;
            result = attempt() => result,
            () = until.cut.cancelled() => return Err(Error::Stopped(Error::CutOff.into())),
        };
        let took = start.elapsed();
        let error = match result {
            Ok(acknowledged) => {
                observe(Attempt { number, took, error: None, next: None });
                return Ok(acknowledged);
            }
            Err(error) => error,
        };
        if !error.is_transient() {
            observe(Attempt { number, took, error: Some(&error), next: None });
            return Err(error);
        }
        let pause = policy.pause(number, error.retry_after(), jitter());
        let too_late = until.give_up_at.is_some_and(|at| Instant::now() + pause > at);
        let next = (!too_late && !until.stop.is_cancelled()).then_some(pause);
        observe(Attempt { number, took, error: Some(&error), next });
        if too_late {
            return Err(Error::GaveUp { attempts: number, source: error.into() });
        }
        tokio::select! {
            biased;
            () = until.stop.cancelled() => return Err(Error::Stopped(error.into())),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Of no two senders the same.
#[cfg(not(test))]
fn jitter() -> f64 {
    rand::Rng::random(&mut rand::rng())
}

#[cfg(test)]
thread_local! {
    /// In tests the same each time.
    pub(crate) static CHANCE: std::cell::RefCell<rand::rngs::StdRng> =
        std::cell::RefCell::new(rand::SeedableRng::seed_from_u64(0));
}

#[cfg(test)]
fn jitter() -> f64 {
    CHANCE.with_borrow_mut(rand::Rng::random)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use http::StatusCode;

    use super::*;

    fn unavailable(retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        Error::Unavailable { status: StatusCode::SERVICE_UNAVAILABLE, retry_after, message: String::new() }
    }

    fn refused() -> Error {
        Error::Refused { status: StatusCode::BAD_REQUEST, message: String::new() }
    }

    /// Plays the answers one after the other; the last one for ever.
    async fn play(
        answers: &[fn() -> Result<(), Error>],
        stop: &CancellationToken,
        give_up_after: Option<Duration>,
    ) -> (Result<(), Error>, Vec<(u32, String, bool)>) {
        let (calls, seen) = (RefCell::new(0), RefCell::new(Vec::new()));
        let give_up_at = give_up_after.map(|after| Instant::now() + after);
        let result = until_acknowledged(
            || async {
                let n = calls.replace_with(|n| *n + 1);
                answers[n.min(answers.len() - 1)]()
            },
            &Policy::default(),
            Until { stop, cut: &CancellationToken::new(), give_up_at },
            |attempt| {
                seen.borrow_mut().push((attempt.number, attempt.status().to_owned(), attempt.next.is_some()));
            },
        )
        .await;
        (result, seen.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_tried_again_and_every_attempt_is_observed() {
        let (result, seen) = play(
            &[|| Err(unavailable(None)), || Err(unavailable(None)), || Ok(())],
            &CancellationToken::new(),
            None,
        )
        .await;
        assert!(result.is_ok());
        let expected = [(1, "5xx", true), (2, "5xx", true), (3, "success", false)];
        assert_eq!(seen, expected.map(|(n, status, next)| (n, status.to_owned(), next)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final() {
        let (result, seen) = play(&[|| Err(refused())], &CancellationToken::new(), None).await;
        assert!(matches!(result, Err(Error::Refused { .. })));
        assert_eq!(seen, [(1, "4xx".to_owned(), false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_waited_for_but_not_for_ever() {
        let start = Instant::now();
        let stop = CancellationToken::new();
        play(&[|| Err(unavailable(Some(60))), || Ok(())], &stop, None).await.0.unwrap();
        assert!((60..61).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let start = Instant::now();
        play(&[|| Err(unavailable(Some(86_400))), || Ok(())], &stop, None).await.0.unwrap();
        assert!((300..301).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_receiver_is_tried_until_the_tick_is_too_old() {
        let hour = Duration::from_secs(3600);
        let start = Instant::now();
        let (result, seen) = play(&[|| Err(unavailable(None))], &CancellationToken::new(), Some(hour)).await;
        let Err(Error::GaveUp { attempts, source }) = result else { panic!("{result:?}") };
        assert!(start.elapsed() <= hour && start.elapsed() > hour - BACKOFF_MAX);
        assert!((3600 / 30..3600 / 12).contains(&attempts), "{attempts}");
        assert_eq!(seen.len(), attempts as usize);
        assert!(matches!(*source, Error::Unavailable { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_the_pause_and_not_the_attempt() {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            stopper.cancel();
        });
        let start = Instant::now();
        let (result, _) = play(&[|| Err(unavailable(Some(200)))], &stop, None).await;
        assert!(matches!(result, Err(Error::Stopped(_))));
        assert_eq!(start.elapsed().as_secs(), 30);
        // Already stopped: what is asked for is still sent once.
        let (result, seen) = play(&[|| Ok(())], &stop, None).await;
        assert!(result.is_ok() && seen.len() == 1);
    }

    #[test]
    fn pauses_double_up_to_the_maximum_and_are_spread() {
        let policy = Policy::default();
        let millis = |failed, jitter| policy.pause(failed, None, jitter).as_millis();
        let longest = 30_000;
        assert_eq!(
            [1, 2, 3, 9, 40, 4_000_000].map(|n| millis(n, 1.0)),
            [500, 1000, 2000, longest, longest, longest]
        );
        assert_eq!([1, 2, 9].map(|n| millis(n, 0.0)), [250, 500, longest / 2]);
    }
}
