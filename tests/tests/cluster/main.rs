//! Cluster: the program in a real Kubernetes, from its definition to the tenants' data.
//!
//! Runs whenever `KUBEBUILDER_ASSETS` names a folder with kube-apiserver and etcd, or `SLUICE_TEST_KUBECONFIG` a
//! cluster; `make test-cluster` insists on it. One cluster serves all scenarios, each in namespaces of its own.

mod definition;
mod install;
mod outage;
mod ownership;
mod tenants;
mod world;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};
use sluice_tests::cluster::{Cluster, Ground, Kubectl};

/// With this in the environment, and nothing to run on, the suite fails instead of being skipped.
const REQUIRED: &str = "SLUICE_TEST_CLUSTER";

/// Scenarios at once: each has half a dozen processes, and data that must not be late.
const SCENARIOS_MAX: usize = 3;

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Scenario = fn(&Cluster) -> Running<'_>;

macro_rules! scenarios {
    ($($module:ident: [$($name:ident),+ $(,)?]),+ $(,)?) => {
        [$($((concat!(stringify!($module), "::", stringify!($name)), |c| Box::pin($module::$name(c)))),+),+]
    };
}

const SCENARIOS: &[(&str, Scenario)] = &scenarios! {
    definition: [kubectl_explains_the_resource, examples_are_accepted, mistakes_are_refused],
    install: [manifests_are_accepted, rights_are_enough_and_no_more],
    tenants: [
        a_tenant_sees_its_resource_run,
        a_change_is_in_force_and_told,
        a_mistake_is_told_and_disturbs_nobody,
        a_deleted_resource_leaves_nothing,
        a_secret_is_used_only_where_both_sides_agree,
        of_two_that_contest_a_group_the_younger_says_so,
    ],
    ownership: [a_killed_replica_costs_nothing, replicas_come_and_go],
    outage: [a_minute_without_the_api_server, a_replica_that_is_cut_off_alone],
};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SCENARIOS_MAX);
    let ground = ground();
    if let Err(missing) = &ground {
        if std::env::var_os(REQUIRED).is_some() {
            eprintln!("cluster: {missing}");
            return ExitCode::FAILURE;
        }
        eprintln!("cluster: skipped: {missing}");
    }
    let skipped = ground.is_err();
    let ground = Arc::new(ground);
    let cluster = Arc::new(OnceLock::new());
    let trials = SCENARIOS.iter().map(|(name, scenario)| {
        let (ground, cluster) = (Arc::clone(&ground), Arc::clone(&cluster));
        let run = move || {
            let ground = (*ground).as_ref().map_err(|missing| missing.clone())?;
            let cluster = cluster.get_or_init(|| block_on(Cluster::start(ground)));
            block_on(scenario(cluster));
            Ok(())
        };
        Trial::test(*name, run).with_ignored_flag(skipped)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let (true, Some(cluster)) = (conclusion.has_failed(), cluster.get()) {
        eprintln!("the API server logged, at last:\n{}", cluster.log());
    }
    if let Some(cluster) = cluster.get() {
        block_on(cluster.clean());
    }
    // The last handle: the cluster ends here.
    drop(cluster);
    conclusion.exit_code()
}

fn ground() -> Result<Ground, String> {
    let ground = Ground::find()?;
    match Kubectl::is_here() {
        true => Ok(ground),
        false => Err("there is no kubectl in PATH".to_owned()),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(future)
}
