//! Discovery: from objects at an API server to the sources that are asked, and to what a receiver holds because of it.
//!
//! In: a fake API server, fake Prometheus servers on loopback that pods and slices point at, the real binary. Out: what
//! `/debug/targets` says, and what a strict receiver holds.
//! Never: a look inside the program, but for the client of the API server, whose patience the tests shorten.

mod finding;
mod health;
mod outage;
mod world;
