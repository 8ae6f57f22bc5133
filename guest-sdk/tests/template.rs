//! What `sluice filter new` writes compiles against this SDK, and its own tests pass.

#![allow(missing_docs, unreachable_pub)]

#[path = "../../host/src/workbench/template/lib.rs.txt"]
mod template;
