//! Sources: the shared Prometheus servers that series are pulled from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::{Access, Labels, Tenant};

/// The operator's name for a source; unique in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// Wraps a checked name.
    pub fn new(name: impl Into<Arc<str>>) -> SourceName {
        SourceName(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One Prometheus server, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The operator's name for it.
    pub name: SourceName,
    /// Base address; `/api/v1/query` is appended to its path.
    pub url: Url,
    /// Labels added to every series pulled from here, as external labels would be: a series' own label of that
    /// name stays. Sources that are not replicas of each other are told apart by these.
    pub labels: Labels,
    /// The server's own `external_labels`: taken off a series that carries exactly these, before anything else.
    pub external_labels: Labels,
    /// How long after a tick all its scrapes are stored here; at least the scrape timeout plus the clocks' skew.
    pub lag: Duration,
    /// How long after its time a sample may be stored here at the latest, where all samples are wanted; at least two of the longest scrape
    /// intervals, for a target that is gone has its stale marker that late.
    pub settle: Duration,
    /// How long one query may take.
    pub timeout: Duration,
    /// The most series one query may answer with; one more makes the answer an error.
    pub series_max: usize,
    /// Sources that declare one group hold the same series.
    pub replica_group: Option<String>,
    /// Which tenants may have what it holds.
    pub audience: Audience,
    /// How it is spoken to.
    pub access: Access,
    /// Whether its answers come compressed.
    pub compression: Compression,
}

/// Whether a source's answers come compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// They do not: a source that is near has no time to win by it, and would pay for it.
    #[default]
    None,
    /// With gzip, where the source offers it.
    Gzip,
}

#[cfg(test)]
impl Source {
    /// One without labels, for everybody, that answers at once.
    pub(crate) fn plain(name: &str, url: &str) -> Source {
        Source {
            name: SourceName::new(name),
            url: url.parse().unwrap(),
            labels: Labels::default(),
            external_labels: Labels::default(),
            lag: Duration::ZERO,
            settle: Duration::from_secs(120),
            timeout: Duration::from_secs(10),
            series_max: 1_000,
            replica_group: None,
            audience: Audience::default(),
            access: Access::default(),
            compression: Compression::default(),
        }
    }
}

/// Which tenants a source is for: `discovery.sourceLabel` lets a resource's `source` pick its sources.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Audience {
    /// All of them: no `sourceLabel` is configured.
    #[default]
    Everyone,
    /// Those whose resource says `source:` this.
    Named(String),
    /// None: a `sourceLabel` is configured, and this source does not carry it.
    Nobody,
}

impl Audience {
    /// Whether a tenant may have what the source holds.
    pub fn includes(&self, tenant: &Tenant) -> bool {
        match self {
            Audience::Everyone => true,
            Audience::Named(name) => *name == tenant.source,
            Audience::Nobody => false,
        }
    }
}

/// Sources that are replicas of each other, in rank order: the first that has a series gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGroup {
    /// The `replicaGroup`, or the source's own name if it declares none.
    pub name: String,
    /// At least one source; the position is the rank.
    pub sources: Vec<Arc<Source>>,
}

impl SourceGroup {
    /// Gathers sources into groups, keeping the operator's order within each and among them.
    pub fn gather(sources: impl IntoIterator<Item = Arc<Source>>) -> Vec<SourceGroup> {
        let mut groups: Vec<SourceGroup> = Vec::new();
        for source in sources {
            let declared = source.replica_group.clone();
            let shared = declared.as_ref().and_then(|name| {
                groups.iter_mut().find(|g| g.name == *name && g.sources[0].replica_group.is_some())
            });
            match shared {
                Some(group) => group.sources.push(source),
                None => {
                    let name = declared.unwrap_or_else(|| source.name.to_string());
                    groups.push(SourceGroup { name, sources: vec![source] });
                }
            }
        }
        groups
    }

    /// Whether a tenant may have what the group holds. Replicas carry the same labels, so they are for the same.
    pub fn is_for(&self, tenant: &Tenant) -> bool {
        self.sources.iter().all(|source| source.audience.includes(tenant))
    }

    /// The longest lag among the sources: a tick is asked for only when every one of them has it.
    pub fn lag(&self) -> Duration {
        self.sources.iter().map(|s| s.lag).max().unwrap_or_default()
    }
}
