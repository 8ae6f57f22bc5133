//! Sluice: a multi-tenant Prometheus proxy.
//!
//! It pulls from shared Prometheus servers what each team may have, runs the team's filters as sandboxed
//! WebAssembly components, stamps labels, and pushes the rest to the team's own server. ARCHITECTURE.md, in the
//! repository's root, shows how the rooms below fit together.

pub mod app;
pub mod background;
pub mod cache;
pub mod cli;
pub mod collect;
pub mod config;
pub mod deliver;
pub mod discover;
pub mod document;
pub mod filter;
pub mod http;
pub mod model;
pub mod modules;
pub mod pipeline;
pub mod serve;
pub mod status;
pub mod supervise;
pub mod telemetry;
pub mod tenancy;
pub mod workbench;
