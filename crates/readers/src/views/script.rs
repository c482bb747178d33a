//! The text of the SQL: statements one after the other, each ended by a `;` at the end of a line, where no other is.

use crate::dialect::{Dialect, SqlType, ViewColumn};

/// Name of the parameter of as-of functions.
pub(crate) const AS_OF: &str = "as_of";

/// SQL that grows.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) dialect: Dialect,
    schema: Option<String>,
    text: String,
}

impl Script {
    /// A script that begins with remarks, one a line, which hold nothing but our own words.
    pub(crate) fn new(dialect: Dialect, schema: Option<&str>, remarks: &[String]) -> Self {
        let mut script = Self { dialect, schema: schema.map(str::to_owned), text: String::new() };
        for remark in remarks {
            script.text += &format!("-- {remark}\n");
        }
        if let Some(schema) = schema {
            script.statement(&format!("CREATE SCHEMA IF NOT EXISTS {}", dialect.name(schema)));
        }
        script
    }

    /// Whether what is made outlives the session.
    pub(crate) fn stays(&self) -> bool {
        self.dialect == Dialect::DuckDb || self.schema.is_some()
    }

    /// The name of a table, view or function in SQL.
    pub(crate) fn name(&self, name: &str) -> String {
        let name = self.dialect.name(name);
        self.schema.as_ref().map_or_else(|| name.clone(), |schema| format!("{}.{name}", self.dialect.name(schema)))
    }

    pub(crate) fn statement(&mut self, statement: &str) {
        self.text += &format!("\n{statement};\n");
    }

    /// A view of these columns, in the order in which `select` gives them.
    pub(crate) fn view(&mut self, name: &str, doc: &str, columns: &[ViewColumn], select: &str) {
        let dialect = self.dialect;
        let shown = self.name(name);
        match dialect {
            Dialect::DuckDb => {
                self.statement(&format!("CREATE OR REPLACE VIEW {shown} AS\n{select}"));
                let mut comments = vec![format!("COMMENT ON VIEW {shown} IS {}", dialect.doc(doc))];
                comments.extend(columns.iter().map(|column| {
                    format!("COMMENT ON COLUMN {shown}.{} IS {}", dialect.name(&column.name), dialect.doc(&column.doc))
                }));
                self.text += &format!("{};\n", comments.join(";\n"));
            }
            Dialect::Spark => {
                let columns = columns
                    .iter()
                    .map(|column| format!("  {} COMMENT {}", dialect.name(&column.name), dialect.doc(&column.doc)))
                    .collect::<Vec<_>>()
                    .join(",\n");
                let temporary = if self.stays() { "" } else { "TEMPORARY " };
                let doc = dialect.doc(doc);
                self.statement(&format!(
                    "CREATE OR REPLACE {temporary}VIEW {shown} (\n{columns}\n) COMMENT {doc} AS\n{select}"
                ));
            }
        }
    }

    /// A function that gives a table of these columns. In `select` the moment is [`Self::moment`].
    pub(crate) fn function(&mut self, name: &str, columns: &[ViewColumn], select: &str) {
        let dialect = self.dialect;
        let shown = self.name(name);
        match dialect {
            Dialect::DuckDb => {
                self.statement(&format!("CREATE OR REPLACE MACRO {shown}({AS_OF}) AS TABLE\n{select}"));
            }
            Dialect::Spark => {
                let temporary = if self.stays() { "" } else { "TEMPORARY " };
                let instant = dialect.kind(SqlType::Instant);
                self.statement(&format!(
                    "CREATE OR REPLACE {temporary}FUNCTION {shown}({AS_OF} {instant})\nRETURNS TABLE (\n{}\n) RETURN\n{select}",
                    typed(dialect, columns)
                ));
            }
        }
    }

    /// The moment that a function was asked for.
    pub(crate) fn moment(&self) -> String {
        match self.dialect {
            Dialect::DuckDb => format!("CAST({AS_OF} AS {})", self.dialect.kind(SqlType::Instant)),
            Dialect::Spark => AS_OF.to_owned(),
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Columns with types and comments, for what Spark has declared.
pub(crate) fn typed(dialect: Dialect, columns: &[ViewColumn]) -> String {
    let column = |column: &ViewColumn| {
        let (name, kind) = (dialect.name(&column.name), dialect.kind(column.kind));
        format!("  {name} {kind} COMMENT {}", dialect.doc(&column.doc))
    };
    columns.iter().map(column).collect::<Vec<_>>().join(",\n")
}
