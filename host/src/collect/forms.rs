//! Forms: in which form a source's stored samples are to be had in whole.
//!
//! In: what came of each answer. Out: the form to ask for, and whether the same is to be asked again in another one. Never: floats held up
//! by histograms that a source fails at; a source asked twice at every tick.
//!
//! Servers before 2.44 have native histograms in chunks alone: as samples their series come with nothing. So what comes with nothing is asked
//! for again as chunks. Newer ones may have chunks of a kind that nobody knows here, and everything as samples. And 2.42 fails at
//! a chunk of a gauge histogram that went down, in the middle of its answer (seen): there floats are asked for alone.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::read::Form;
use super::{Cause, lock};

/// How long is believed what an answer has shown.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// So many failures in a row at chunks that hold histograms, and these are left out. Fewer may be an answer that broke off.
const FAILURES_MAX: u32 = 3;

/// What is known of how one source answers for one family of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Chunks have all of it.
    Chunks,
    /// Samples have all of it.
    Samples,
    /// Samples have its floats, and histograms are not to be had.
    Floats,
}

impl From<Known> for Form {
    fn from(known: Known) -> Form {
        match known {
            Known::Chunks => Form::Chunks,
            Known::Samples | Known::Floats => Form::Samples,
        }
    }
}

/// In which form one family of queries is to be had in whole, where that is not left to the window.
#[derive(Debug, Default)]
pub(super) struct Forms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Option<(Known, Instant)>,
    failures: u32,
}

impl State {
    fn learn(&mut self, known: Known) -> Option<Known> {
        self.known = Some((known, Instant::now() + KNOWN_FOR));
        self.failures = 0;
        Some(known)
    }
}

impl Forms {
    pub(super) fn known(&self) -> Option<Known> {
        let known = lock(&self.0).known;
        known.filter(|(_, until)| Instant::now() < *until).map(|(known, _)| known)
    }

    /// A whole answer came, perhaps with series that have nothing; how to ask again.
    pub(super) fn had(&self, known: Option<Known>, is_silent: bool) -> Option<Known> {
        let mut state = lock(&self.0);
        state.failures = 0;
        if is_silent && known.is_none() { state.learn(Known::Chunks) } else { None }
    }

    /// No whole answer came; how to ask again.
    pub(super) fn failed(&self, known: Option<Known>, cause: &Cause) -> Option<Known> {
        let mut state = lock(&self.0);
        match (known, cause) {
            (None | Some(Known::Chunks), Cause::Encoding) => state.learn(Known::Samples),
            (Some(Known::Chunks), Cause::Malformed { .. } | Cause::Status { code: 500, .. }) => {
                state.failures += 1;
                if state.failures < FAILURES_MAX { None } else { state.learn(Known::Floats) }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Cause = Cause::Malformed { position: 0, what: "the answer breaks off" };

    #[tokio::test(start_paused = true)]
    async fn what_comes_with_nothing_is_asked_for_as_chunks_and_for_a_while_at_once() {
        let forms = Forms::default();
        assert_eq!((forms.known(), forms.had(None, false)), (None, None));
        assert_eq!(forms.had(None, true), Some(Known::Chunks));
        assert_eq!(forms.known(), Some(Known::Chunks));
        assert_eq!(forms.had(Some(Known::Chunks), true), None, "who has no chunks has no more than that");
        tokio::time::advance(KNOWN_FOR).await;
        assert_eq!(forms.known(), None, "the server may be another one");
    }

    #[tokio::test(start_paused = true)]
    async fn chunks_that_nobody_can_read_are_asked_for_as_samples() {
        let forms = Forms::default();
        assert_eq!(forms.failed(None, &Cause::Encoding), Some(Known::Samples));
        assert_eq!(forms.had(Some(Known::Samples), true), None, "and nothing is taken for nothing");
        assert_eq!(forms.failed(Some(Known::Samples), &Cause::Encoding), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_at_histograms_again_and_again_is_asked_for_floats() {
        let forms = Forms::default();
        let chunks = forms.had(None, true);
        assert_eq!([0; 2].map(|_| forms.failed(chunks, &BROKEN)), [None, None]);
        assert_eq!(forms.had(chunks, false), None, "one answer is good, so it was none of the histograms");
        assert_eq!([0; 2].map(|_| forms.failed(chunks, &BROKEN)), [None, None]);
        assert_eq!(forms.failed(chunks, &BROKEN), Some(Known::Floats));
        assert_eq!(forms.failed(None, &BROKEN), None, "without histograms it is an answer that fails");
    }
}
