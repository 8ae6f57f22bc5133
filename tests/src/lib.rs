//! Test support: readable fakes, and real servers as child processes.
//!
//! In: scripted series, scripted answers, the binaries of real servers. Out: what the receiving side holds.
//! Never: the host's own encoders or parsers; what checks the program must not share its mistakes.

pub mod apiserver;
pub mod cluster;
pub mod expectation;
pub mod exposition;
pub mod faulty;
pub mod filtered;
pub mod guests;
pub mod http;
pub mod native;
pub mod prom_api;
pub mod proxy;
pub mod query_source;
pub mod registry;
pub mod relay;
pub mod secure;
pub mod selectors;
pub mod series;
pub mod servers;
pub mod stage;
pub mod stored;
pub mod strict_receiver;
pub mod tls;
pub mod wait;
