//! Filtered: resources as most tests want them, with filters of their own or without, and components that differ in their bytes
//! alone.
//!
//! In: names, filters. Out: what stands in a file. Never: what a filter makes of anything.

use serde_json::{Value as Json, json};

use crate::strict_receiver::StrictReceiver;

/// The resource `NAMESPACE/NAME` that wants `metrics` every second, at a path of `receiver` with its name, through these filters.
pub fn resource(id: &str, receiver: &StrictReceiver, metrics: &str, filters: &Json) -> String {
    let (_, name) = id.split_once('/').expect("a namespace and a name");
    let mut resource = every_second(id, &format!("{}/{name}", receiver.url()), metrics);
    resource["spec"]["filters"] = filters.clone();
    resource.to_string()
}

/// The resource `NAMESPACE/NAME` that wants `metrics` every second, at `url`.
pub fn every_second(id: &str, url: &str, metrics: &str) -> Json {
    let (namespace, name) = id.split_once('/').expect("a namespace and a name");
    json!({
        "apiVersion": "observability.ethos.io/v1alpha1",
        "kind": "MetricAccess",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "source": "team",
            "metrics": [metrics],
            "remoteWrite": {
                "enabled": true, "interval": "1s",
                "target": { "type": "remote_write" },
                "remoteWrite": { "url": url },
            },
        },
    })
}

/// A filter that sets the label `tag`.
pub fn tagging(value: &str) -> Json {
    json!([{
        "name": "tag", "module": { "builtin": { "name": "relabel" } },
        "config": { "rules": [{ "targetLabel": "tag", "replacement": value }] },
    }])
}

/// The component with a section that nobody reads, of so many bytes at least: another digest for each mark.
pub fn marked(component: &[u8], mark: usize, bytes_min: usize) -> Vec<u8> {
    let mut section = format!("\x04mark{mark:08}").into_bytes();
    section.resize(bytes_min.max(section.len()), 0);
    // LEB128, as all lengths in a module.
    let (mut rest, mut length) = (section.len(), Vec::new());
    while rest > 127 {
        length.push(rest as u8 & 127 | 128);
        rest >>= 7;
    }
    length.push(rest as u8);
    [component, &[0], &length, &section].concat()
}
