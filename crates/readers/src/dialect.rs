//! What differs between the two SQL engines: how names, texts and types are written, and what makes a view.

/// The engine that the SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// DuckDB 1.4 or newer.
    DuckDb,
    /// Spark 4.0 or newer.
    Spark,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlType {
    Text,
    /// Several texts in an order.
    Texts,
    /// A whole number of 64 bits.
    Whole,
    /// A whole number of 32 bits.
    Small,
    /// A floating-point number of 64 bits.
    Real,
    /// An amount with four decimal places.
    Amount,
    Flag,
    Day,
    /// An instant in UTC.
    Instant,
}

/// A column of a table or a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewColumn {
    pub(crate) name: String,
    pub(crate) kind: SqlType,
    /// One sentence for people.
    pub(crate) doc: String,
}

impl ViewColumn {
    pub(crate) fn new(name: impl Into<String>, kind: SqlType, doc: impl Into<String>) -> Self {
        Self { name: name.into(), kind, doc: doc.into() }
    }
}

impl Dialect {
    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::Spark => "spark",
        }
    }

    /// A name, quoted so that nothing in it is SQL.
    pub(crate) fn name(self, name: &str) -> String {
        match self {
            Self::DuckDb => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Spark => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A text, quoted so that nothing in it is SQL. Spark replaces `${env:NAME}` in the text of a statement before it reads
    /// it, and `spark-sql` looks for the `;` that ends one: both are written as escapes, as is what ends a literal.
    pub(crate) fn text(self, text: &str) -> String {
        match self {
            Self::DuckDb => format!("'{}'", text.replace('\'', "''")),
            Self::Spark => {
                let escaped = text.chars().fold(String::new(), |mut escaped, letter| {
                    if matches!(letter, '\'' | '"' | '\\' | '$' | ';' | '`') || letter.is_control() {
                        escaped += &format!("\\u{:04X}", u32::from(letter));
                    } else {
                        escaped.push(letter);
                    }
                    escaped
                });
                format!("'{escaped}'")
            }
        }
    }

    /// A sentence for people as a text of one line.
    pub(crate) fn doc(self, doc: &str) -> String {
        self.text(&doc.split(|letter: char| letter.is_control()).collect::<Vec<_>>().join(" "))
    }

    pub(crate) fn kind(self, kind: SqlType) -> &'static str {
        match (kind, self) {
            (SqlType::Text, Self::DuckDb) => "VARCHAR",
            (SqlType::Text, Self::Spark) => "STRING",
            (SqlType::Texts, Self::DuckDb) => "VARCHAR[]",
            (SqlType::Texts, Self::Spark) => "ARRAY<STRING>",
            (SqlType::Instant, Self::DuckDb) => "TIMESTAMPTZ",
            (SqlType::Instant, Self::Spark) => "TIMESTAMP",
            (SqlType::Whole, _) => "BIGINT",
            (SqlType::Small, Self::DuckDb) => "INTEGER",
            (SqlType::Small, Self::Spark) => "INT",
            (SqlType::Real, _) => "DOUBLE",
            (SqlType::Amount, _) => "DECIMAL(18, 4)",
            (SqlType::Flag, _) => "BOOLEAN",
            (SqlType::Day, _) => "DATE",
        }
    }

    /// Nothing, as a column of this type.
    pub(crate) fn null(self, column: &ViewColumn) -> String {
        format!("CAST(NULL AS {}) AS {}", self.kind(column.kind), self.name(&column.name))
    }

    /// Whether a text matches a regular expression that both engines read alike.
    fn matches(self, value: &str, pattern: &str) -> String {
        match self {
            Self::DuckDb => format!("regexp_matches({value}, '{pattern}')"),
            Self::Spark => format!("{value} RLIKE '{pattern}'"),
        }
    }

    /// A text as a value of this type; null where the text is not one. Instants without an offset are in UTC.
    pub(crate) fn parsed(self, value: &str, kind: SqlType) -> String {
        const NUMBER: &str = "^[+-]?[0-9]+([.][0-9]+)?$";
        const DAY: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
        const INSTANT: &str =
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)?$";
        const OFFSET: &str = "(Z|[+-][0-9]{2}:[0-9]{2})$";
        let trimmed = format!("trim({value})");
        let guarded =
            |pattern: &str, then: String| format!("CASE WHEN {} THEN {then} END", self.matches(&trimmed, pattern));
        match kind {
            SqlType::Text => value.to_owned(),
            SqlType::Texts => match self {
                Self::DuckDb => format!("CASE WHEN {value} IS NOT NULL THEN [{value}] END"),
                Self::Spark => format!("CASE WHEN {value} IS NOT NULL THEN array({value}) END"),
            },
            SqlType::Whole | SqlType::Small => {
                guarded("^[+-]?[0-9]+$", format!("TRY_CAST({trimmed} AS {})", self.kind(kind)))
            }
            SqlType::Real | SqlType::Amount => guarded(NUMBER, format!("TRY_CAST({trimmed} AS {})", self.kind(kind))),
            SqlType::Day => guarded(DAY, format!("TRY_CAST({trimmed} AS DATE)")),
            // A cast without a zone goes by the session's in Spark, and drops the offset in DuckDB.
            SqlType::Instant => {
                let offset = self.matches(&trimmed, OFFSET);
                let in_utc = format!(
                    "CASE WHEN {offset} THEN {trimmed} WHEN length({trimmed}) = 10 THEN concat({trimmed}, 'T00:00:00Z') \
                     ELSE concat({trimmed}, 'Z') END"
                );
                guarded(INSTANT, format!("TRY_CAST({in_utc} AS {})", self.kind(kind)))
            }
            SqlType::Flag => format!(
                "CASE WHEN lower({trimmed}) IN ('true', 'yes', '1') THEN TRUE \
                 WHEN lower({trimmed}) IN ('false', 'no', '0') THEN FALSE END"
            ),
        }
    }

    /// An aggregate: the texts of the rows where `condition` holds, by `order`; null where there are none.
    pub(crate) fn gathered(self, value: &str, order: &str, condition: &str) -> String {
        match self {
            Self::DuckDb => format!("list({value} ORDER BY {order}) FILTER (WHERE {condition})"),
            Self::Spark => {
                let rows =
                    format!("collect_list(struct({order} AS place, {value} AS text)) FILTER (WHERE {condition})");
                format!("CASE WHEN count_if({condition}) > 0 THEN sort_array({rows}).text END")
            }
        }
    }
}
