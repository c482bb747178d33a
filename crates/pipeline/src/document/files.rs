//! `destination.files`: how Parquet files are written.

use ctct_load::{Compression, FileSettings};

use super::fields::{Decoder, not_in_list, text};
use super::keys::FILES;
use crate::document::error::ConfigError;
use crate::document::node::Node;

/// Reads the mapping.
pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<FileSettings> {
    let fields = decoder.fields(node, FILES)?;
    let compression = fields.get("compression").and_then(|node| {
        let read = compression(node, decoder);
        decoder.keep(read)
    });
    let compression_level = fields.count32("compression_level", decoder);
    if let (Some(level), Some(node)) = (compression_level, fields.get("compression_level")) {
        let fits = fits(node, level, compression.unwrap_or_default());
        decoder.keep(fits);
    }
    let row_group_bytes = fields.count("row_group_bytes", decoder);
    Some(FileSettings {
        compression,
        compression_level,
        row_group_bytes: row_group_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        target_bytes: fields.count("target_bytes", decoder),
        account_column: fields.flag("account_column", decoder).unwrap_or_default(),
    })
}

fn compression(node: &Node, decoder: &Decoder<'_>) -> Result<Compression, ConfigError> {
    let name = text(node, decoder.environment)?;
    let found = Compression::ALL.into_iter().find(|compression| compression.name() == name.value);
    found.ok_or_else(|| not_in_list(node, &name, &Compression::ALL.map(Compression::name)))
}

fn fits(node: &Node, level: u32, compression: Compression) -> Result<(), ConfigError> {
    let name = compression.name();
    match compression.levels() {
        None => Err(ConfigError::at(node, format!("`compression: {name}` has no levels")).help("remove it")),
        Some((least, most)) if !(least..=most).contains(&level) => {
            Err(ConfigError::at(node, format!("invalid level {level} of {name}"))
                .help(format!("use a level from {least} to {most}")))
        }
        Some(_) => Ok(()),
    }
}
