//! Docker's registry: a real one, on a machine that has it.

use std::process::Command;

use http::StatusCode;
use tempfile::TempDir;

use super::{PORT_TRIES_MAX, Process, free_port, look_for};
use crate::wait::eventually;

/// Who may come in, as `htpasswd -B` writes it: [`crate::registry::USER`].
const USERS: &str = "robot:$2b$04$UM.wgEzpbUX05gLL7MWwK.ecs46zRyIwQhdjT7XtX2EympNsPpSXu\n";

/// A running registry that keeps everything in a temporary folder; it ends when dropped.
pub struct DockerRegistry {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl DockerRegistry {
    /// Starts one that asks for a password; `None` where there is no `docker-registry`.
    pub async fn start() -> Option<DockerRegistry> {
        DockerRegistry::for_whom(Some(USERS)).await
    }

    /// As [`DockerRegistry::start`]; it asks nobody for anything.
    pub async fn open() -> Option<DockerRegistry> {
        DockerRegistry::for_whom(None).await
    }

    async fn for_whom(users: Option<&str>) -> Option<DockerRegistry> {
        let binary = look_for("docker-registry")?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let auth = users.map_or_else(String::new, |users| {
            std::fs::write(at("users"), users).expect("the temporary folder is writable");
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", at("users"))
        });
        for _ in 0..PORT_TRIES_MAX {
            let port = free_port();
            let config = format!(
                "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n{auth}http: {{addr: '127.0.0.1:{port}'}}\n",
                at("content")
            );
            std::fs::write(at("config.yml"), config).expect("the temporary folder is writable");
            let mut command = Command::new(&binary);
            command.current_dir(folder.path()).args(["serve", &at("config.yml")]);
            // Its own variables would change what is written there.
            for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
                command.env_remove(name);
            }
            let mut process = Process::start(command, &folder.path().join("log"));
            if is_up(&mut process, port).await {
                return Some(DockerRegistry { process, port, _folder: folder });
            }
            let log = process.log();
            assert!(log.contains("address already in use"), "docker-registry ended:\n{log}");
        }
        panic!("no free port after {PORT_TRIES_MAX} tries");
    }

    /// Host and port: how references begin.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

async fn is_up(process: &mut Process, port: u16) -> bool {
    let url = format!("http://127.0.0.1:{port}/v2/");
    eventually("the registry has started", async || {
        if process.ended().is_some() {
            return Some(false);
        }
        let answer = crate::http::get(&url).await;
        let here = [StatusCode::UNAUTHORIZED, StatusCode::OK];
        answer.is_ok_and(|answer| here.contains(&answer.status)).then_some(true)
    })
    .await
}
