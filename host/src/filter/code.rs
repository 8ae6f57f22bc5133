//! Code: who pays for machine code.
//!
//! In: a module that a namespace's filter is made of. Out: a share in it. Never: paid for twice by one namespace, however many of
//! its filters are made of it; the program's own filters paid for by anybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::module::Module;
use crate::model::memory::{Full, Held, Payer};

/// A namespace pays for a module as long as it has this; nobody does for the program's own.
#[derive(Debug, Clone, Default)]
pub struct Share {
    _held: Option<Arc<Held>>,
}

/// Namespace and digest.
type Key = (Arc<str>, String);

/// What is paid for.
#[derive(Debug, Default)]
pub(super) struct Codes(Mutex<HashMap<Key, Weak<Held>>>);

impl Codes {
    /// What the payer's namespace has in a module, which it pays for if it did not before.
    pub(super) fn share(&self, payer: &Payer, module: &Module) -> Result<Share, Full> {
        if module.is_ours() {
            return Ok(Share::default());
        }
        let key = (payer.name().clone(), module.digest().to_owned());
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = codes.get(&key).and_then(Weak::upgrade) {
            return Ok(Share { _held: Some(held) });
        }
        let mut held = payer.hold_own();
        held.take(module.code_bytes())?;
        // Those that are gone are forgotten each time the list has doubled.
        if codes.len().is_power_of_two() {
            codes.retain(|_, held| held.strong_count() > 0);
        }
        let held = Arc::new(held);
        codes.insert(key, Arc::downgrade(&held));
        Ok(Share { _held: Some(held) })
    }
}
