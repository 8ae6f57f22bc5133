//! Process: the standard `process_*` metrics, read when someone asks.
//!
//! In: `/proc/self`. Out: what is there; elsewhere than on Linux, next to nothing.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Collects the process' own numbers.
#[derive(Debug)]
pub(super) struct Process {
    started_seconds: f64,
}

impl Process {
    /// Who asks at `now` is told when the process began; where that is not known, that it just did.
    pub(super) fn new(now: SystemTime) -> Process {
        let started = now.checked_sub(age().unwrap_or_default()).unwrap_or(now);
        let since_epoch = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Process { started_seconds: since_epoch.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let start = ConstGauge::new(self.started_seconds);
        let help = "When the process started, in seconds since the Unix epoch.";
        put(&mut encoder, "process_start_time", help, Some(&Unit::Seconds), &start)?;
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory.";
            let gauge = ConstGauge::new(bytes);
            put(&mut encoder, "process_resident_memory", help, Some(&Unit::Bytes), &gauge)?;
        }
        if let Some(open) = fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
            put(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors.",
                None,
                &ConstGauge::new(open as i64),
            )?;
        }
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let help = "User and system CPU time spent.";
        put(&mut encoder, "process_cpu", help, Some(&Unit::Seconds), &ConstCounter::new(seconds))
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// How long ago the process began.
fn age() -> Option<Duration> {
    let began = began_after_boot(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(uptime.tv_sec.try_into().ok()?, uptime.tv_nsec.try_into().ok()?);
    Some(uptime.saturating_sub(began))
}

/// The field `starttime` of proc(5)'s `stat`. Before it stands the command's name, which may hold anything.
fn began_after_boot(stat: &str) -> Option<Duration> {
    /// `USER_HZ`, the same on every architecture of Linux that we build for.
    const TICKS_PER_SECOND: u64 = 100;
    const FIELDS_BETWEEN: usize = 19;
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: u64 = after_name.split_whitespace().nth(FIELDS_BETWEEN)?.parse().ok()?;
    Some(Duration::from_millis(ticks * (1000 / TICKS_PER_SECOND)))
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = |name: &str| {
            format!(
                "7 ({name}) S 1 7 7 0 -1 4194304 99 0 0 0 1 2 0 0 20 0 9 0 4321 1000 50 18446744073709551615"
            )
        };
        for name in ["sluice", "a ) b (", ""] {
            assert_eq!(began_after_boot(&stat(name)), Some(Duration::from_millis(43_210)), "{name}");
        }
        assert_eq!(began_after_boot("7 (sluice) S 1"), None);
    }
}
