//! Controller: the program in a cluster, from resources at the API server to samples at the receiver, with everything
//! that an API server does to its clients.
//!
//! In: a fake API server, the real binary as a process, a real Prometheus as the source. Out: what the objects say and
//! what a strict receiver holds, compared with the source's own answers.
//! Never: a look inside the program. `tests/cluster` plays some of this in a real Kubernetes; what breaks there only by
//! chance is scripted here.

mod groups;
mod held;
mod hostile;
mod life;
mod many;
mod modules;
mod outage;
mod references;
mod replicas;
mod world;
