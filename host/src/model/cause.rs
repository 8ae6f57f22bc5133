//! Cause: an error and its causes, as one line.
//!
//! One rule holds for every error of ours: its own text (`Display`) is the whole story, causes included, each said once
//! and where it belongs; `source()` is for code that looks. So whoever prints one prints its text, and whoever prints
//! causes too says nothing twice. Errors from elsewhere often keep theirs to themselves: those are told with [`chain`],
//! where they enter one of ours.

use std::error::Error;

/// `what failed: why: why`. A cause that the text before it already tells is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
