//! Source: a server that is scraped, and all that stands between it and the program.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_tests::expectation::{EVERYTHING, Expectation};
use sluice_tests::exposition::{Exposition, Motion};
use sluice_tests::faulty::{Fault, Faulty};
use sluice_tests::relay::Relay;
use sluice_tests::series::{LabelSet, series};
use sluice_tests::servers::{Prometheus, ScrapeJob, Setup, config};
use sluice_tests::stage::{scraped, shop};

/// Series beside the shop's.
const CROWD: usize = 1_000;

/// A server that is scraped, and all that stands between it and the program.
pub(crate) struct Source {
    /// What it scrapes; ends with the last who does.
    pub(crate) target: Arc<Exposition>,
    pub(crate) server: Prometheus,
    pub(crate) front: Faulty,
    pub(crate) line: Relay,
    pub(crate) name: String,
    /// What its series are told from others' by.
    pub(crate) cluster: String,
    /// What an operator says of it.
    facts: Value,
    /// What it had and has no more.
    remembered: Expectation,
}

/// What is to be scraped, and how.
pub(crate) struct Plan {
    pub(crate) job: fn(&Exposition) -> Vec<ScrapeJob>,
    /// More of the configuration file.
    pub(crate) more: String,
    /// What an operator says of it.
    pub(crate) facts: Value,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            job: |target| vec![ScrapeJob::new("shop", target.address())],
            more: String::new(),
            facts: json!({}),
        }
    }
}

fn crowd() -> Vec<(LabelSet, Motion)> {
    let one = |n: usize| {
        let labels = series("crowd", [("n", &*n.to_string()), ("job", "crowd")]);
        (labels, Motion::Counter { start: n as f64, step: 1.0 })
    };
    shop().into_iter().chain((0..CROWD).map(one)).collect()
}

impl Source {
    pub(crate) async fn start(name: &str) -> Source {
        Source::planned(name, Plan::default()).await
    }

    /// One that is configured in its own way.
    pub(crate) async fn planned(name: &str, plan: Plan) -> Source {
        let target = Arc::new(Exposition::with(crowd()).await);
        let Plan { job, more, facts } = plan;
        let server = Prometheus::with_config(&(config(&job(&target), &[]) + &more)).await;
        let (front, line) = fronted(&server.url()).await;
        scraped(&server.api(), r#"{job="crowd"}"#).await;
        let (name, cluster) = (name.to_owned(), name.to_owned());
        Source { target, server, front, line, name, cluster, facts, remembered: Expectation::default() }
    }

    /// One with the same series, of the same targets.
    pub(crate) async fn replica(&self, name: &str) -> Source {
        let target = self.target.clone();
        let jobs = vec![ScrapeJob::new("shop", self.target.address())];
        let server = Prometheus::source(&jobs).await;
        let (front, line) = fronted(&server.url()).await;
        scraped(&server.api(), r#"{job="crowd"}"#).await;
        let (name, cluster, facts) = (name.to_owned(), self.cluster.clone(), self.facts.clone());
        Source { target, server, front, line, name, cluster, facts, remembered: Expectation::default() }
    }

    pub(crate) fn in_setup(&self, setup: Setup) -> Setup {
        // Long enough for what is late on purpose, short enough for what never comes.
        let mut more = json!({ "timeout": "3s", "settle": "7s", "labels": { "cluster": self.cluster } });
        for (field, value) in self.facts.as_object().into_iter().flatten() {
            more[field] = value.clone();
        }
        setup.source_with(&self.name, &format!("http://{}", self.line.address()), more)
    }

    /// What a receiver has to hold of it at these moments.
    pub(crate) async fn expected(&self, moments: &BTreeSet<i64>) -> Expectation {
        let stamped = |series: LabelSet| Some(self.stamped(series));
        let shift = |moment| self.front.shifted(moment);
        let there = Expectation::shifted(&self.server.api(), moments, &[EVERYTHING], stamped, shift).await;
        there.and(self.remembered.clone())
    }

    /// One of its series as it arrives.
    pub(crate) fn stamped(&self, series: LabelSet) -> LabelSet {
        series.with("cluster", &self.cluster).stamped("managed_by", "multi-tenant-proxy")
    }

    /// Its server loses all it has, and begins anew. What was asked for at these moments is known.
    pub(crate) async fn forgets(&mut self, moments: &BTreeSet<i64>) {
        self.remembered = self.expected(moments).await;
        self.server.forget();
    }

    /// What goes wrong from now on.
    pub(crate) fn set(&self, fault: Fault) {
        self.front.set(fault);
    }
}

/// A front of a server, and a line to it.
pub(crate) async fn fronted(url: &str) -> (Faulty, Relay) {
    let front = Faulty::before(url).await;
    let line = Relay::to(front.url().trim_start_matches("http://")).await;
    (front, line)
}
