//! References: what a resource names beside itself, Secrets and Services, and the labels of the namespace it is in.

use serde_json::{Value, json};
use sluice_tests::apiserver::{FakeApi, Fault};
use sluice_tests::secure::Secure;
use sluice_tests::strict_receiver::Seen;
use sluice_tests::tls::Authority;
use sluice_tests::wait::eventually;

use super::world::{OURS, TEAM, World, replica};

/// What a replica that may not do everything has for a token, and who it is.
pub(super) const TOKEN: &str = "token-of-sluice";
pub(super) const USER: &str = "system:serviceaccount:sluice:sluice";
/// A Secret's label that lets us use it.
pub(super) const OPEN: &str = "observability.ethos.io/metricaccess";

/// Lets `USER` do everything with `resources` in `namespace`, or everywhere.
pub(super) fn grant(api: &FakeApi, name: &str, namespace: Option<&str>, rule: Value) {
    let (role, binding) = match namespace {
        Some(_) => ("Role", "RoleBinding"),
        None => ("ClusterRole", "ClusterRoleBinding"),
    };
    let metadata = json!({ "name": name, "namespace": namespace });
    api.create(json!({ "kind": role, "metadata": metadata, "rules": [rule] }));
    let subject = json!({ "kind": "ServiceAccount", "name": "sluice", "namespace": OURS });
    let group = "rbac.authorization.k8s.io";
    let reference = json!({ "apiGroup": group, "kind": role, "name": name });
    api.create(json!({ "kind": binding, "metadata": metadata, "subjects": [subject], "roleRef": reference }));
}

/// A Secret of the team with one key.
fn secret(api: &FakeApi, name: &str, value: &str, labels: Value) {
    let metadata = json!({ "name": name, "namespace": TEAM, "labels": labels });
    api.apply(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": { "key": value },
    }));
}

/// Waits until the receiver is shown this.
async fn used(world: &World, authorization: &str) {
    eventually(&format!("{authorization} is used"), async || {
        let seen = world.receiver.seen();
        (header(seen.last()?, "authorization") == authorization).then_some(())
    })
    .await;
}

fn header(seen: &Seen, name: &str) -> String {
    seen.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_secret_is_used_where_both_sides_agree_and_no_other_is_looked_at() {
    let api = FakeApi::start();
    api.user(TOKEN, USER);
    grant(
        &api,
        "everything-but-secrets",
        None,
        json!({
            "verbs": ["*"],
            "apiGroups": ["", "observability.ethos.io", "coordination.k8s.io", "events.k8s.io"],
            "resources": [
                "metricaccesses", "metricaccesses/status", "metricaccesses/finalizers", "services", "namespaces",
                "configmaps", "leases", "events",
            ],
        }),
    );
    let world = World::around(api).await;
    let mut sluice = replica("sluice-0", world.setup_as(Some(TOKEN))).await;
    secret(&world.api, "others", "not ours", json!({ OPEN: "true" }));

    // Without a right to read it.
    let block = json!({
        "url": world.receiving("guarded"),
        "basicAuth": { "username": "team", "passwordSecret": { "name": "password", "key": "key" } },
    });
    let spec = world.spec_to("remote_write", "remoteWrite", block, "guarded");
    world.resources().apply("guarded", spec).await;
    world.says("guarded", "Accepted", "ReferenceMissing", "sluice-secrets-reader").await;

    // A right that is for this Secret alone is enough: all of them are never asked for.
    let rule = json!({
        "verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["password"],
    });
    grant(&world.api, "one-secret", Some(TEAM), rule);
    world.says("guarded", "Accepted", "ReferenceMissing", "does not exist").await;

    secret(&world.api, "password", "hush", json!({}));
    world
        .says("guarded", "Accepted", "ReferenceMissing", "label it observability.ethos.io/metricaccess")
        .await;
    assert!(world.receiver.seen().is_empty(), "nothing is sent without the password");

    secret(&world.api, "password", "hush", json!({ OPEN: "true" }));
    world.resources().ready("guarded").await;
    // team:hush, and team:loud.
    used(&world, "Basic dGVhbTpodXNo").await;
    secret(&world.api, "password", "loud", json!({ OPEN: "true" }));
    used(&world, "Basic dGVhbTpsb3Vk").await;
    world.more_ticks("guarded", 2).await;
    let sent: Vec<String> = world.receiver.seen().iter().map(|seen| header(seen, "authorization")).collect();
    assert!(sent.is_sorted_by_key(|basic| basic == "Basic dGVhbTpsb3Vk"), "the old one is not used again");

    // Who takes the label away takes the consent away.
    world.api.merge("Secret", TEAM, "password", json!({ "metadata": { "labels": { OPEN: null } } }));
    world.says("guarded", "Accepted", "ReferenceMissing", "label it").await;
    secret(&world.api, "password", "loud", json!({ OPEN: "true" }));
    world.resources().ready("guarded").await;
    world.up_to_date("guarded").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("guarded", 4).await;
    world.assert_no_complaints();
    let log = sluice.log();
    assert!(!log.contains("hush") && !log.contains("loud") && !log.contains("not ours"), "{log}");
}

#[tokio::test]
async fn a_token_and_certificates_are_taken_from_secrets_and_followed() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    let ours = Authority::new("ours");
    let own = ours.certify(&["prometheus.team"]);
    let front = Secure::before(&world.receiver.url(), &own, Some(&ours), &["h2"]).await;
    let open = |name: &str, value: &str| secret(&world.api, name, value, json!({ OPEN: "true" }));
    let key = |name: &str| json!({ "name": name, "key": "key" });
    let tls = json!({
        "caSecret": key("ca"), "certSecret": key("crt"), "keySecret": key("private"), "serverName": "prometheus.team",
    });
    let block = json!({
        "url": format!("{}/guarded", front.url()), "bearerTokenSecret": key("token"), "tls": tls,
    });
    open("token", "hush-1");
    open("ca", ours.pem());
    let team = ours.certify(&["team"]);
    open("crt", &team.certificate);
    secret(&world.api, "private", &team.key, json!({}));
    let spec = world.spec_to("remote_write", "remoteWrite", block, "guarded");
    world.resources().apply("guarded", spec).await;
    world
        .says("guarded", "Accepted", "ReferenceMissing", "label it observability.ethos.io/metricaccess")
        .await;
    assert!(world.receiver.seen().is_empty(), "nothing is sent without all of them");
    open("private", &team.key);
    used(&world, "Bearer hush-1").await;
    open("token", "hush-2");
    used(&world, "Bearer hush-2").await;
    // Another authority than the receiver's: it is trusted no longer, until the right one is back.
    open("ca", Authority::new("theirs").pem());
    world.says("guarded", "Delivering", "EndpointFailing", "UnknownIssuer").await;
    open("ca", ours.pem());
    world.resources().ready("guarded").await;
    world.up_to_date("guarded").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("guarded", 4).await;
    world.assert_no_complaints();
    let log = sluice.log();
    assert!(!log.contains("hush") && !log.contains("BEGIN"), "{log}");
}

#[tokio::test]
async fn a_refusal_that_passes_takes_no_secret_away() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    secret(&world.api, "password", "hush", json!({ OPEN: "true" }));
    let block = |name: &str| {
        json!({
            "url": world.receiving(name),
            "basicAuth": { "username": "team", "passwordSecret": { "name": name, "key": "key" } },
        })
    };
    let spec = world.spec_to("remote_write", "remoteWrite", block("password"), "password");
    world.resources().apply("password", spec).await;
    world.resources().ready("password").await;

    // As an API server that was restarted, and has not read its own roles yet.
    let before = world.api.requests();
    let refusing = world.api.fault(Fault::Forbidden.on("*", "secrets"));
    world.api.drop_watches();
    eventually("the Secret was asked for and refused twice", async || {
        let since = world.api.requests().since(&before);
        (since.count("list", "secrets") + since.count("watch", "secrets") >= 2).then_some(())
    })
    .await;
    // What was never readable is refused at once.
    secret(&world.api, "unread", "quiet", json!({ OPEN: "true" }));
    let spec = world.spec_to("remote_write", "remoteWrite", block("unread"), "unread");
    world.resources().apply("unread", spec).await;
    world.says("unread", "Accepted", "ReferenceMissing", "sluice-secrets-reader").await;
    world.up_to_date("password").await;
    world.resources().ready("password").await;

    world.api.lift(refusing);
    world.resources().ready("unread").await;
    secret(&world.api, "password", "loud", json!({ OPEN: "true" }));
    eventually("the new password is used", async || {
        let seen = world.receiver.seen();
        seen.iter().any(|seen| header(seen, "authorization") == "Basic dGVhbTpsb3Vk").then_some(())
    })
    .await;
    world.up_to_date("password").await;
    assert!(sluice.stop().await.success());
    assert!(!sluice.log().contains("no longer runs"), "{}", sluice.log());
    world.assert_complete("password", 4).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn a_service_is_found_checked_and_dialled_at_its_own_address() {
    let world = World::new().await;
    let mut sluice = world.replica("sluice-0").await;
    let port: u16 = world.receiver.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let block = json!({ "serviceName": "prometheus", "servicePort": port });
    let spec = world.spec_to("prometheus", "prometheus", block, "served");
    let service = |spec: Value| {
        let metadata = json!({ "name": "prometheus", "namespace": TEAM });
        if world.api.object("Service", TEAM, "prometheus").is_some() {
            world.api.delete("Service", TEAM, "prometheus");
        }
        world.api.create(json!({ "kind": "Service", "metadata": metadata, "spec": spec }));
    };
    world.resources().apply("served", spec).await;
    world.says("served", "Accepted", "ReferenceMissing", "does not exist in the namespace team").await;

    service(json!({ "type": "ExternalName", "externalName": "localhost" }));
    world.says("served", "Accepted", "NotAllowed", "is an ExternalName, which may lead anywhere").await;

    service(json!({ "clusterIP": "127.0.0.1", "ports": [{ "port": 1 }, { "port": 2 }] }));
    world.says("served", "Accepted", "ReferenceMissing", "write servicePort: 1 or 2").await;

    // Its pods are not known here, and neither is their name.
    service(json!({ "clusterIP": "None", "ports": [{ "port": port }] }));
    world.says("served", "Accepted", "Accepted", "").await;
    world.says("served", "Delivering", "EndpointFailing", "prometheus.team.svc.cluster.local").await;
    assert!(world.receiver.seen().is_empty());

    service(json!({ "clusterIP": "127.0.0.1", "ports": [{ "port": port }] }));
    world.resources().ready("served").await;
    world.more_ticks("served", 2).await;
    let host = format!("prometheus.team.svc.cluster.local:{port}");
    assert!(world.receiver.seen().iter().all(|seen| header(seen, "host") == host), "its name is asked for");

    // Away and back again: nothing is lost.
    world.api.delete("Service", TEAM, "prometheus");
    world.says("served", "Accepted", "ReferenceMissing", "does not exist").await;
    service(json!({ "clusterIP": "127.0.0.1", "ports": [{ "port": port }] }));
    world.resources().ready("served").await;
    world.up_to_date("served").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("served", 4).await;
    world.assert_no_complaints();
}

#[tokio::test]
async fn the_labels_of_a_namespace_decide_which_rule_holds() {
    let world = World::new().await;
    let rule = json!({
        "namespaceSelector": { "matchLabels": { "tier": "sandbox" } },
        "targets": { "types": ["prometheus"] },
    });
    let setup = world.setup().setting("tenancy", json!({ "rules": [rule] }));
    let label = |tier: Value| {
        world.api.merge("Namespace", "", TEAM, json!({ "metadata": { "labels": { "tier": tier } } }));
    };
    label(json!("sandbox"));
    let mut sluice = replica("sluice-0", setup).await;
    world.resources().apply("one", world.spec("one")).await;
    let refused = "the operator does not allow remote_write (targets.types)";
    world.says("one", "Accepted", "NotAllowed", refused).await;
    assert!(world.receiver.seen().is_empty());

    label(json!("gold"));
    world.resources().ready("one").await;
    world.more_ticks("one", 2).await;
    label(json!("sandbox"));
    world.says("one", "Accepted", "NotAllowed", refused).await;
    label(Value::Null);
    world.resources().ready("one").await;
    world.up_to_date("one").await;
    assert!(sluice.stop().await.success());
    world.assert_complete("one", 3).await;
    world.assert_no_complaints();
}
