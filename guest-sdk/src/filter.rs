//! Filter: what an author implements.

use serde::de::DeserializeOwned;

use crate::{Rows, Series, Tick};

/// For whom a filter works. One instance works for one tenant all its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Namespace of the tenant's resource.
    pub namespace: String,
    /// Name of the tenant's resource.
    pub name: String,
    /// The source the series come from; empty if the resource names none.
    pub source: String,
}

/// What becomes of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, with the edits that were made to it.
    Keep,
    /// It is dropped, edits and all.
    Drop,
}

/// Whether a filter's answer depends on anything but its configuration and what it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not. The host keeps verdicts for ever and drops idle instances.
    None,
    /// `classify` remembers series. The host keeps the instance and calls `forget`.
    Label,
    /// `process` remembers samples. The host keeps the instance and calls `forget`.
    Sample,
}

/// A series' number, given by the host. Numbers are dense, so they can index a `Vec`; one is given to another
/// series only after `forget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u32);

/// Which columns of a sample `process` needs. What it does not need is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Timestamps; without them, [`crate::Row::timestamp`] is 0.
    pub timestamps: bool,
    /// Values; without them, [`crate::Row::value`] is `None`.
    pub values: bool,
}

impl Columns {
    /// Timestamps and values.
    pub const ALL: Columns = Columns { timestamps: true, values: true };
}

/// A filter that judges series by their labels. The host asks once about each series and remembers the answer.
pub trait LabelFilter: Sized {
    /// The configuration, as JSON. Give it `#[serde(deny_unknown_fields)]`: a typing error is then told to the person who
    /// made it, with its place in the document.
    type Config: DeserializeOwned;

    /// JSON Schema of the configuration, shown to people who configure the filter: a file that was made of the type, embedded with
    /// `include_str!`. [`testing::assert_schema`](crate::testing::assert_schema) makes it, and holds the two together.
    const CONFIG_SCHEMA: &'static str = "{}";

    /// Whether the filter remembers anything between calls that its answers depend on. A filter that does and says
    /// `None` gives answers that change when the host replaces the instance.
    const STATE: State = State::None;

    /// Makes a filter.
    ///
    /// # Errors
    /// One line that says what is wrong with the configuration and what to write instead. Where it begins with a place in the
    /// document, as in `rules[0].label: it is empty; name one`, people are told where that is in their resource.
    fn new(config: Self::Config, tenant: &Tenant) -> Result<Self, String>;

    /// Judges one series; edits are made on `series` itself. A panic refuses the whole batch, with its message.
    fn classify(&mut self, series: &mut Series<'_>) -> Verdict;

    /// These series have ended. Called only if [`LabelFilter::STATE`] is not `None`, or the filter processes samples.
    fn forget(&mut self, ended: &[SeriesId]) {
        let _ = ended;
    }
}

/// A filter that sees every sample of the series it has kept.
pub trait SampleFilter: LabelFilter {
    /// The columns `process` looks at.
    const COLUMNS: Columns = Columns::ALL;

    /// Sees a batch of a tick's samples; drops and edits are made on `rows` itself. The rows of one series stand
    /// together, in time order. The tick's last batch (`tick.last`) comes exactly once, if need be without rows.
    fn process(&mut self, tick: Tick, rows: &mut Rows<'_>);
}
