//! A series of many labels.

use sluice::model::Labels;

/// The `i`th series of twelve labels, as a cluster has them: a few metrics, many pods.
pub fn series(i: usize) -> Labels {
    let (metric, pod) = (i % 10, i / 10);
    let values = [
        ("__name__", format!("metric_{metric}_http_requests_total")),
        ("cluster", "eu-west-1".to_owned()),
        ("code", format!("{}", 200 + pod % 5)),
        ("container", "app".to_owned()),
        ("endpoint", "http".to_owned()),
        ("instance", format!("10.{}.{}.{}:8080", pod >> 16, pod >> 8 & 255, pod & 255)),
        ("job", format!("job-{}", pod % 50)),
        ("method", "GET".to_owned()),
        ("namespace", format!("namespace-{}", pod % 100)),
        ("pod", format!("app-7d4b9c6f5-{pod:05}")),
        ("service", format!("service-{}", pod % 200)),
        ("version", "v1.2.3".to_owned()),
    ];
    Labels::from_pairs(values.iter().map(|(name, value)| (*name, value.as_str())))
        .expect("every name stands once")
}
