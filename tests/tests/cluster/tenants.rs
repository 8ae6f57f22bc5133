//! Tenants: what a tenant sees in a resource, beside it and at its receiver.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use sluice_tests::cluster::{Cluster, condition, is};
use sluice_tests::servers::Pushgateway;
use sluice_tests::strict_receiver::StrictReceiver;
use sluice_tests::wait::{eventually, now_ms};

use super::world::{INTERVAL_MS, World, assert_no_refusals, spec, spec_to, spec_to_pushgateway};

pub(crate) async fn a_tenant_sees_its_resource_run(cluster: &Cluster) {
    let world = World::new(cluster, &["team"]).await;
    let mut replica = world.replica("sluice-0", &["team"]).await;
    let (resources, events) = (world.resources("team"), world.installation.events("team"));
    resources.apply("one", spec("one")).await;
    resources.ready("one").await;
    world.more_ticks("one", 3).await;
    resources
        .shows("one", "what is delivered is counted", |resource| {
            (resource.status()["series"]["delivered"].as_u64()? > 0).then_some(())
        })
        .await;

    let resource = resources.get("one").await.expect("it is there");
    let status = resource.status();
    for kind in ["Accepted", "FiltersReady", "Collecting", "Delivering", "Ready"] {
        let condition = condition(status, kind).unwrap_or_else(|| panic!("there is no {kind}: {status:#}"));
        assert!(is(condition, "status", "True"), "{condition:#}");
        assert_eq!(condition["observedGeneration"], 1, "{condition:#}");
        assert!(!condition["message"].as_str().unwrap_or_default().is_empty(), "{condition:#}");
    }
    assert_eq!(resource.owner().as_deref(), Some("sluice-0"));
    assert!(is(status, "target", "prometheus") && is(status, "interval", "2s"), "{status:#}");
    assert_eq!(status["series"]["selected"], status["series"]["delivered"], "{status:#}");
    let delivered = status["lastDelivered"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let delivered = delivered.unwrap_or_else(|| panic!("it does not say when: {status:#}")).as_millisecond();
    assert!(delivered % INTERVAL_MS == 0 && delivered <= now_ms(), "{status:#}");
    let tenant = ("tenant".to_owned(), String::new());
    let sluice = ("sluice".to_owned(), "status".to_owned());
    assert_eq!(
        resource.managers(),
        BTreeSet::from([tenant, sluice]),
        "nobody else writes, and we only the status"
    );

    events.tell("one", "Accepted").await;
    events.tell("one", "DeliveryBegan").await;
    let get = ["get", "ma", "one", "-n", &world.installation.tenant("team"), "--no-headers"];
    let row = world.installation.kubectl().run(&get).await.succeeds();
    let series = status["series"]["delivered"].to_string();
    let words: Vec<_> = row.split_whitespace().take(5).collect();
    assert_eq!(words, ["one", "prometheus", "2s", &series, "True"], "{row}");
    assert!(replica.sluice.stop().await.success());
    world.assert_complete("one", 3).await;
    assert_eq!(world.receiver.complaints(), [""; 0]);
    assert_no_refusals(&[&replica]);
}

pub(crate) async fn a_change_is_in_force_and_told(cluster: &Cluster) {
    let world = World::new(cluster, &["team"]).await;
    let mut replica = world.replica("sluice-0", &["team"]).await;
    let resources = world.resources("team");
    resources.apply("one", spec("one")).await;
    resources.apply("two", spec("two")).await;
    resources.ready("one").await;
    resources.ready("two").await;
    resources.merge("one", json!({ "spec": { "metrics": ["db_rows"] } })).await;
    resources.ready("one").await;
    eventually("only what is asked for now is alive", async || {
        (world.alive("one").await == BTreeSet::from(["db_rows".to_owned()])).then_some(())
    })
    .await;
    let changed = resources.merge("one", json!({ "spec": { "remoteWrite": { "enabled": false } } })).await;
    resources.becomes("one", "Ready", "False", "Disabled").await;
    assert!(!changed.is_observed(), "the status that was read with the change cannot speak of it yet");
    eventually("nothing is alive", async || world.alive("one").await.is_empty().then_some(())).await;
    resources.merge("one", json!({ "spec": { "remoteWrite": { "enabled": true } } })).await;
    resources.ready("one").await;
    eventually("it is alive again", async || (!world.alive("one").await.is_empty()).then_some(())).await;
    world.up_to_date("two").await;
    assert!(replica.sluice.stop().await.success());
    world.assert_complete("two", 3).await;
    assert_eq!(world.receiver.complaints(), [""; 0]);
    assert_no_refusals(&[&replica]);
}

pub(crate) async fn a_mistake_is_told_and_disturbs_nobody(cluster: &Cluster) {
    let world = World::new(cluster, &["team", "other"]).await;
    let mut replica = world.replica("sluice-0", &["team", "other"]).await;
    let (resources, events) = (world.resources("team"), world.installation.events("team"));
    world.resources("other").apply("good", spec("good")).await;
    world.resources("other").ready("good").await;

    // What no schema can see: a selector's syntax, and a limit of the operator's.
    let mut broken = spec("broken");
    broken["metrics"] = json!(["{job="]);
    resources.apply("broken", broken).await;
    let message = resources.becomes("broken", "Accepted", "False", "Invalid").await;
    assert!(message.contains("spec.metrics"), "it does not say where: {message}");
    resources.becomes("broken", "Ready", "False", "NotAccepted").await;
    events.tell("broken", "Refused").await;
    let mut partly = spec("partly");
    partly["metrics"] = json!(["queue_depth", "{job="]);
    resources.apply("partly", partly).await;
    resources.becomes("partly", "Accepted", "True", "AcceptedInPart").await;
    let pattern = resources
        .shows("partly", "the entry that grants nothing", |resource| {
            resource.status()["patterns"].get(0).cloned()
        })
        .await;
    assert_eq!((&pattern["index"], &pattern["pattern"]), (&json!(1), &json!("{job=")), "{pattern:#}");
    assert!(is(&pattern, "severity", "error"), "{pattern:#}");
    resources.ready("partly").await;

    resources.apply("broken", spec("broken")).await;
    resources.ready("broken").await;
    world.more_ticks("good", 3).await;
    world.up_to_date("good").await;
    assert!(replica.sluice.stop().await.success());
    world.assert_complete("good", 3).await;
    assert_eq!(world.receiver.complaints(), [""; 0]);
    assert_no_refusals(&[&replica]);
}

pub(crate) async fn a_deleted_resource_leaves_nothing(cluster: &Cluster) {
    let (world, gateway) = tokio::join!(World::new(cluster, &["team"]), Pushgateway::start());
    let service = format!("pushgateway.{}:9091", world.installation.tenant("team"));
    let setup = world.setup(&["team"]).service(&service, &gateway.url());
    let replica = world.installation.replica("sluice-0", &setup).await;
    let resources = world.resources("team");
    resources.apply("stays", spec("stays")).await;
    resources.apply("goes", spec("goes")).await;
    resources.apply("pushes", spec_to_pushgateway("pushes", "team")).await;
    for name in ["stays", "goes", "pushes"] {
        resources.ready(name).await;
    }
    eventually("the group is there", async || (!gateway.pushed().await.is_empty()).then_some(())).await;
    let finalizers = resources.get("pushes").await.expect("it is there").finalizers().to_vec();
    assert_eq!(finalizers.len(), 1, "a group would stay for ever without a finalizer: {finalizers:?}");

    resources.delete("goes").await;
    resources.delete("pushes").await;
    resources.gone("goes").await;
    resources.gone("pushes").await;
    eventually("its series have ended", async || world.alive("goes").await.is_empty().then_some(())).await;
    eventually("its group is gone", async || gateway.pushed().await.is_empty().then_some(())).await;
    let left = BTreeSet::from([format!("{}/stays", world.installation.tenant("team"))]);
    eventually("its metrics are gone", async || (replica.tenants().await == left).then_some(())).await;
    let last = world.newest("goes").await;
    world.more_ticks("stays", 3).await;
    assert_eq!(world.newest("goes").await, last, "a resource that is gone delivers nothing");
    world.assert_complete("stays", 3).await;
    assert_no_refusals(&[&replica]);
}

pub(crate) async fn a_secret_is_used_only_where_both_sides_agree(cluster: &Cluster) {
    let (world, receiver) = tokio::join!(World::new(cluster, &["team"]), StrictReceiver::start());
    let installation = &world.installation;
    let setup = world.setup(&["team"]).setting("receivers", json!({ "allow": ["127.0.0.0/8"] }));
    let replica = installation.replica("sluice-0", &setup).await;
    let resources = world.resources("team");
    installation.secret("team", "password", ("key", "hush"), false).await;
    let block = json!({
        "url": format!("{}/api/v1/write", receiver.url()),
        "basicAuth": { "username": "team", "passwordSecret": { "name": "password", "key": "key" } },
    });
    resources.apply("guarded", spec_to("guarded", "remote_write", block)).await;
    let message = resources.becomes("guarded", "Accepted", "False", "ReferenceMissing").await;
    assert!(message.contains("sluice-secrets-reader"), "it does not say what to bind: {message}");
    installation.open_secrets("team").await;
    resources
        .shows("guarded", "the Secret's label is asked for", |resource| {
            let accepted = condition(resource.status(), "Accepted")?;
            accepted["message"]
                .as_str()?
                .contains("observability.ethos.io/metricaccess: \"true\"")
                .then_some(())
        })
        .await;
    assert!(receiver.seen().is_empty());
    installation.secret("team", "password", ("key", "hush"), true).await;
    resources.ready("guarded").await;
    let authorization = |seen: &sluice_tests::strict_receiver::Seen| {
        seen.headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    // team:hush, and team:loud.
    eventually("the password is used", async || {
        receiver.seen().last().and_then(authorization).filter(|value| value == "Basic dGVhbTpodXNo")
    })
    .await;
    installation.secret("team", "password", ("key", "loud"), true).await;
    eventually("the new password is used", async || {
        receiver.seen().last().and_then(authorization).filter(|value| value == "Basic dGVhbTpsb3Vk")
    })
    .await;
    for text in ["hush", "loud"] {
        assert!(!replica.sluice.log().contains(text), "a Secret's value is in the log");
    }
}

pub(crate) async fn of_two_that_contest_a_group_the_younger_says_so(cluster: &Cluster) {
    let (world, gateway) = tokio::join!(World::new(cluster, &["team"]), Pushgateway::start());
    let service = format!("pushgateway.{}:9091", world.installation.tenant("team"));
    let setup = world.setup(&["team"]).service(&service, &gateway.url());
    let replica = world.installation.replica("sluice-0", &setup).await;
    let resources = world.resources("team");
    resources.apply("older", spec_to_pushgateway("older", "team")).await;
    // Creation times have seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    resources.apply("younger", spec_to_pushgateway("younger", "team")).await;
    resources.ready("older").await;
    let message = resources.becomes("younger", "Accepted", "False", "Conflict").await;
    assert!(message.contains("older"), "it does not say with whom: {message}");
    resources.delete("older").await;
    resources.gone("older").await;
    resources.ready("younger").await;
    eventually("the younger has the group", async || {
        let pushed = gateway.pushed().await;
        (!pushed.is_empty() && pushed.keys().all(|series| series.get("tenant") == "younger")).then_some(())
    })
    .await;
    assert_no_refusals(&[&replica]);
}
