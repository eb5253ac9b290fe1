//! The one integration-test binary: each module tests one promise through the public surface.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod athena;
mod bad_input;
mod crash;
mod decode;
mod derive;
mod edge_key;
mod first_hour;
mod invariants;
mod invoices;
mod lab;
mod lake;
mod late;
mod meters;
mod model;
mod quickstart;
mod rejects;
mod repo;
mod settings;
mod shell;
mod trace;
mod worker;
