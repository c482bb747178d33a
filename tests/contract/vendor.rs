//! The vendor's description of the API and the collected bodies beside it, from the folder that `CTCT_API_REFERENCE` names.
//! Without it, the facts that the repository keeps of the description; no word of the vendor's is kept, in no snapshot either.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs};

use ctct_test_support::skipped;
use serde_json::Value;

use crate::facts;
use crate::parameter::Parameter;

/// Names the folder.
const VARIABLE: &str = "CTCT_API_REFERENCE";
const DESCRIPTION: &str = "constant-contact-v3-openapi.yml";

/// The description, parsed, and the folder that the bodies are in.
pub(crate) struct Vendor {
    folder: Option<PathBuf>,
    description: Value,
}

static VENDOR: LazyLock<Vendor> = LazyLock::new(|| {
    let Some(folder) = env::var_os(VARIABLE).map(PathBuf::from) else {
        let text = fs::read_to_string(facts::file()).unwrap();
        return Vendor { folder: None, description: serde_json::from_str(&text).unwrap() };
    };
    let text = fs::read_to_string(folder.join(DESCRIPTION)).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    Vendor { folder: Some(folder), description: serde_saphyr::from_str(&text).unwrap() }
});

/// A file of `payloads/` as its index describes it.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) file: String,
    pub(crate) status: u16,
    /// Request that it answers, in words: `GET /contacts`.
    pub(crate) endpoint: String,
    pub(crate) body: Vec<u8>,
}

impl Payload {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: {error}", self.file))
    }

    pub(crate) fn is_json(&self) -> bool {
        self.file.rsplit_once('.').is_some_and(|(_, extension)| extension == "json")
    }
}

impl Vendor {
    /// The description, or what is kept of it.
    pub(crate) fn facts() -> &'static Self {
        &VENDOR
    }

    /// The description with its prose and the bodies. `None` where the variable is not set: the test then has nothing to compare
    /// with, and returns.
    pub(crate) fn reference() -> Option<&'static Self> {
        if VENDOR.folder.is_none() {
            skipped(&format!("{VARIABLE} is not set"));
        }
        Some(&*VENDOR).filter(|vendor| vendor.folder.is_some())
    }

    /// The GET of a path as the description spells it.
    pub(crate) fn operation(&self, path: &str) -> Option<Operation<'_>> {
        let (path, methods) = self.description["paths"].as_object()?.get_key_value(path)?;
        Some(Operation { path, get: methods.get("get")? })
    }

    /// The GET that serves a concrete path, and the values of its path parameters.
    pub(crate) fn serving<'v, 'p>(&'v self, path: &'p str) -> Option<(Operation<'v>, Vec<(&'v str, &'p str)>)> {
        let path = path.strip_prefix(self.description["basePath"].as_str()?)?;
        let templates = self.description["paths"].as_object()?.keys();
        let fitting = templates.filter_map(|template| {
            let values = path_values(template, path)?;
            Some((self.operation(template)?, values))
        });
        // `/contacts/counts` is itself before it is a contact's id.
        fitting.min_by_key(|(_, values)| values.len())
    }

    /// A named schema.
    pub(crate) fn definition(&self, name: &str) -> &Value {
        self.description["definitions"].get(name).unwrap_or_else(|| panic!("no definition {name}"))
    }

    /// The schema itself, where `schema` is a reference to one.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.resolve(self.definition(reference.strip_prefix("#/definitions/").unwrap())),
            None => schema,
        }
    }

    /// Every file of `payloads/`, as the index lists them.
    pub(crate) fn payloads(&self) -> Vec<Payload> {
        let folder = self.folder.as_ref().unwrap().join("payloads");
        let index = fs::read_to_string(folder.join("INDEX.md")).unwrap();
        let payload = |line: &str| {
            let cells: Vec<&str> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
            let &[file, status, endpoint, ..] = cells.as_slice() else { return None };
            let status = status.parse().ok()?;
            let body = fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            Some(Payload { file: file.to_owned(), status, endpoint: endpoint.to_owned(), body })
        };
        let payloads: Vec<Payload> = index.lines().filter_map(payload).collect();
        assert_eq!(payloads.len() + 1, fs::read_dir(folder).unwrap().count(), "the index lists every file");
        payloads
    }
}

/// The values of `{name}` in a template that a path fits.
fn path_values<'t, 'p>(template: &'t str, path: &'p str) -> Option<Vec<(&'t str, &'p str)>> {
    if template.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut values = Vec::new();
    for (expected, found) in template.split('/').zip(path.split('/')) {
        match expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => values.push((name, found)),
            None if expected == found => {}
            None => return None,
        }
    }
    Some(values)
}

/// One GET.
#[derive(Clone, Copy)]
pub(crate) struct Operation<'a> {
    /// Path below the base, with `{name}` for each path parameter.
    pub(crate) path: &'a str,
    get: &'a Value,
}

impl<'a> Operation<'a> {
    pub(crate) fn id(&self) -> &'a str {
        self.get["operationId"].as_str().unwrap()
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = Parameter<'a>> + use<'a> {
        self.get["parameters"].as_array().into_iter().flatten().map(Parameter)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<Parameter<'a>> {
        self.parameters().find(|parameter| parameter.name() == name)
    }

    /// The scopes of each way to sign in.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = Vec<&'a str>> + use<'a> {
        let ways = self.get["security"].as_array().into_iter().flatten();
        let ways = ways.flat_map(|way| way.as_object().into_iter().flat_map(|way| way.values()));
        ways.map(|scopes| scopes.as_array().unwrap().iter().filter_map(Value::as_str).collect())
    }

    /// Statuses that it may answer.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        self.get["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect()
    }

    /// Schema of the body with a status.
    pub(crate) fn body(&self, status: u16) -> &'a Value {
        self.body_if_any(status).unwrap_or_else(|| panic!("{} has no schema for {status}", self.path))
    }

    /// The same; `None` where the description has none.
    pub(crate) fn body_if_any(&self, status: u16) -> Option<&'a Value> {
        self.get["responses"][status.to_string()].get("schema")
    }
}
