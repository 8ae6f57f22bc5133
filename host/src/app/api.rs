//! Api: the client of a cluster's API server, one for all who watch and write there.
//!
//! In: a kubeconfig, or what the environment says. Out: a client for whom every wait has an end.
//! Never: a request of its own; a second client of one cluster.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::model::chain;
use crate::{discover, tenancy};

/// How long an API server may be silent in the middle of an answer, or before it. A healthy one says something within
/// the length of a watch: at the latest, that the watch is over. One that takes requests and answers none of them (its
/// disk hangs, or packets are lost on the way) would hold up every list for ever, because nobody else looks at a clock.
pub const SILENCE_MAX: Duration = Duration::from_secs(100);

/// What kube grants a watch beyond its length before it begins another one by itself, and without an error
/// (`WATCH_IDLE_TIMEOUT_MARGIN` in its `watcher.rs`).
const GRACE_SECONDS: u64 = 5;

const _: () = {
    assert!(SILENCE_MAX.as_secs() > discover::cluster::WATCH_SECONDS as u64 + GRACE_SECONDS);
    assert!(SILENCE_MAX.as_secs() > tenancy::WATCH_SECONDS as u64 + GRACE_SECONDS);
};

/// The cluster cannot be spoken to as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kubeconfig file cannot be used.
    #[error("the kubeconfig {} cannot be used: {}; correct the file, or kubernetes.kubeconfig", file.display(), chain(source))]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// Nothing says where the API server is.
    #[error(
        "no API server is known: {}; run in a pod with a ServiceAccount, or write kubernetes.kubeconfig",
        chain(.0)
    )]
    Nowhere(#[source] kube::config::InferConfigError),
    /// The client cannot be built.
    #[error("the API server's client cannot be built: {}", chain(.0))]
    Client(#[source] kube::Error),
}

/// The clients so far, by kubeconfig.
#[derive(Default)]
pub(super) struct Clients(HashMap<Option<PathBuf>, Client>);

impl Clients {
    /// The client of the cluster that `kubeconfig` names, or else of the one we run in; the same one every time.
    pub(super) async fn of(&mut self, kubeconfig: Option<&Path>) -> Result<Client, Error> {
        let key = kubeconfig.map(Path::to_owned);
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let client = connect(kubeconfig, SILENCE_MAX).await?;
        self.0.insert(key, client.clone());
        Ok(client)
    }
}

/// A new client, for whom an answer breaks off after so much silence. Nothing is asked yet.
pub async fn connect(kubeconfig: Option<&Path>, silence_max: Duration) -> Result<Client, Error> {
    let mut config = match kubeconfig {
        Some(file) => {
            let unusable = |source| Error::Kubeconfig { file: file.to_owned(), source };
            let read = Kubeconfig::read_from(file).map_err(unusable)?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .map_err(unusable)?
        }
        None => kube::Config::infer().await.map_err(Error::Nowhere)?,
    };
    config.read_timeout = Some(silence_max);
    // What a connection spent in the pool is not the server's silence.
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(Error::Client)
}
