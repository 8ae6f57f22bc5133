//! Ownership: which replica runs which resource.
//!
//! In: one Lease per replica in our own namespace, watched. Out: snapshots of [`Members`], the same at every replica
//! that sees the API server; who owns a key follows from them alone.
//! Never: a leader, a comparison of another machine's clock with ours, a death concluded while the API server could
//! not be reached.
//!
//! **When a member is dead.** A replica renews its Lease every [`RENEW_EVERY`]. What counts is when *we* saw the
//! renewal, not what it says. Silence alone proves nothing: the watch may have stopped. So our own renewal is the
//! clock: when it has come back through the watch, everything that others did before it has been seen. A member is
//! dead when a renewal of ours, sent a full lease duration after the last sign of the member, came back without
//! another sign of it.
//!
//! **When the API server is away.** No renewal of ours comes back, so nobody is declared dead and nobody new is seen:
//! membership is frozen, and everything that runs goes on. When it returns, the silence of the others starts anew:
//! nobody is declared dead for a full lease duration.
//!
//! **When only we cannot renew.** Cut off entirely, we cannot know whether others go on; we do, because a resend is
//! harmless and a gap is not. But when the watch shows others renewing for a full lease duration in which we could
//! not, they have taken over, and we own nothing until we renew again.
//!
//! **Leaving.** A replica that was told to stop says so in its Lease first: it then owns nothing, but what it has not
//! let go of yet is still its own. Its Lease is deleted last. A Lease that is deleted, or has no holder, belongs to
//! nobody at once. One that is merely missing from a list may have been lost with a restored database: it is given
//! the lease duration to come back.

mod keeper;
mod lease;
mod ledger;
mod members;
mod rendezvous;
mod watch;

use std::time::Duration;

pub use keeper::{Config, Error, Keeper, open};
pub use ledger::{Ledger, Seen};
pub use members::{Members, Standing};
pub use rendezvous::owner;
pub(in crate::tenancy) use rendezvous::spread;
pub(in crate::tenancy) use watch::{Watch, pause};

/// How long a Lease lasts without a renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How often a Lease is renewed: a third of its duration, so that two renewals may fail. Jitter only shortens it.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Our renewals further apart than this leave room for an outage in which a living member could fall silent for a
/// lease duration: its own next renewal would have come [`RENEW_EVERY`] after its last, the outage kept it back for
/// this long, and its attempt after that came two seconds late. 5 + 7.5 + 2 < 15.
pub const OUTAGE: Duration = Duration::from_millis(7_500);

/// The Lease of a member that has been dead for this many lease durations is deleted.
pub const LONG_DEAD_LEASES: u32 = 10;

/// Members beyond this many are not taken in. Each sees every renewal of every other one.
pub const MEMBERS_MAX: usize = 256;
