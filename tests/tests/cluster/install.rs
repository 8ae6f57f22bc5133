//! Install: what `deploy/` gives an operator, as a real API server judges it.

use sluice_tests::cluster::{Cluster, Installation, deploy};

pub(crate) async fn manifests_are_accepted(cluster: &Cluster) {
    let installation = Installation::new(cluster, &["team"]).await;
    let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let manifests = installation.manifests().await;
    for kind in
        ["CustomResourceDefinition", "Deployment", "ClusterRole", "NetworkPolicy", "PodDisruptionBudget"]
    {
        assert!(manifests.contains(&format!("\nkind: {kind}\n")), "deploy/ has no {kind}");
    }
    installation.kubectl().run_with(&apply, &manifests).await.succeeds_in_silence();
    let Some(chart) = helm_template(installation.namespace()).await else {
        eprintln!("cluster: there is no helm in PATH; the chart is not checked");
        return;
    };
    installation.kubectl().run_with(&apply, &chart).await.succeeds_in_silence();
}

/// The chart with its default values; nothing without `helm`.
async fn helm_template(namespace: &str) -> Option<String> {
    let chart = deploy().join("helm/sluice");
    let mut helm = tokio::process::Command::new("helm");
    helm.args(["template", "sluice", "--include-crds", "--namespace", namespace]).arg(chart);
    let output = helm.output().await.ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) async fn rights_are_enough_and_no_more(cluster: &Cluster) {
    let installation = Installation::new(cluster, &["team", "open"]).await;
    installation.open_secrets("open").await;
    let (own, team, open) =
        (installation.namespace(), installation.tenant("team"), installation.tenant("open"));
    let kubectl = installation.kubectl_as_account();
    let mut wrong = Vec::new();
    for (may, namespace, what) in [
        (true, &*team, "watch metricaccesses"),
        (true, &team, "patch metricaccesses --subresource=status"),
        (false, &team, "create metricaccesses"),
        (false, &team, "delete metricaccesses"),
        (true, &team, "list services"),
        (true, &team, "watch endpointslices.discovery.k8s.io"),
        (true, &team, "create events.events.k8s.io"),
        (false, &team, "get secrets"),
        (false, &team, "get configmaps"),
        (false, &team, "get leases.coordination.k8s.io"),
        (false, &team, "create pods"),
        (false, &team, "create pods --subresource=exec"),
        (true, &open, "get secrets"),
        (true, &open, "watch secrets"),
        (false, &open, "patch secrets"),
        (false, own, "get secrets"),
        (false, own, "get configmaps/anything"),
        (true, own, "patch configmaps/sluice-cursors-0"),
        (true, own, "create configmaps"),
        (true, own, "patch leases.coordination.k8s.io"),
        (false, own, "create rolebindings.rbac.authorization.k8s.io"),
        (false, own, "patch deployments.apps"),
        (false, "kube-system", "get secrets"),
        (false, "", "impersonate users"),
        (false, "", "patch customresourcedefinitions.apiextensions.k8s.io"),
        (false, "", "patch namespaces"),
    ] {
        let arguments = ["auth", "can-i", "--namespace", namespace].into_iter().chain(what.split(' '));
        let arguments: Vec<&str> = arguments.collect();
        let answer = kubectl.run(&arguments).await;
        if answer.out.trim() != if may { "yes" } else { "no" } {
            wrong.push(format!("{what} in {namespace:?}: {}{}", answer.out, answer.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
