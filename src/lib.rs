//! meterlake turns AWS API logs into an auditable, usage-based bill.
//!
//! The modules stand in one line, and each may use only what stands before it:
//! `base < schema < decode < source, lake < model < billing < glue < job < aws < cli`. A byte of a landing object is
//! decoded into an event ([`decode`]), staged and united with what the lake holds ([`lake`]), counted by SQL
//! ([`model`]), priced ([`billing`]); [`job`] does these steps in order and [`cli`] is how people start them.
//! [`aws`] is what they need of AWS beyond files: buckets, queues, secrets, the Lambda runtime.

pub mod aws;
pub mod base;
pub mod billing;
pub mod cli;
pub mod decode;
pub mod glue;
pub mod job;
pub mod lake;
pub mod model;
pub mod schema;
pub mod source;
