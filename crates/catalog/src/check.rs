//! What a catalog file must hold beyond its shape. Everything here is caught by a test over the embedded files, so the
//! other crates may rely on it.

use std::collections::HashSet;

use crate::{Catalog, CatalogError, Field, FieldType, OptionKind, Param, ParamPlace, ParamType, Report, Role};

/// Lists may be nested this deep: `_parent_ordinal` names one ancestor.
const MAX_DEPTH: usize = 2;

/// Checks one report by itself.
pub(crate) fn report(file: &str, report: &Report) -> Result<(), CatalogError> {
    let check = Check { file, report };
    check.name()?;
    check.fields(&report.columns, 0, &mut HashSet::new(), "")?;
    check.columns()?;
    check.params()?;
    check.options()
}

/// Checks what reports say of each other.
pub(crate) fn references(catalog: &Catalog) -> Result<(), CatalogError> {
    for report in catalog.reports() {
        for reference in report.tables().iter().flat_map(|table| &table.references) {
            let mut tables = catalog.reports().flat_map(|report| report.tables());
            let found = tables.find(|table| table.name == reference.table);
            if found.is_none_or(|table| table.schema.field_with_name(&reference.to).is_err()) {
                return Err(CatalogError::Invalid {
                    file: format!("{}.yaml", report.name),
                    reason: format!("`refers` names {}.{}, which does not exist", reference.table, reference.to),
                });
            }
        }
        for source in report.options.iter().filter_map(|option| option.from.as_ref()) {
            let column = catalog
                .get(&source.report)
                .and_then(|other| other.tables()[0].schema.field_with_name(&source.column).ok());
            if column.is_none() {
                return Err(CatalogError::Invalid {
                    file: format!("{}.yaml", report.name),
                    reason: format!("`from` names {}.{}, which does not exist", source.report, source.column),
                });
            }
        }
    }
    Ok(())
}

struct Check<'a> {
    file: &'a str,
    report: &'a Report,
}

impl Check<'_> {
    fn ensure(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), CatalogError> {
        if holds { Ok(()) } else { Err(CatalogError::Invalid { file: self.file.to_owned(), reason: reason() }) }
    }

    fn name(&self) -> Result<(), CatalogError> {
        let name = &self.report.name;
        self.ensure(self.file == format!("{name}.yaml"), || format!("report `{name}` must be in {name}.yaml"))
    }

    fn fields(
        &self,
        fields: &[Field],
        depth: usize,
        seen: &mut HashSet<String>,
        prefix: &str,
    ) -> Result<(), CatalogError> {
        for field in fields {
            let name = format!("{prefix}{}", field.name);
            self.ensure(!field.name.starts_with('_'), || {
                format!("column `{name}` starts with `_`, which is reserved")
            })?;
            self.ensure(!field.required || (depth == 0 && prefix.is_empty()), || {
                format!(
                    "column `{name}` is nested, so it may be absent with what it is nested in: it cannot be required"
                )
            })?;
            self.ensure(seen.insert(name.clone()), || format!("duplicate column `{name}`"))?;
            self.meaning(field, &name)?;
            match field.kind {
                FieldType::Object => {
                    self.ensure(!field.fields.is_empty() && field.item.is_none(), || {
                        format!("object `{name}` needs `fields`")
                    })?;
                    self.fields(&field.fields, depth, seen, &format!("{name}_"))?;
                }
                FieldType::List => {
                    self.ensure(depth < MAX_DEPTH, || format!("list `{name}` is nested deeper than {MAX_DEPTH}"))?;
                    self.ensure(field.fields.is_empty() != field.item.is_none(), || {
                        format!("list `{name}` needs either `fields` or `item`")
                    })?;
                    let elements = field.item.as_deref().map_or(&field.fields[..], std::slice::from_ref);
                    self.fields(elements, depth + 1, &mut HashSet::new(), "")?;
                    self.ensure(field.key.iter().all(|key| elements.iter().any(|field| field.name == *key)), || {
                        format!("the key of list `{name}` names a field that it does not have")
                    })?;
                }
                _ => self.ensure(field.fields.is_empty() && field.item.is_none(), || {
                    format!("column `{name}` is neither an object nor a list and has fields")
                })?,
            }
        }
        Ok(())
    }

    /// What a field means to readers goes with its type and its role.
    fn meaning(&self, field: &Field, name: &str) -> Result<(), CatalogError> {
        let is_column = !matches!(field.kind, FieldType::Object | FieldType::List);
        self.ensure(field.role.is_none() || is_column, || format!("`{name}` has a `role` and is not a column"))?;
        self.ensure(field.holds.is_none() || field.kind == FieldType::List, || {
            format!("`{name}` has `holds` and is not a list")
        })?;
        for (is_there, key, role) in [
            (!field.events.is_empty(), "events", Role::EventType),
            (!field.value_types.is_empty(), "value_types", Role::ValueType),
            (!field.free_text.is_empty(), "free_text", Role::Version),
        ] {
            self.ensure(!is_there || field.role == Some(role), || format!("`{key}` of `{name}` needs another `role`"))?;
        }
        Ok(())
    }

    fn columns(&self) -> Result<(), CatalogError> {
        let Report { columns, key, order, watermark, duplicates, options, .. } = self.report;
        self.ensure(duplicates.is_none() || options.iter().any(|option| option.kind == OptionKind::Ids), || {
            "`duplicates` are counted within one read of an id, and the report is not read by ids".to_owned()
        })?;
        let paths = paths(columns, "_");
        let named = key
            .iter()
            .chain(order.iter().map(|order| &order.by))
            .chain(watermark.iter().map(|watermark| &watermark.column))
            .chain(watermark.iter().filter_map(|watermark| watermark.also.as_ref()).map(|also| &also.column));
        self.ensure(!key.is_empty(), || "`key` is empty".to_owned())?;
        for name in named {
            self.ensure(paths.contains(name), || format!("`{name}` is not a column"))?;
        }
        for field in columns.iter().filter(|field| field.bound.is_some()) {
            let bound = field.bound.as_deref().unwrap_or_default();
            self.ensure(self.report.param(bound).is_some(), || format!("`bound: {bound}` is not a parameter"))?;
        }
        Ok(())
    }

    fn params(&self) -> Result<(), CatalogError> {
        let Report { params, path, columns, paging, count, watermark, .. } = self.report;
        let dotted = paths(columns, ".");
        let holes = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for hole in holes {
            self.ensure(self.report.param(hole).is_some(), || {
                format!("the path names `{hole}`, which is not a parameter")
            })?;
        }
        for param in params {
            let in_path = path.contains(&format!("{{{}}}", param.name));
            self.ensure(in_path == (param.place == ParamPlace::Path), || {
                format!("parameter `{}` and the path do not agree", param.name)
            })?;
            self.ensure(!param.exclusive || param.kind == ParamType::Timestamp, || {
                format!("parameter `{}` is `exclusive` and not a timestamp", param.name)
            })?;
            for column in &param.filters {
                self.ensure(dotted.contains(column), || format!("`filters` names `{column}`, which is not a column"))?;
            }
            self.means(param)?;
        }
        let limit = paging.iter().filter_map(|paging| paging.limit.as_ref()).map(|limit| &limit.param);
        let also = watermark.iter().filter_map(|watermark| watermark.also.as_ref());
        let also = also.flat_map(|also| [&also.after, &also.before]);
        let also = also.chain(watermark.iter().map(|watermark| &watermark.before));
        for name in limit.chain(count.iter().map(|count| &count.param)).chain(also) {
            self.ensure(self.report.param(name).is_some(), || format!("`{name}` is not a parameter"))?;
        }
        Ok(())
    }

    /// Each value of a parameter means something where any does, and one means any row.
    fn means(&self, param: &Param) -> Result<(), CatalogError> {
        if param.means.is_empty() {
            return Ok(());
        }
        let (name, columns) = (&param.name, paths(&self.report.columns, "_"));
        self.ensure(
            param.values.len() == param.means.len() && param.values.iter().all(|value| param.means.contains_key(value)),
            || format!("`means` of parameter `{name}` must have each of its values"),
        )?;
        self.ensure(param.means.values().filter(|meaning| meaning.is_empty()).count() == 1, || {
            format!("one value of parameter `{name}` must mean any row")
        })?;
        for column in param.means.values().flat_map(|meaning| meaning.keys()) {
            self.ensure(columns.contains(column), || format!("`means` names `{column}`, which is not a column"))?;
        }
        Ok(())
    }

    fn options(&self) -> Result<(), CatalogError> {
        for option in &self.report.options {
            let name = &option.name;
            for param in &option.params {
                let Some(param) = self.report.param(param) else {
                    return self.ensure(false, || format!("option `{name}` sets `{param}`, which is not a parameter"));
                };
                let picks = matches!(option.kind, OptionKind::Choice | OptionKind::Choices | OptionKind::Subresources);
                self.ensure(!picks || !param.values.is_empty(), || {
                    format!("option `{name}` needs `values` to pick from")
                })?;
            }
            self.ensure(option.params.is_empty() == (option.kind == OptionKind::Duration), || {
                format!("option `{name}` sets no parameter")
            })?;
        }
        if let Some(watermark) = &self.report.watermark {
            let kind = self.report.option(&watermark.option).map(|option| option.kind);
            self.ensure(kind == Some(OptionKind::Instant), || {
                format!("`{}` is not an instant option", watermark.option)
            })?;
        }
        Ok(())
    }
}

/// Names of all columns and lists, those of objects and lists with their path, joined by `separator`.
fn paths(fields: &[Field], separator: &str) -> HashSet<String> {
    let mut paths = HashSet::new();
    for field in fields {
        paths.insert(field.name.clone());
        paths.extend(paths_below(field, separator));
    }
    paths
}

fn paths_below(field: &Field, separator: &str) -> Vec<String> {
    paths(&field.fields, separator).into_iter().map(|path| format!("{}{separator}{path}", field.name)).collect()
}
