//! The lake in the Glue Data Catalog, where Athena looks up tables: what each table has to look like there, and what must be
//! done to what is there so that it does. A Delta table is declared natively, as Athena's engine 3 reads it: place, columns with their
//! meaning, partition columns. Nothing is asked of AWS here; [`Glue`] is what a catalogue must be able to do.
//!
//! A table of ours carries a parameter that names its lake. One that does not carry it is somebody else's and is never
//! touched; a table is never deleted.

mod catalogue;
mod ddl;
mod plan;
mod table;

pub use catalogue::{Glue, GlueError};
pub use plan::{Change, Decision, FoundTable, Left, Plan, Step, Why, decide};
pub use table::{GlueColumn, GlueTable, MARK, Serde, Storage, Target};
