//! Enrich: stamps on every series whose it is. Always the last step of a chain.
//!
//! In: the stamps, and who wins when a series has a label of that name already. Out: series with every stamp.
//! Never: a dropped series; a source's value that is lost (`honorLabels: false` keeps it as `exported_<label>`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sluice_filter::schemars::{self, JsonSchema};
use sluice_filter::{LabelFilter, Series, Tenant, Verdict};

/// What to stamp.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Name and value of each stamp, in any order, every name once.
    stamps: Vec<(String, String)>,
    /// Whether the source's value stays if it has one.
    #[serde(default)]
    honor_labels: bool,
    /// Names whose stamp wins even so.
    #[serde(default)]
    protected: Vec<String>,
}

/// The filter.
#[derive(Debug)]
pub struct Enrich {
    /// Sorted by name, as Prometheus goes through target labels.
    stamps: Vec<Stamp>,
}

#[derive(Debug)]
struct Stamp {
    name: String,
    value: String,
    conflict: Conflict,
}

/// What happens to a value the source has under a stamp's name.
#[derive(Debug, Clone, Copy)]
enum Conflict {
    SourceStays,
    SourceIsRenamed,
}

impl LabelFilter for Enrich {
    type Config = Config;

    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: Config, _tenant: &Tenant) -> Result<Self, String> {
        let Config { stamps, honor_labels, protected } = config;
        let protected: BTreeSet<String> = protected.into_iter().collect();
        let mut sorted = BTreeMap::new();
        for (name, value) in stamps {
            if value.is_empty() {
                return Err(format!("stamp {name:?} has an empty value: give it one or leave the stamp out"));
            }
            if name == "__name__" {
                return Err("the metric's name cannot be stamped: remove __name__".into());
            }
            if sorted.insert(name.clone(), value).is_some() {
                return Err(format!("stamp {name:?} is given twice: keep one"));
            }
        }
        let stamps = sorted.into_iter().map(|(name, value)| {
            let honored = honor_labels && !protected.contains(&name);
            let conflict = if honored { Conflict::SourceStays } else { Conflict::SourceIsRenamed };
            Stamp { name, value, conflict }
        });
        Ok(Enrich { stamps: stamps.collect() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        let mut renamed = Vec::new();
        for Stamp { name, value, conflict } in &self.stamps {
            match (series.get(name), conflict) {
                (Some(_), Conflict::SourceStays) => continue,
                (Some(source), Conflict::SourceIsRenamed) => renamed.push((name.as_str(), source.to_owned())),
                (None, _) => {}
            }
            series.set(name, value);
        }
        keep_as_exported(series, renamed);
        Verdict::Keep
    }
}

/// Keeps the source's values under names of their own, in the way and the order of Prometheus
/// (`scrape/scrape.go`, `resolveConflictingExposedLabels`): shorter names first, `exported_` in front until the name
/// is free, and an equal value is a conflict too.
fn keep_as_exported(series: &mut Series<'_>, mut renamed: Vec<(&str, String)>) {
    renamed.sort_by_key(|(name, _)| name.len());
    for (name, value) in renamed {
        let mut free = format!("exported_{name}");
        while series.get(&free).is_some() {
            free.insert_str(0, "exported_");
        }
        series.set(&free, &value);
    }
}

sluice_filter::export!(Enrich);

#[cfg(test)]
mod tests {
    use sluice_filter::testing::{assert_schema, filter};

    use super::Enrich;

    const STAMPS: &str = r#"[["tenant","a"],["job","j"],["zone","z"]]"#;

    fn stamped(honor: bool, line: &str) -> String {
        let config = format!(r#"{{"stamps":{STAMPS},"honorLabels":{honor},"protected":["tenant"]}}"#);
        filter::<Enrich>(&config, line).unwrap()
    }

    #[track_caller]
    fn check(honor: bool, labels: &str, expected: &str) {
        assert_eq!(stamped(honor, &format!("up{{{labels}}} 1")), format!("up{{{expected}}} 1\n"));
    }

    #[test]
    fn every_series_gets_every_stamp() {
        check(false, r#"instance="i""#, r#"instance="i",job="j",tenant="a",zone="z""#);
        check(true, "", r#"job="j",tenant="a",zone="z""#);
    }

    #[test]
    fn the_sources_value_is_kept_as_exported() {
        check(false, r#"job="theirs""#, r#"exported_job="theirs",job="j",tenant="a",zone="z""#);
    }

    #[test]
    fn an_equal_value_is_a_conflict_as_it_is_in_prometheus() {
        check(false, r#"job="j""#, r#"exported_job="j",job="j",tenant="a",zone="z""#);
    }

    #[test]
    fn an_exported_name_that_is_taken_is_exported_again() {
        check(
            false,
            r#"exported_job="x",job="theirs""#,
            r#"exported_exported_job="theirs",exported_job="x",job="j",tenant="a",zone="z""#,
        );
    }

    #[test]
    fn a_stamp_named_exported_is_a_conflict_of_its_own() {
        let config = r#"{"stamps":[["job","j"],["exported_job","e"]]}"#;
        let line = r#"up{job="theirs",exported_job="x"} 1"#;
        assert_eq!(
            filter::<Enrich>(config, line).unwrap(),
            "up{exported_exported_exported_job=\"x\",exported_exported_job=\"theirs\",exported_job=\"e\",job=\"j\"} 1\n"
        );
    }

    #[test]
    fn an_honoured_source_keeps_its_value_but_not_a_protected_one() {
        check(
            true,
            r#"job="theirs",tenant="forged""#,
            r#"exported_tenant="forged",job="theirs",tenant="a",zone="z""#,
        );
    }

    #[test]
    fn a_bad_configuration_is_refused_with_its_place() {
        for (config, message) in [
            (r#"{"stamps":[["a","b"],["c",1]]}"#, "config: stamps[1][1]: 1 is not text: write \"1\""),
            (
                r#"{"stamps":[["a",""]]}"#,
                "config: stamp \"a\" has an empty value: give it one or leave the stamp out",
            ),
            (r#"{"stamps":[["a","1"],["a","2"]]}"#, "config: stamp \"a\" is given twice: keep one"),
            (
                r#"{"stamps":[["__name__","1"]]}"#,
                "config: the metric's name cannot be stamped: remove __name__",
            ),
            (r#"{}"#, "config: missing field `stamps`"),
        ] {
            assert_eq!(filter::<Enrich>(config, "up 1").unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_schema_is_made_of_the_configurations_type() {
        assert_schema::<Enrich>("src/config.schema.json");
    }
}
