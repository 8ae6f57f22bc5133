//! Lease: a member's Lease object, as it is written and as it is read.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::rendezvous::spread;
use super::{LEASE_DURATION, Seen};

/// Marks our own objects.
pub(super) const APP_LABEL: (&str, &str) = ("app.kubernetes.io/name", "sluice");
/// Marks members' Leases.
pub(super) const MEMBER_LABEL: (&str, &str) = ("observability.ethos.io/member", "true");
/// The annotation of a member that is about to go.
const LEAVING: &str = "observability.ethos.io/leaving";
/// The longest name an object can have.
const NAME_BYTES_MAX: usize = 253;

/// Whether a member means to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Stay,
    Leave,
}

/// The selector of all members' Leases.
pub(super) fn selector() -> String {
    let ((app, sluice), (member, yes)) = (APP_LABEL, MEMBER_LABEL);
    format!("{app}={sluice},{member}={yes}")
}

/// The name of a pod's Lease.
pub(super) fn name(pod: &str) -> String {
    let name = format!("sluice-member-{pod}");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    format!("sluice-member-{:016x}", spread(pod))
}

/// A Lease renewed at `renewal`, for server-side apply.
pub(super) fn renewed(pod: &str, started: Timestamp, renewal: Timestamp, intent: Intent) -> Lease {
    let label = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let leaving = (intent == Intent::Leave).then(|| [label((LEAVING, "true"))].into());
    Lease {
        metadata: ObjectMeta {
            name: Some(name(pod)),
            labels: Some([label(APP_LABEL), label(MEMBER_LABEL)].into()),
            annotations: leaving,
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(pod.to_owned()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: Some(MicroTime(started)),
            renew_time: Some(MicroTime(renewal)),
            ..LeaseSpec::default()
        }),
    }
}

/// A Lease as the ledger takes it.
pub(super) fn seen(lease: &Lease) -> Seen {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Seen {
        lease: lease.name_any(),
        holder: spec.holder_identity,
        renewal: spec.renew_time.map_or(0, |time| time.0.as_microsecond()),
        version: lease.resource_version().unwrap_or_default(),
        duration: seconds.map_or(LEASE_DURATION, Duration::from_secs),
        leaving: lease.annotations().get(LEAVING).is_some_and(|value| value == "true"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    #[test]
    fn what_is_written_is_what_others_see() {
        for (intent, leaving) in [(Intent::Stay, false), (Intent::Leave, true)] {
            let written =
                serde_json::to_string(&renewed("sluice-0", at(1), at(1_767_225_600_852_526), intent));
            let mut read: Lease = serde_json::from_str(&written.unwrap()).unwrap();
            read.metadata.resource_version = Some("7".into());
            let expected = Seen {
                lease: "sluice-member-sluice-0".into(),
                holder: Some("sluice-0".into()),
                renewal: 1_767_225_600_852_526,
                version: "7".into(),
                duration: LEASE_DURATION,
                leaving,
            };
            assert_eq!(seen(&read), expected);
        }
    }

    #[test]
    fn a_lease_is_found_by_its_own_selector() {
        let lease = renewed("sluice-0", at(1), at(2), Intent::Stay);
        let labels: Vec<String> =
            lease.labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels.join(","), selector());
    }

    #[test]
    fn a_pod_with_the_longest_name_has_a_lease_too() {
        let (long, longer) = ("p".repeat(253), "q".repeat(253));
        assert!(name(&long).len() <= NAME_BYTES_MAX && name(&long) != name(&longer));
    }
}
