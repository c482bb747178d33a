//! `ctct-etl validate`: checks pipelines without sending anything.

use chrono::Utc;
use ctct_pipeline::Plan;

use super::{catalog, pipeline, refuse};
use crate::args::{Global, ValidateArguments};
use crate::exit_code;
use crate::printer::{complain, print};
use crate::reporter::summary::counted;

/// Checks every file and says which are fine; all mistakes are shown, not only the first file's.
pub(crate) fn validate(global: &Global, arguments: &ValidateArguments) -> u8 {
    let catalog = match catalog() {
        Ok(catalog) => catalog,
        Err(code) => return code,
    };
    let mut worst = exit_code::DONE;
    for file in &arguments.pipelines.files {
        let checked = pipeline(file, &catalog)
            .and_then(|pipeline| Plan::new(&pipeline, Utc::now()).map_err(|errors| refuse(&errors)));
        for warning in checked.iter().flat_map(|plan| &plan.reports).flat_map(|report| &report.warnings) {
            complain(&format!("warning: {}: {warning}", file.display()));
        }
        match checked {
            Ok(plan) if !global.quiet => {
                let reports = plan.reports.len() as u64;
                let code = print(&format!("{}: valid, {}", file.display(), counted(reports, "report")));
                worst = worst.max(code);
            }
            Ok(_) => {}
            Err(code) => worst = worst.max(code),
        }
    }
    worst
}
