//! The one integration-test binary: each module tests one promise through the public surface.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod athena;
mod bad_input;
mod counts;
mod crash;
mod decode;
mod derive;
mod doctor;
mod edge_key;
mod first_hour;
mod glue;
mod invariants;
mod invoices;
mod keys_import;
mod lab;
mod lake;
mod lambda;
mod late;
mod meters;
mod model;
mod publish;
mod quickstart;
mod races;
mod rejects;
mod repo;
mod s3;
mod settings;
mod shell;
mod trace;
mod worker;
