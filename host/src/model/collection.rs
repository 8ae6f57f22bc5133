//! Collection: how a tenant's series are taken from their sources.

/// The resource's `collection.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Mode {
    /// One sample a series and tick, stamped with the tick: the value that a query at that moment has.
    #[default]
    Sampled,
    /// Every stored sample with its own timestamp, stale markers included.
    Raw,
}

impl Mode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Sampled => "sampled",
            Mode::Raw => "raw",
        }
    }
}
