//! Forms: in which form a source's stored samples are to be had in whole.
//!
//! In: what came of each answer. Out: the form to ask for, and whether the same is to be asked again in another one. Never: floats held up
//! by histograms that a source fails at; a source asked twice at every tick; values that go without something for what was asked beside
//! them.
//!
//! Servers before 2.44 have native histograms in chunks alone: as samples their series come with nothing. So what comes with nothing is asked
//! for again as chunks. Newer ones may have chunks of a kind that nobody knows here, and everything as samples. And 2.42 fails at
//! a chunk of a gauge histogram that went down, in the middle of its answer (seen): there floats are asked for alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
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
    /// What is known of single values of the hole; of most there is nothing.
    of_value: HashMap<Arc<str>, OfValue>,
}

/// What a source cannot do for one value. What fails for several is asked for value by value first: it is one of them.
#[derive(Debug, Clone, Copy, Default)]
struct OfValue {
    /// Failures in a row at its chunks.
    failures: u32,
    /// Until when it is asked for as samples, whatever others are asked for as.
    samples: Option<Instant>,
    /// Until when its floats are asked for alone.
    floats: Option<Instant>,
    /// Until when it is asked for by queries.
    unread: Option<Instant>,
}

impl OfValue {
    fn has_floats(&self, now: Instant) -> bool {
        self.floats.is_some_and(|until| now < until)
    }

    fn has_samples(&self, now: Instant) -> bool {
        self.samples.is_some_and(|until| now < until)
    }

    fn is_unread(&self, now: Instant) -> bool {
        self.unread.is_some_and(|until| now < until)
    }
}

impl State {
    fn learn(&mut self, known: Known) -> Option<Known> {
        self.known = Some((known, Instant::now() + KNOWN_FOR));
        Some(known)
    }

    fn any(&self, values: &[Arc<str>], is: impl Fn(&OfValue, Instant) -> bool) -> bool {
        let now = Instant::now();
        !self.of_value.is_empty() && values.iter().filter_map(|v| self.of_value.get(v)).any(|of| is(of, now))
    }
}

impl Forms {
    /// Values in groups that can be asked for together.
    pub(super) fn apart(&self, values: Vec<Arc<str>>) -> Vec<Vec<Arc<str>>> {
        let (mut state, now) = (lock(&self.0), Instant::now());
        let is_known = |of: &OfValue| of.has_floats(now) || of.has_samples(now) || of.is_unread(now);
        state.of_value.retain(|_, of| of.failures > 0 || is_known(of));
        if state.of_value.is_empty() {
            return vec![values];
        }
        let mut groups: BTreeMap<_, Vec<Arc<str>>> = BTreeMap::new();
        for value in values {
            let of = state.of_value.get(&value).copied().unwrap_or_default();
            groups
                .entry((of.has_floats(now), of.has_samples(now), of.is_unread(now)))
                .or_default()
                .push(value);
        }
        groups.into_values().collect()
    }

    pub(super) fn known(&self, values: &[Arc<str>]) -> Option<Known> {
        let state = lock(&self.0);
        let of_all = || state.known.filter(|(_, until)| Instant::now() < *until).map(|(known, _)| known);
        match () {
            () if state.any(values, OfValue::has_floats) => Some(Known::Floats),
            () if state.any(values, OfValue::has_samples) => Some(Known::Samples),
            () => of_all(),
        }
    }

    /// A whole answer came, perhaps with series that have nothing; how to ask again.
    pub(super) fn had(&self, values: &[Arc<str>], known: Option<Known>, is_silent: bool) -> Option<Known> {
        let mut state = lock(&self.0);
        if !state.of_value.is_empty() {
            for value in values {
                state.of_value.get_mut(value).into_iter().for_each(|of| of.failures = 0);
            }
        }
        if is_silent && known.is_none() { state.learn(Known::Chunks) } else { None }
    }

    /// No whole answer came; how to ask again.
    pub(super) fn failed(&self, values: &[Arc<str>], known: Option<Known>, cause: &Cause) -> Option<Known> {
        let mut state = lock(&self.0);
        match (known, cause) {
            (None | Some(Known::Chunks), Cause::Encoding) => {
                let [only] = values else { return None };
                let of = state.of_value.entry(only.clone()).or_default();
                of.samples = Some(Instant::now() + KNOWN_FOR);
                Some(Known::Samples)
            }
            (Some(Known::Chunks), Cause::Malformed { .. } | Cause::Status { code: 500, .. }) => {
                let [only] = values else { return None };
                let of = state.of_value.entry(only.clone()).or_default();
                of.failures += 1;
                if of.failures < FAILURES_MAX {
                    return None;
                }
                *of = OfValue { failures: 0, floats: Some(Instant::now() + KNOWN_FOR), ..*of };
                Some(Known::Floats)
            }
            _ => None,
        }
    }

    /// Whether the source does not let any of these be read.
    pub(super) fn is_unread(&self, values: &[Arc<str>]) -> bool {
        lock(&self.0).any(values, OfValue::is_unread)
    }

    /// The source does not let these be read, though it lets others.
    pub(super) fn refused(&self, values: &[Arc<str>]) {
        let (mut state, until) = (lock(&self.0), Instant::now() + KNOWN_FOR);
        for value in values {
            state.of_value.entry(value.clone()).or_default().unread = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Cause = Cause::Malformed { position: 0, what: "the answer breaks off" };

    fn values(names: &str) -> Vec<Arc<str>> {
        names.split(' ').map(Arc::from).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_with_nothing_is_asked_for_as_chunks_and_for_a_while_at_once() {
        let (forms, a) = (Forms::default(), values("a"));
        assert_eq!((forms.known(&a), forms.had(&a, None, false)), (None, None));
        assert_eq!(forms.had(&a, None, true), Some(Known::Chunks));
        assert_eq!(forms.known(&values("b")), Some(Known::Chunks));
        assert_eq!(forms.had(&a, Some(Known::Chunks), true), None, "who has no chunks has no more than that");
        tokio::time::advance(KNOWN_FOR).await;
        assert_eq!(forms.known(&a), None, "the server may be another one");
    }

    #[tokio::test(start_paused = true)]
    async fn chunks_that_nobody_can_read_are_asked_for_as_samples() {
        let (forms, a) = (Forms::default(), values("a"));
        assert_eq!(forms.failed(&a, None, &Cause::Encoding), Some(Known::Samples));
        assert_eq!(forms.had(&a, Some(Known::Samples), true), None, "and nothing is taken for nothing");
        assert_eq!(forms.failed(&a, Some(Known::Samples), &Cause::Encoding), None);
        assert_eq!(
            (forms.known(&a), forms.known(&values("b"))),
            (Some(Known::Samples), None),
            "others have theirs"
        );
        assert_eq!(forms.failed(&values("b c"), None, &Cause::Encoding), None, "it is one of them");
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_at_histograms_again_and_again_is_asked_for_floats() {
        let (forms, a) = (Forms::default(), values("a"));
        let chunks = forms.had(&a, None, true);
        assert_eq!([0; 2].map(|_| forms.failed(&a, chunks, &BROKEN)), [None, None]);
        assert_eq!(
            forms.had(&a, chunks, false),
            None,
            "one answer is good, so it was none of the histograms"
        );
        assert_eq!([0; 2].map(|_| forms.failed(&a, chunks, &BROKEN)), [None, None]);
        assert_eq!(forms.failed(&a, chunks, &BROKEN), Some(Known::Floats));
        assert_eq!(forms.failed(&a, None, &BROKEN), None, "without histograms it is an answer that fails");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_one_value_is_no_other_values_loss() {
        let (forms, all) = (Forms::default(), values("a b c d"));
        let chunks = forms.had(&all, None, true);
        assert_eq!([0; 9].map(|_| forms.failed(&all, chunks, &BROKEN)), [None; 9], "it is one of them");
        let b = values("b");
        assert_eq!([0; 2].map(|_| forms.failed(&b, chunks, &BROKEN)), [None, None]);
        assert_eq!(forms.failed(&b, chunks, &BROKEN), Some(Known::Floats));
        forms.refused(&values("c"));
        assert_eq!(forms.apart(all.clone()), [values("a d"), values("c"), values("b")]);
        assert_eq!((forms.known(&b), forms.known(&values("a d"))), (Some(Known::Floats), chunks));
        assert_eq!((forms.is_unread(&b), forms.is_unread(&values("c"))), (false, true));
        tokio::time::advance(KNOWN_FOR).await;
        assert_eq!(forms.apart(all.clone()), [all]);
    }
}
