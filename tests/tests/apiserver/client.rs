//! Client: the fake under a real `kube::Client`, and what it does when told to misbehave.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Config};
use serde_json::json;
use sluice_tests::apiserver::{FakeApi, Fault};

/// How long any of these may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn config_map(name: &str) -> serde_json::Value {
    json!({"kind": "ConfigMap", "metadata": {"name": name, "namespace": "team"}, "data": {"k": "v"}})
}

fn metric_accesses(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("observability.ethos.io", "v1alpha1", "MetricAccess");
    Api::namespaced_with(client, "team", &ApiResource::from_gvk_with_plural(&kind, "metricaccesses"))
}

fn metric_access(name: &str) -> serde_json::Value {
    json!({
        "kind": "MetricAccess", "metadata": {"name": name, "namespace": "team"},
        "spec": {"source": "team", "metrics": ["up"], "remoteWrite": {
            "enabled": true, "interval": "30s", "target": {"type": "prometheus"},
            "prometheus": {"serviceName": "prometheus"},
        }},
    })
}

/// The names a watcher holds after each of its changes, until `until` are seen.
async fn names_until(events: impl futures::Stream<Item = Result<ConfigMap, watcher::Error>>, until: &str) {
    let seen = events
        .filter_map(async |event| event.ok())
        .map(|object| object.metadata.name.unwrap_or_default())
        .skip_while(|name| std::future::ready(name != until));
    let mut seen = std::pin::pin!(seen);
    let seen =
        tokio::time::timeout(PATIENCE, seen.next()).await.unwrap_or_else(|_| panic!("{until} was not seen"));
    assert_eq!(seen.as_deref(), Some(until));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_goes_on_through_cuts_and_lost_history() {
    let api = FakeApi::start();
    api.create(config_map("first"));
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "team");
    let watcher = watcher::watcher(maps, watcher::Config::default()).default_backoff().touched_objects();
    let mut watcher = std::pin::pin!(watcher);

    names_until(&mut watcher, "first").await;
    api.drop_watches();
    api.create(config_map("second"));
    names_until(&mut watcher, "second").await;

    let lists = api.requests().count("list", "configmaps");
    let outage = api.fault(Fault::Refused);
    api.create(config_map("third"));
    api.compact();
    api.lift(outage);
    names_until(&mut watcher, "third").await;
    assert!(
        api.requests().count("list", "configmaps") > lists,
        "lost history makes a new list\n{}",
        api.requests()
    );
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_its_mark() {
    let api = FakeApi::start();
    api.create(config_map("first"));
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "team");
    let events = watcher::watcher(maps, watcher::Config::default().streaming_lists());
    let events: Vec<_> = tokio::time::timeout(PATIENCE, events.take(3).try_collect())
        .await
        .expect("in time")
        .expect("no error");
    assert!(matches!(&events[..], [Event::Init, Event::InitApply(_), Event::InitDone]), "{events:?}");
    assert_eq!(api.requests().count("list", "configmaps"), 0);
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_can_be_watched() {
    let api = FakeApi::start();
    api.create(json!({
        "kind": "Secret", "metadata": {"name": "auth", "namespace": "team", "labels": {"a": "b"}},
        "stringData": {"password": "secret"},
    }));
    let secrets: Api<Secret> = Api::namespaced(api.client(), "team");
    let config = watcher::Config::default().fields("metadata.name=auth");
    let metadata: Api<PartialObjectMeta<Secret>> = Api::namespaced(api.client(), "team");
    let mut events = std::pin::pin!(watcher::watcher(metadata, config).touched_objects());
    let object = events.next().await.expect("an object").expect("no error");
    assert_eq!(object.metadata.labels.expect("labels")["a"], "b");
    assert_eq!(secrets.get("auth").await.expect("it is there").data.expect("data")["password"].0, b"secret");
}

#[tokio::test]
async fn conditions_of_two_managers_stay_apart() {
    let api = FakeApi::start();
    api.create(metric_access("web"));
    let resources = metric_accesses(api.client());
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Ok", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
    };
    let status = |condition: serde_json::Value| {
        Patch::Apply(json!({
            "apiVersion": "observability.ethos.io/v1alpha1", "kind": "MetricAccess",
            "status": {"conditions": [condition]},
        }))
    };
    let (ours, theirs) = (PatchParams::apply("sluice"), PatchParams::apply("other"));
    resources.patch_status("web", &ours, &status(condition("Ready", "True"))).await.expect("applied");
    resources.patch_status("web", &theirs, &status(condition("Extra", "True"))).await.expect("applied");
    let conflict = resources.patch_status("web", &theirs, &status(condition("Ready", "False"))).await;
    assert!(matches!(conflict, Err(kube::Error::Api(status)) if status.code == 409));
    let object = api.object("MetricAccess", "team", "web").expect("it is there");
    let types: Vec<_> = object["status"]["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .map(|c| c["type"].clone())
        .collect();
    assert_eq!(types, ["Ready", "Extra"]);
    assert_eq!(object["metadata"]["generation"], 1);
}

#[tokio::test]
async fn of_two_that_write_one_version_one_gets_a_conflict() {
    let api = FakeApi::start();
    api.create(json!({"kind": "Lease", "metadata": {"name": "a", "namespace": "team"}, "spec": {"holderIdentity": "x"}}));
    let leases: Api<Lease> = Api::namespaced(api.client(), "team");
    let lease = leases.get("a").await.expect("it is there");
    let mut first = lease.clone();
    first.spec.as_mut().expect("a spec").holder_identity = Some("y".into());
    leases.replace("a", &PostParams::default(), &first).await.expect("the version is the newest");
    let second = leases.replace("a", &PostParams::default(), &lease).await;
    assert!(matches!(second, Err(kube::Error::Api(status)) if status.is_conflict()));
}

#[tokio::test(start_paused = true)]
async fn faults_are_for_what_they_name_and_as_often_as_they_say() {
    let api = FakeApi::start();
    api.create(config_map("a"));
    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "team");
    let code = async |maps: &Api<ConfigMap>| match maps.get("a").await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(_) => 0,
    };
    api.fault(Fault::InternalError.on("get", "configmaps").times(2));
    api.fault(Fault::Forbidden.on("list", "configmaps"));
    assert_eq!([code(&maps).await, code(&maps).await, code(&maps).await], [500, 500, 200]);
    let refused = maps.list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
    api.lift_all();

    api.fault(Fault::TooManyRequests { retry_after_seconds: 3 }.times(1));
    assert_eq!([code(&maps).await, code(&maps).await], [429, 200]);
    let slow = api.fault(Fault::Slow(Duration::from_secs(5)));
    assert!(tokio::time::timeout(Duration::from_secs(4), maps.get("a")).await.is_err());
    api.lift(slow);
    api.fault(Fault::Refused);
    assert_eq!(code(&maps).await, 0);
}

#[tokio::test]
async fn over_a_socket_an_outage_closes_the_port_and_cuts_what_is_open() {
    let api = FakeApi::start();
    api.create(config_map("a"));
    let serving = api.serve().await;
    let config = Config::new(serving.url().parse().expect("a URL"));
    let maps: Api<ConfigMap> = Api::namespaced(Client::try_from(config).expect("a client"), "team");
    let mut watch = maps.watch(&Default::default(), "0").await.expect("a watch").boxed();
    assert!(watch.next().await.expect("an event").is_ok());

    let outage = api.fault(Fault::Refused);
    let cut = tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch ends");
    assert!(cut.is_none_or(|event| event.is_err()));
    assert!(tokio::time::timeout(PATIENCE, maps.get("a")).await.is_ok_and(|answer| answer.is_err()));
    api.lift(outage);
    let back = async {
        while maps.get("a").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("it is back");
}

#[tokio::test]
async fn a_user_may_do_what_its_roles_say() {
    let api = FakeApi::start();
    api.create(config_map("a"));
    api.create(config_map("b"));
    api.create(json!({
        "kind": "Role", "metadata": {"name": "one", "namespace": "team"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get"]}],
    }));
    api.create(json!({
        "kind": "RoleBinding", "metadata": {"name": "one", "namespace": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"},
        "subjects": [{"kind": "ServiceAccount", "name": "sluice", "namespace": "team"}],
    }));
    api.user("token", "system:serviceaccount:team:sluice");
    let serving = api.serve().await;
    let mut config = Config::new(serving.url().parse().expect("a URL"));
    config.auth_info.token = Some("token".to_owned().into());
    let maps: Api<ConfigMap> = Api::namespaced(Client::try_from(config).expect("a client"), "team");
    assert!(maps.get("a").await.is_ok());
    assert!(matches!(maps.get("b").await, Err(kube::Error::Api(status)) if status.is_forbidden()));
}

#[tokio::test]
async fn the_programs_own_definition_is_served_and_its_schema_holds() {
    let api = FakeApi::start();
    let resources = metric_accesses(api.client());
    let created = api.create(metric_access("web"));
    assert_eq!(created["metadata"]["generation"], 1);
    let mut bad = resources.get("web").await.expect("it is there");
    bad.data["spec"]["metrics"] = json!("up");
    let refused = resources.replace("web", &PostParams::default(), &bad).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 422));
}

#[tokio::test]
async fn what_a_controller_would_write_can_be_written_with_the_object() {
    let api = FakeApi::start();
    api.create(json!({
        "kind": "Pod", "metadata": {"name": "prometheus-0", "namespace": "team"},
        "spec": {"containers": [{"name": "prometheus", "image": "prometheus:v3"}], "nodeName": "node"},
        "status": {"phase": "Running", "podIP": "10.1.0.1"},
    }));
    let pods: Api<Pod> = Api::namespaced(api.client(), "team");
    let running = pods.list(&ListParams::default().fields("status.phase=Running")).await.expect("a list");
    assert_eq!(running.items.len(), 1);
    api.delete("Pod", "team", "prometheus-0");
    assert_eq!(api.objects("Pod").len(), 0);
}

#[tokio::test]
async fn a_namespace_goes_when_the_last_finalizer_in_it_does() {
    let api = FakeApi::start();
    api.create(config_map("a"));
    let held = json!({"metadata": {"name": "b", "namespace": "team", "finalizers": ["example.org/held"]}});
    let mut object = config_map("b");
    object["metadata"] = held["metadata"].clone();
    api.create(object);
    api.delete("Namespace", "", "team");
    assert_eq!(api.objects("ConfigMap").len(), 1);
    assert_eq!(api.object("Namespace", "", "team").expect("it waits")["status"]["phase"], "Terminating");

    let maps: Api<ConfigMap> = Api::namespaced(api.client(), "team");
    let new: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "c"}})).expect("a map");
    let refused = maps.create(&PostParams::default(), &new).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));

    api.merge("ConfigMap", "team", "b", json!({"metadata": {"finalizers": null}}));
    assert_eq!(api.object("Namespace", "", "team"), None);
}
