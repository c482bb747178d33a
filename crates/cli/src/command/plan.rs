//! `ctct-etl plan`: what a run would ask. Sends nothing.

use std::path::Path;

use chrono::Utc;
use ctct_catalog::Catalog;
use ctct_pipeline::Plan;

use super::{catalog, pipeline, refuse};
use crate::args::{Global, PlanArguments};
use crate::exit_code;
use crate::printer::{complain, print};

/// Prints the plan of one pipeline.
pub(crate) fn plan(_global: &Global, arguments: &PlanArguments) -> u8 {
    let plan = catalog().and_then(|catalog| resolve(&arguments.file, &arguments.reports, &catalog));
    match plan {
        Ok(plan) => print(&plan.to_string()),
        Err(code) => code,
    }
}

/// The plan of a file as of now, of only the reports named in `only` where there are any.
pub(crate) fn resolve(file: &Path, only: &[String], catalog: &Catalog) -> Result<Plan, u8> {
    let pipeline = pipeline(file, catalog)?;
    let mut plan = Plan::new(&pipeline, Utc::now()).map_err(|errors| refuse(&errors))?;
    for name in only {
        if !plan.reports.iter().any(|report| report.report.name == *name) {
            let there: Vec<&str> = plan.reports.iter().map(|report| report.report.name.as_str()).collect();
            complain(&format!("error: {} has no report `{name}`; it has {}", file.display(), there.join(", ")));
            return Err(exit_code::CONFIGURATION);
        }
    }
    if !only.is_empty() {
        plan.reports.retain(|report| only.contains(&report.report.name));
    }
    Ok(plan)
}
