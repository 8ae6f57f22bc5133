//! Fuzz: what reads bytes from the network, given anything at all.
//!
//! In: bytes that a fuzzer makes up, or a seed's. Out: nothing, or a panic that says what is not so.
//! Never: the network. The rooms that read are compiled in here as they are, without the rest of the program: the layer rule
//! says that they name no other, and so a target is built in minutes and starts in no time.

#[allow(dead_code, unused_imports)]
#[path = "../../host/src/collect/mod.rs"]
mod collect;
#[allow(dead_code, unused_imports)]
#[path = "../../host/src/deliver/mod.rs"]
mod deliver;
#[allow(dead_code, unused_imports)]
#[path = "../../host/src/http/mod.rs"]
mod http;
#[allow(dead_code, unused_imports)]
#[path = "../../host/src/model/mod.rs"]
mod model;

mod answers;
mod read;
mod reference;
mod scan;

pub use answers::check as answers;
pub use read::check as read;
pub use scan::check as scan;
