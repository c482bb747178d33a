//! What other programs get from a pipeline, as text: those that read its tables, and those that start it.
//!
//! ```text
//! pipeline, catalog, stored names -> views       SQL views, for DuckDB and Spark
//! stored tables                   -> ddl         CREATE TABLE
//!                                 -> dictionary  every column, as Markdown and JSON
//! pipeline and host               -> schedule    entries of cron, systemd and Airflow
//! ```
//!
//! Start at [`views::Views`], the largest part: [`views::Views::read`] looks at what the destination holds, and
//! [`views::Views::sql`] writes the text. [`Dialect`] has all that differs between the engines. Facts about the API, such as
//! which table holds events, come from the catalog.
//!
//! This crate never writes a file, prints, or sends a request to the API. Only `views` reads the destination, for names
//! of custom fields.

mod ddl;
mod dialect;
pub mod dictionary;
mod quoting;
pub mod schedule;
pub mod views;

pub use ddl::ddl;
pub use dialect::Dialect;
pub use quoting::shell_word;
