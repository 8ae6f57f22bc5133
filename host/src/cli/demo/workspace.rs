//! Workspace: everything around the application in the demo: servers, folder, files.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::config::{self, DataTarget, TEAMS};
use super::listen::{free, serve};
use super::real::Servers;
use super::receiver::Receivers;
use super::source;

/// Where the status page is, if nobody else has the port.
const PAGE_PORT: u16 = 8081;
/// The in-process source answers for any moment at once.
const LAG_LIVE_SECONDS: u64 = 1;
/// The real one scrapes every two seconds, with a timeout of one.
const LAG_REAL_SECONDS: u64 = 3;

/// A team's own server, for people.
pub(super) struct Server {
    /// What it is.
    pub(super) kind: &'static str,
    /// A page that shows what it holds.
    pub(super) page: String,
}

/// The demo's surroundings.
pub(super) struct World {
    /// The file the application is started with.
    pub(super) config: PathBuf,
    /// The shared server's address.
    pub(super) source: String,
    /// How many series the source has.
    pub(super) series: usize,
    /// Where Sluice itself will listen.
    pub(super) listen: SocketAddr,
    /// Each team's own server.
    pub(super) servers: BTreeMap<&'static str, Server>,
    receivers: Receivers,
    real: Option<Servers>,
    _folder: Folder,
}

impl World {
    /// Starts the servers and writes the files.
    pub(super) async fn set_up(real: bool, stop: CancellationToken) -> anyhow::Result<World> {
        let folder = Folder::create()?;
        let listen = free(PAGE_PORT).await?;
        let (router, series) = source::router();
        let live = serve(router, stop.clone()).await?;
        let receivers = Receivers::default();
        let mut endpoints = BTreeMap::new();
        if real {
            let lag = Duration::from_secs(LAG_REAL_SECONDS);
            let started = Servers::start(&folder.0, live, listen, lag).await?;
            endpoints.insert("prometheus.webapp-team:9090".to_owned(), started.receiver.clone());
            endpoints.insert("pushgateway.data-team:9091".to_owned(), started.pushgateway.clone());
            // Answers and not pages: Debian's builds come without the web interface.
            let query = "api/v1/query?query=%7Btenant%3D%22webapp-team%22%7D";
            let servers = BTreeMap::from([
                (TEAMS[0], Server { kind: "Prometheus", page: format!("{}/{query}", started.receiver) }),
                (TEAMS[1], Server { kind: "Pushgateway", page: format!("{}/metrics", started.pushgateway) }),
            ]);
            let target = DataTarget::Pushgateway;
            let config = folder.write(&started.source, LAG_REAL_SECONDS, &endpoints, listen, &target)?;
            let (source, real) = (started.source.clone(), Some(started));
            return Ok(World { config, source, series, listen, servers, receivers, real, _folder: folder });
        }
        let [web, data] = TEAMS.map(|team| serve(receivers.router(team), stop.clone()));
        let (web, data) = (web.await?, data.await?);
        endpoints.insert("prometheus.webapp-team:9090".to_owned(), format!("http://{web}"));
        let servers = [web, data].map(|at| Server { kind: "server", page: format!("http://{at}/") });
        let servers = TEAMS.into_iter().zip(servers).collect();
        let source = format!("http://{live}");
        let target = DataTarget::RemoteWrite(format!("http://{data}/api/v1/write"));
        let config = folder.write(&source, LAG_LIVE_SECONDS, &endpoints, listen, &target)?;
        Ok(World { config, source, series, listen, servers, receivers, real: None, _folder: folder })
    }

    /// A series that arrived at a team's server; real servers are asked by their own pages.
    pub(super) fn example(&self, team: &str) -> Option<String> {
        self.receivers.example(team)
    }

    /// The folder with the teams' files.
    pub(super) fn resources(&self) -> PathBuf {
        self.config.with_file_name("resources")
    }

    /// Ends the servers and removes the folder.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self.real {
            Some(servers) => servers.stop().await,
            None => Ok(()),
        }
    }
}

/// A temporary folder, removed with everything in it when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn create() -> anyhow::Result<Folder> {
        let unique = format!("sluice-demo-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let folder = Folder(path);
        for inner in ["resources", "secrets"] {
            fs::create_dir(folder.0.join(inner))?;
        }
        Ok(folder)
    }

    fn write(
        &self,
        source: &str,
        lag_seconds: u64,
        endpoints: &BTreeMap<String, String>,
        listen: SocketAddr,
        data: &DataTarget,
    ) -> anyhow::Result<PathBuf> {
        let write = |path: &Path, text: String| {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write(&self.0.join("resources/webapp-team.yaml"), config::webapp())?;
        write(&self.0.join("resources/data-team.yaml"), config::data(data))?;
        let main = self.0.join("sluice.yaml");
        write(&main, config::sluice(source, lag_seconds, endpoints, listen))?;
        Ok(main)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder, which is cleaned by others.
        let _ = fs::remove_dir_all(&self.0);
    }
}
