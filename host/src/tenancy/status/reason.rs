//! Reason: the closed lists of condition types and of their reasons, each with what a tenant should do.
//!
//! `docs/status.md` shows these lists; a test holds the two together.
//! Never: a reason that is removed or that changes its meaning: people's scripts and alerts name them.

/// The condition types, in the order in which they depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Whether the resource is valid and allowed.
    Accepted,
    /// Whether its filters run.
    FiltersReady,
    /// Whether its sources answer.
    Collecting,
    /// Whether its endpoints take what they are sent.
    Delivering,
    /// The sum of the others.
    Ready,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Kind; 5] =
        [Kind::Accepted, Kind::FiltersReady, Kind::Collecting, Kind::Delivering, Kind::Ready];

    /// The condition's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Accepted => "Accepted",
            Kind::FiltersReady => "FiltersReady",
            Kind::Collecting => "Collecting",
            Kind::Delivering => "Delivering",
            Kind::Ready => "Ready",
        }
    }

    /// What the condition says, for the documentation.
    pub fn means(self) -> &'static str {
        match self {
            Kind::Accepted => "the resource is valid, the operator allows it, and no older one is in its way",
            Kind::FiltersReady => "every filter of its chain runs",
            Kind::Collecting => "every group of sources answers completely",
            Kind::Delivering => "every endpoint has acknowledged the newest ticks",
            Kind::Ready => "all of the above",
        }
    }
}

/// A condition's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// As it should be.
    True,
    /// Not so; the message says what to do.
    False,
    /// Not known yet.
    Unknown,
}

impl Truth {
    /// The word Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $does:literal])+ $name:ident: $truth:ident of $($kind:ident)|+,)+) => {
        /// Why a condition has its status. The list is closed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $does])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Reason] = &[$(Reason::$name),+];

            /// The condition's `reason`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name)),+ }
            }

            /// The status that a condition with this reason has.
            pub fn truth(self) -> Truth {
                match self { $(Reason::$name => Truth::$truth),+ }
            }

            /// The conditions that may have this reason.
            pub fn kinds(self) -> &'static [Kind] {
                match self { $(Reason::$name => &[$(Kind::$kind),+]),+ }
            }

            /// What it means, and what to do.
            pub fn help(self) -> String {
                let lines: &[&str] = match self { $(Reason::$name => &[$($does),+]),+ };
                lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
            }
        }
    };
}

reasons! {
    /// Valid and allowed. Nothing to do.
    Accepted: True of Accepted,
    /// Taken as written, but something is probably not as you meant it. Read the message and `status.patterns`.
    AcceptedWithWarnings: True of Accepted,
    /// Some entries of `spec.metrics` are invalid and grant nothing; the others are not affected. Correct or remove what
    /// `status.patterns` names.
    AcceptedInPart: True of Accepted,
    /// `remoteWrite` is missing or not enabled, so nothing is collected. Write `remoteWrite.enabled: true`.
    Disabled: False of FiltersReady | Collecting | Delivering | Ready,
    /// The resource has a mistake. The message says where, what, and what to write instead; `sluice check FILE` shows
    /// all mistakes at once, before you apply.
    Invalid: False of Accepted,
    /// The operator does not allow it. The message names the limit: stay within it, or ask the operator.
    NotAllowed: False of Accepted,
    /// An older resource has what this one asks for: the same Pushgateway group, or the same series at the same
    /// endpoint. The message names it. Change one of the two.
    Conflict: False of Accepted | Delivering | Ready,
    /// Something that the resource names is not there or may not be read, usually a Secret. Create it in the resource's
    /// own namespace, labelled `observability.ethos.io/metricaccess: "true"`.
    ReferenceMissing: False of Accepted,
    /// The resource is not accepted, so nothing runs. See `Accepted`.
    NotAccepted: False of FiltersReady | Collecting | Delivering | Ready,
    /// It was just applied or just changed; the first tick has not ended yet. Wait an interval.
    Starting: Unknown of FiltersReady | Collecting | Delivering | Ready,
    /// The filters run. Nothing to do.
    FiltersRunning: True of FiltersReady,
    /// A filter failed or refuses its configuration, so nothing is delivered. The message names it. Correct its
    /// configuration; if it is a built-in filter, tell the operator.
    FilterFailing: False of FiltersReady | Ready,
    /// A filter fails, and its `failurePolicy` is `Ignore`: series go on without it. The message names it. Correct its configuration, or
    /// tell its author.
    FilterIgnored: True of FiltersReady | Ready,
    /// A filter of the newest specification is not ready, so the filters of before go on, with everything that they were
    /// configured with. The message and `status.filters` say what is wrong. Correct it, or go back to what ran.
    FilterNotReplaced: True of FiltersReady | Ready,
    /// Every source answers. Nothing to do.
    SourcesAnswer: True of Collecting,
    /// The sources answer, but no series matches. Compare the patterns, `labelSelectors` and `source` with what a query
    /// at the shared server shows; with isolation only series of your own namespace match.
    NothingSelected: True of Collecting | Ready,
    /// A source does not answer, or not completely. What it missed is asked for again. If the message names a limit,
    /// select fewer series; else tell the operator.
    SourceFailing: False of Collecting | Ready,
    /// There is no source to collect from. Tell the operator; if you may choose sources by label, check `source`.
    NoSource: False of Collecting | Ready,
    /// Every endpoint takes what it is sent. Nothing to do.
    EndpointsAnswer: True of Delivering,
    /// Ticks that were missed are delivered, oldest first: before the newest, or behind them where the endpoint takes samples out of order
    /// (`outOfOrder`). Wait. If it lasts, the sources do not answer the
    /// resource's queries within its interval: use fewer patterns, or a longer interval.
    CatchingUp: True of Delivering | Ready,
    /// An endpoint does not answer or refuses what it is sent. What it missed is sent once it answers, as far back
    /// as `maxBackfill`. The message says what it answered: check the address, the credentials, and that a Prometheus runs with
    /// `--web.enable-remote-write-receiver`.
    EndpointFailing: False of Delivering | Ready,
    /// An endpoint takes some of the series never, for what they are; all others are delivered. The message says how many, names one of
    /// them, and what the endpoint answered: change them with `metricRelabelings` or do not ask for them, or change the endpoint's limits.
    RefusedInPart: False of Delivering | Ready,
    /// Nothing reaches the endpoint because nothing is collected or filtered. See `Collecting` and `FiltersReady`.
    NothingToDeliver: False of Delivering,
    /// No tick has ended for three intervals, and no attempt has failed either. Look at the endpoint's load; tell the
    /// operator if it lasts.
    Stalled: False of Delivering | Ready,
    /// Metrics flow. Nothing to do.
    Running: True of Ready,
}
