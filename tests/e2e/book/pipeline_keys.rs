//! The reference of pipeline files, from their JSON Schema: what an editor offers is what the page says.

use ctct_catalog::{Catalog, Report};
use serde_json::{Map, Value};

/// The page.
pub(super) fn page(made: &str, catalog: &Catalog) -> String {
    let schema = ctct_pipeline::document::schema(catalog);
    let mut page = format!(
        "# Pipeline files\n\n{made}A pipeline is one YAML file. A key that is not listed here is refused, with the file, the line and \
         what would be right.\n`{{env: NAME}}` works wherever a text does. A secret is always `{{env: NAME}}` or `{{file: PATH}}`: \
         a pipeline file has no place for one.\n\n`ctct-etl init` writes a pipeline, `ctct-etl validate FILE` checks one, and `ctct-etl schema --editor` \
         prints the JSON Schema that this page is made of.\n"
    );
    page += &section("The file", "", &schema, &[]);
    for (path, schema) in mappings("", &schema) {
        let doc = match path.as_str() {
            "source" => {
                "Exactly one of `account`, `accounts`, `access_token` and `sandbox` says what is read; `account` may \
                 be given with the last two, as a label."
            }
            "destination.options" => "Which of them the store takes, `validate` says.",
            _ => "",
        };
        page += &section(&path, doc, schema, &[]);
    }
    page += &reports(catalog, schema["$defs"].as_object().unwrap());
    page
}

/// The mappings with several keys within a mapping, by their paths, in order.
fn mappings<'a>(path: &str, schema: &'a Value) -> Vec<(String, &'a Value)> {
    let mut all = Vec::new();
    for (name, key) in schema["properties"].as_object().into_iter().flatten() {
        if key["properties"].as_object().is_some_and(|keys| keys.len() > 1) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let inner = mappings(&path, key);
            all.push((path, key));
            all.extend(inner);
        }
    }
    all
}

/// A heading and a table of the keys of a mapping, without those named in `except`.
fn section(title: &str, doc: &str, schema: &Value, except: &[&str]) -> String {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = format!("\n## {title}\n\n");
    if !doc.is_empty() {
        text += &format!("{doc}\n\n");
    }
    text += "| key | value | what it is |\n| --- | --- | --- |\n";
    for (name, key) in schema["properties"].as_object().unwrap() {
        if except.contains(&name.as_str()) {
            continue;
        }
        let needed = if required.contains(&name.as_str()) { " (required)" } else { "" };
        let doc = key["description"].as_str().unwrap_or_default();
        text += &format!("| `{name}`{needed} | {} | {} |\n", cell(&form(key)), cell(doc));
    }
    text
}

/// The keys that every report takes, then each report's own.
fn reports(catalog: &Catalog, definitions: &Map<String, Value>) -> String {
    let own = |report: &Report| report.options.iter().map(|option| option.name.clone()).collect::<Vec<_>>();
    let mut all = catalog.reports();
    let first = all.next().unwrap();
    let (schema, except) = (&definitions[&format!("report_{}", first.name)], own(first));
    let except: Vec<&str> = except.iter().map(String::as_str).chain(["report"]).collect();
    let doc =
        "`report: NAME` and, for every report, these. Columns of `partition_by` are those of the report's own table.";
    let mut text = section("reports", doc, schema, &except);
    for report in catalog.reports() {
        text += &format!("\n### {}\n\n{}\n", report.name, report.doc);
        if !report.options.is_empty() {
            text += "\n| key | value | what it is |\n| --- | --- | --- |\n";
        }
        let schema = &definitions[&format!("report_{}", report.name)];
        for option in &report.options {
            let key = &schema["properties"][&option.name];
            let needed = if option.required { " (required)" } else { "" };
            let default = match key["default"].as_array() {
                Some(values) => format!(" Default: {}.", list(values)),
                None => String::new(),
            };
            text += &format!("| `{}`{needed} | {} | {}{default} |\n", option.name, cell(&form(key)), cell(&option.doc));
        }
    }
    text
}

/// What may stand behind a key, in words.
fn form(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return match name.rsplit('/').next().unwrap_or_default() {
            "env" => String::new(),
            "text" => "text".to_owned(),
            "secret" => "`{env: NAME}` or `{file: PATH}`".to_owned(),
            "date" => "a date, or `{days_back: N}`".to_owned(),
            "moment" => "a date, a timestamp, or `{days_back: N}`".to_owned(),
            "days_back" => "`{days_back: N}`".to_owned(),
            other => other.to_owned(),
        };
    }
    if schema["properties"].is_object() {
        return mapping(schema);
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        let mut words: Vec<String> = Vec::new();
        for one in forms {
            let items = one["items"].is_object().then(|| form(&one["items"]));
            // `x, or a list of x` says x once.
            let word = if items.is_some_and(|items| items == words.join(", or ")) {
                "a list of them".to_owned()
            } else {
                form(one)
            };
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
        return words.join(", or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", plain(value));
    }
    if let Some(values) = schema["enum"].as_array() {
        // Columns of a table would fill a page.
        return if values.len() > 15 { "a column".to_owned() } else { list(values) };
    }
    match schema["type"].as_str() {
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => format!("a whole number{}", bounds(schema)),
        Some("number") => format!("a number{}", bounds(schema)),
        Some("array") => format!("a list of {}", plural(&form(&schema["items"]))),
        _ => text_like(schema),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(values: &[Value]) -> String {
    values.iter().map(|value| format!("`{}`", plain(value))).collect::<Vec<_>>().join(", ")
}

fn plural(form: &str) -> String {
    if form.starts_with("report") { "reports".to_owned() } else { format!("such: {form}") }
}

/// A mapping by its keys.
fn mapping(schema: &Value) -> String {
    let keys: Vec<&str> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    match keys.as_slice() {
        keys if keys.len() > 4 => "a mapping, see below".to_owned(),
        [only] => match schema["properties"][only]["const"].as_str() {
            Some(value) => format!("`{{{only}: {value}}}`"),
            None => format!("`{{{only}: ...}}`"),
        },
        keys => format!("a mapping of {}", keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn text_like(schema: &Value) -> String {
    match schema["pattern"].as_str() {
        Some(pattern) if pattern.contains("https?") => "an http or https address".to_owned(),
        Some(pattern) if pattern.contains("[mhd]") => "a span of time such as `15m`, `1h` or `7d`".to_owned(),
        Some(pattern) if pattern.contains("A-Fa-f") => "an id".to_owned(),
        Some(pattern) if pattern.contains("A-Za-z0-9._-") => {
            "a name: letters, digits, `.`, `_`, `-`; 64 at most".to_owned()
        }
        Some(pattern) if pattern.contains("\\S+") => "a cron expression of five fields".to_owned(),
        Some(pattern) if pattern.contains("{4}-[0-9]{2}") => "a date".to_owned(),
        Some("^-?[0-9]+$") => String::new(),
        _ => "text".to_owned(),
    }
}

fn bounds(schema: &Value) -> String {
    let bound = |name: &str| schema[name].as_f64().map(|bound| format!("{bound}"));
    match (bound("minimum"), bound("exclusiveMinimum"), bound("maximum")) {
        (Some(min), _, Some(max)) => format!(" from {min} to {max}"),
        (_, Some(min), Some(max)) => format!(" above {min}, up to {max}"),
        (Some(min), _, None) => format!(", {min} or more"),
        _ => String::new(),
    }
}

/// A text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
