//! Process: one child with its log in a file, killed by its handle.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// A running child process. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output going to `log`, which is appended to.
    pub fn start(mut command: Command, log: &Path) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log).expect("the log file opens");
        let second = file.try_clone().expect("a file handle can be cloned");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(second).spawn();
        let child = child.unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Process { name, child, log: log.to_owned() }
    }

    /// Its number, for what the system knows of it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
        let name = self.name.clone();
        eventually(&format!("{name} stops when asked"), async || self.ended()).await
    }

    /// Ends it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
