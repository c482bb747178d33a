//! Where this host keeps what belongs to no pipeline: sign-ins and application profiles, and counts of requests.

use std::path::PathBuf;

use ctct_pipeline::context::HostFolders;
use etcetera::BaseStrategy;

use crate::args::Global;
use crate::exit_code;
use crate::printer::complain;

/// Name of the program's folder among those of others.
const OURS: &str = "ctct-etl";

/// The folder of sign-ins and profiles: `--config-dir`, `CTCT_CONFIG_DIR`, or the platform's usual one. It need not be
/// there. Without any, the exit code of a wrong configuration.
pub(crate) fn config(global: &Global) -> Result<PathBuf, u8> {
    config_of(global).ok_or_else(|| {
        complain("error: this host has no home folder\nnext: name a folder with --config-dir");
        exit_code::CONFIGURATION
    })
}

/// The same and the folder of what the program counts (`--state-dir`, `CTCT_STATE_DIR`, or the platform's usual one).
/// `None` where a folder is not named and the host has no home: a container under a bare user id, say.
pub(crate) fn of_host(global: &Global) -> Option<HostFolders> {
    let usual = |usual: &Usual| usual.state_dir().unwrap_or_else(|| usual.data_dir());
    let state = named(global.state_dir.as_ref(), "CTCT_STATE_DIR").or_else(|| ours(usual));
    Some(HostFolders { config: config_of(global)?, state: state? })
}

fn config_of(global: &Global) -> Option<PathBuf> {
    named(global.config_dir.as_ref(), "CTCT_CONFIG_DIR").or_else(|| ours(BaseStrategy::config_dir))
}

/// The folder of an option, or else of a variable. Not read by clap, whose usage lines would show it as an option given.
fn named(option: Option<&PathBuf>, variable: &str) -> Option<PathBuf> {
    let from_variable = || std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    option.cloned().or_else(from_variable)
}

#[cfg(windows)]
type Usual = etcetera::base_strategy::Windows;
#[cfg(not(windows))]
type Usual = etcetera::base_strategy::Xdg;

fn ours(folder: impl FnOnce(&Usual) -> PathBuf) -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|usual| folder(&usual).join(OURS))
}
