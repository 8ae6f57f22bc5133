//! Record: what is kept of one tenant: who runs it, how far it got, the groups it pushed to, and what its filters' tags stand
//! for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pushed::Pushed;
use crate::model::{ENDED_CURSORS_MAX, Timestamp};

/// A cursor that ended is kept for this long, in case its endpoint comes back: it then repeats no timestamp.
pub const ENDED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How far one endpoint got with one source group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The source group's name.
    pub group: String,
    /// The endpoint's key.
    pub endpoint: String,
    /// The newest tick acknowledged in full, in milliseconds since the epoch.
    pub delivered: i64,
    /// Whether nothing is owed since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ended: bool,
}

/// What a tag stands for of which a filter was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The reference's key.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The artefact's digest.
    pub digest: String,
}

/// One tenant's record. Fields of a later version are ignored, not refused: two versions run beside each other during
/// an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The pod that runs the tenant, or was the last to.
    pub holder: String,
    /// Whether the holder has let go of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub released: bool,
    /// Counts the claims, so that no two of them say the same.
    #[serde(default)]
    pub term: u64,
    /// Since when its resource is gone, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<i64>,
    /// How far it got.
    pub cursors: Vec<Row>,
    /// The Pushgateway groups that it pushes to, and those that it left and that are not removed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Pushed>,
    /// What the tags of its filters stand for, since when they were ready with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

impl Record {
    /// What a value says, if it can be understood.
    pub fn read(value: &str) -> Option<Record> {
        serde_json::from_str(value).ok()
    }

    /// The record as a value.
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("a record is plain data")
    }
}

/// Both lists of rows as one, the newer of two rows for the same endpoint, without what ended long before `now` and
/// without more than [`ENDED_CURSORS_MAX`] that ended. The order of the lists does not matter, and no cursor moves back,
/// but for one that is ahead of the time: whoever starts from it would wait for that time.
pub(super) fn merged(rows: &[Row], others: Vec<Row>, now: Timestamp) -> Vec<Row> {
    let mut newest = BTreeMap::<(String, String), (i64, bool)>::new();
    for Row { group, endpoint, delivered, ended } in rows.iter().cloned().chain(others) {
        let delivered = delivered.min(now.as_millis());
        let stand = newest.entry((group, endpoint)).or_insert((delivered, ended));
        *stand = (*stand).max((delivered, ended));
    }
    let row = |((group, endpoint), (delivered, ended))| Row { group, endpoint, delivered, ended };
    let is_kept = |row: &Row| !row.ended || now.since(Timestamp(row.delivered)) < ENDED_KEPT;
    let mut rows: Vec<Row> = newest.into_iter().map(row).filter(is_kept).collect();
    // What is owed stands before what ended, the newest of these first.
    rows.sort_by_key(|row| (row.ended, if row.ended { -row.delivered } else { 0 }));
    let owed = rows.partition_point(|row| !row.ended);
    rows.truncate(owed + ENDED_CURSORS_MAX);
    rows
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(endpoint: &str, delivered: i64, ended: bool) -> Row {
        Row { group: "g".into(), endpoint: endpoint.into(), delivered, ended }
    }

    #[test]
    fn a_record_is_compact_and_reads_back() {
        let record = Record {
            holder: "sluice-0".into(),
            term: 3,
            cursors: vec![row("http://a", 1_000, false)],
            ..Record::default()
        };
        let written = r#"{"holder":"sluice-0","term":3,"cursors":[{"group":"g","endpoint":"http://a","delivered":1000}]}"#;
        assert_eq!(record.write(), written);
        assert_eq!(Record::read(written), Some(record.clone()));
        let tag = Tag { reference: "ghcr.io/a:1".into(), digest: "sha256:00".into() };
        let tagged = Record { tags: vec![tag], ..record.clone() };
        assert!(tagged.write().ends_with(r#","tags":[{"ref":"ghcr.io/a:1","digest":"sha256:00"}]}"#));
        assert_eq!(Record::read(&tagged.write()), Some(tagged));
        let released = Record { released: true, gone: Some(7), ..record };
        assert_eq!(Record::read(&released.write()), Some(released));
    }

    #[test]
    fn what_a_later_version_adds_is_ignored_and_what_is_no_record_is_none() {
        let later = r#"{"holder":"a","released":true,"cursors":[{"group":"g","endpoint":"e","delivered":1,"ended":true,"x":1}],"y":{}}"#;
        assert_eq!(Record::read(later).unwrap().cursors, [row("e", 1, true)]);
        for value in ["", "{}", "[]", r#"{"holder":1,"cursors":[]}"#] {
            assert_eq!(Record::read(value), None, "{value}");
        }
    }

    #[test]
    fn what_ended_long_ago_is_left_out() {
        let day = ENDED_KEPT.as_millis() as i64;
        let rows = [row("old", 0, true), row("new", 1, true), row("owed", 0, false)];
        let left = merged(&rows, Vec::new(), Timestamp(day));
        assert_eq!(left, [row("owed", 0, false), row("new", 1, true)]);
    }

    #[test]
    fn of_what_ended_the_newest_are_kept_and_what_is_owed_always_is() {
        let mut rows: Vec<Row> = (0..100).map(|n| row(&format!("old-{n:02}"), n, true)).collect();
        rows.extend((0..20).map(|n| row(&format!("owed-{n:02}"), 0, false)));
        let left = merged(&rows[..60], rows[60..].to_vec(), Timestamp(1_000));
        assert_eq!(left.len(), 20 + ENDED_CURSORS_MAX);
        assert_eq!(left.iter().filter(|row| !row.ended).count(), 20);
        assert!(left.iter().all(|row| !row.ended || row.delivered >= 92), "{left:?}");
    }

    #[test]
    fn no_cursor_is_ahead_of_the_time() {
        let left = merged(&[row("a", i64::MAX, false)], vec![row("b", 7_000, true)], Timestamp(5_000));
        assert_eq!(left, [row("a", 5_000, false), row("b", 5_000, true)]);
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let row = ("[ab]", "[xyz]", 0..5_i64, any::<bool>());
        let row =
            row.prop_map(|(group, endpoint, delivered, ended)| Row { group, endpoint, delivered, ended });
        proptest::collection::vec(row, 0..8)
    }

    proptest! {
        #[test]
        fn merging_moves_no_cursor_back_and_knows_no_order(a in rows(), b in rows()) {
            let now = Timestamp(5);
            let both = merged(&a, b.clone(), now);
            prop_assert_eq!(&both, &merged(&b, a.clone(), now));
            prop_assert_eq!(&both, &merged(&both, a.clone(), now));
            for row in a.iter().chain(&b) {
                let same = |other: &&Row| (&other.group, &other.endpoint) == (&row.group, &row.endpoint);
                let kept = both.iter().find(same).unwrap();
                prop_assert!((kept.delivered, kept.ended) >= (row.delivered, row.ended));
            }
        }
    }
}
