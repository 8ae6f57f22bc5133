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
    /// A page to look at for each team, by team.
    pub(super) pages: BTreeMap<&'static str, String>,
    receivers: Receivers,
    servers: Option<Servers>,
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
        let (mut endpoints, mut pages) = (BTreeMap::new(), BTreeMap::new());
        if real {
            let servers =
                Servers::start(&folder.0, live, listen, Duration::from_secs(LAG_REAL_SECONDS)).await?;
            endpoints.insert("prometheus.webapp-team:9090".to_owned(), servers.receiver.clone());
            endpoints.insert("pushgateway.data-team:9091".to_owned(), servers.pushgateway.clone());
            let query = "graph?g0.expr=%7Btenant%3D%22webapp-team%22%7D&g0.tab=1";
            pages.insert(TEAMS[0], format!("{}/{query}", servers.receiver));
            pages.insert(TEAMS[1], format!("{}/", servers.pushgateway));
            let config = folder.write(
                &servers.source,
                LAG_REAL_SECONDS,
                &endpoints,
                listen,
                &DataTarget::Pushgateway,
            )?;
            let (source, servers) = (servers.source.clone(), Some(servers));
            return Ok(World { config, source, series, listen, pages, receivers, servers, _folder: folder });
        }
        let [web, data] = TEAMS.map(|team| serve(receivers.router(team), stop.clone()));
        let (web, data) = (web.await?, data.await?);
        endpoints.insert("prometheus.webapp-team:9090".to_owned(), format!("http://{web}"));
        pages.insert(TEAMS[0], format!("http://{web}/"));
        pages.insert(TEAMS[1], format!("http://{data}/"));
        let source = format!("http://{live}");
        let target = DataTarget::RemoteWrite(format!("http://{data}/api/v1/write"));
        let config = folder.write(&source, LAG_LIVE_SECONDS, &endpoints, listen, &target)?;
        Ok(World { config, source, series, listen, pages, receivers, servers: None, _folder: folder })
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
        match self.servers {
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
