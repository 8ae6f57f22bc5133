//! Guest log: what filters write goes to our log, tagged and limited.
//!
//! In: what a guest says in a call. Out: lines of our log. Never: more of them than a call, and a namespace in its time, may write.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use super::instance::{Host, said};
use super::lines::{Line, Lines};
use super::wire::Level;

/// The interface's name.
const INTERFACE: &str = "sluice:filter/log@0.1.0";
/// What is left of a longer message.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Messages of one call that are written.
const LINES_PER_CALL_MAX: u32 = 8;

/// One instance's log.
#[derive(Debug)]
pub(super) struct GuestLog {
    /// Namespace and name.
    tenant: Arc<str>,
    filter: Arc<str>,
    all: Arc<Lines>,
    lines: u32,
    left_out: u64,
    last_error: Option<String>,
}

impl GuestLog {
    /// Of one filter of `tenant`, which has a namespace and a name; `all` is what the whole process' guests write.
    pub(super) fn new(tenant: Arc<str>, filter: Arc<str>, all: Arc<Lines>) -> GuestLog {
        GuestLog { tenant, filter, all, lines: 0, left_out: 0, last_error: None }
    }

    /// A call begins: it has all its lines.
    pub(super) fn begin(&mut self) {
        self.lines = 0;
        self.last_error = None;
    }

    /// The last error of this call: a panic's message if the call ended in a trap.
    pub(super) fn last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Lines left out since this was asked last.
    pub(super) fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    pub(super) fn write(&mut self, level: Level, message: &str) {
        // One line, whatever the log's form: a guest writes no lines of ours.
        let message = &said(message.to_owned());
        if level == Level::Error {
            self.last_error = Some(message.to_owned());
        }
        self.lines += 1;
        // What nobody wants to see takes no room from what somebody does.
        if self.lines > LINES_PER_CALL_MAX || (is_wanted(level) && !self.has_room()) {
            self.left_out += 1;
            return;
        }
        let (tenant, filter) = (&*self.tenant, &*self.filter);
        match level {
            Level::Debug => tracing::debug!(tenant, filter, "filter: {message}"),
            Level::Info => tracing::info!(tenant, filter, "filter: {message}"),
            Level::Warn => tracing::warn!(tenant, filter, "filter: {message}"),
            Level::Error => tracing::error!(tenant, filter, "filter: {message}"),
        }
    }

    /// Whether its namespace may write another line now.
    fn has_room(&self) -> bool {
        let (namespace, _) = self.tenant.split_once('/').unwrap_or_default();
        match self.all.take(namespace, Instant::now()) {
            Line::Written => true,
            Line::WrittenAgain { left_out } => {
                tracing::info!(namespace, left_out, "Filters' lines are written again");
                true
            }
            Line::FirstLeftOut => {
                tracing::warn!(namespace, "Filters write too many lines; some are left out");
                false
            }
            Line::LeftOut => false,
        }
    }
}

/// Whether the operator's log shows lines of that level.
fn is_wanted(level: Level) -> bool {
    match level {
        Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(tracing::Level::INFO),
        Level::Warn => tracing::enabled!(tracing::Level::WARN),
        Level::Error => tracing::enabled!(tracing::Level::ERROR),
    }
}

/// Gives guests the one thing they may call.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, Host>, (level, message): (Level, WasmStr)| {
            let message = message.to_str(&store)?;
            let message = message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned();
            store.data_mut().log.write(level, &message);
            Ok(())
        },
    )
}
