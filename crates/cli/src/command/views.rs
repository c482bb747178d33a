//! `ctct-etl views`: SQL over the tables of a pipeline, for the engine that reads them.

use ctct_pipeline::document::did_you_mean;
use ctct_pipeline::{Environment, RunError};
use ctct_readers::views::{self, Views};

use super::{catalog, pipeline, runtime};
use crate::args::{Global, ViewsArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::{complain, print};
use crate::reporter;

/// Prints the SQL. Nothing is sent to the API; the destination is read.
pub(crate) fn views(global: &Global, arguments: &ViewsArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    let prepared =
        catalog().and_then(|catalog| Ok((pipeline(&arguments.pipeline.file, &catalog)?, catalog, runtime()?)));
    let (pipeline, catalog, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let failed = |error: &RunError| {
        let summary = error.summary(pipeline.file());
        complain(&format!("error: {}\nnext: {}", summary.message, summary.advice));
        error.outcome().policy().exit_code
    };
    let there: Vec<&str> = pipeline.reports.iter().map(|config| config.report.name.as_str()).collect();
    if let Some(name) = arguments.only.reports.iter().find(|name| !there.contains(&name.as_str())) {
        let file = arguments.pipeline.file.display();
        let meant = did_you_mean(name, &there).map_or_else(String::new, |meant| format!("; {meant}"));
        complain(&format!("error: {file} has no report `{name}`{meant}\nnext: use one of {}", there.join(", ")));
        return exit_code::CONFIGURATION;
    }
    let needed = views::needed(&arguments.only.reports, &catalog);
    let wanted = |name: &str| {
        arguments.only.reports.is_empty()
            || needed.contains(&name)
            || arguments.only.reports.iter().any(|report| report == name)
    };
    let reports = pipeline.reports.iter().filter(|config| wanted(&config.report.name)).collect();

    let opened = ctct_pipeline::context::open_destination(&pipeline, &Environment::process(), pipeline.folder());
    let destination = match opened {
        Ok(destination) => destination,
        Err(error) => return failed(&error),
    };
    if arguments.location.is_none() && destination.url().starts_with("memory://") {
        complain("error: other programs cannot read memory://\nnext: use a folder or a bucket as the destination");
        return exit_code::CONFIGURATION;
    }
    let views = match runtime.block_on(Views::read(&catalog, reports, arguments.only.reports.is_empty(), &destination))
    {
        Ok(views) => views,
        Err((report, source)) => return failed(&RunError::Load { report, source: Box::new(source) }),
    };
    if !global.quiet {
        remark(&views, arguments, destination.url());
    }
    let location = arguments.location.as_deref().unwrap_or_else(|| destination.url());
    print(&views.sql(arguments.dialect, arguments.schema.as_deref(), location))
}

/// Says what the views lack, and how to have it.
fn remark(views: &Views<'_>, arguments: &ViewsArguments, place: &str) {
    let (file, dialect) = (arguments.pipeline.file.display(), arguments.dialect.word());
    if !views.missing().is_empty() {
        complain(&format!(
            "note: {} not stored yet in {place}: the views are empty\nnext: ctct-etl run {file}, then \
             ctct-etl views {file} --dialect {dialect} again",
            views.missing().join(", ")
        ));
    }
    if let Some(report) = views.lacks_names() {
        complain(&format!(
            "note: columns of custom fields are named by ids, because the names of the fields are not stored\nnext: add the report \
             {report} to {file}, then ctct-etl run {file}"
        ));
    }
}
