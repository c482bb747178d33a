//! Properties of an object of kept pages.

use std::io::Write;

use super::object;

/// An object, as it is and as the text of one. What is read is read again as it was written, and none holds more than it may.
/// Whether it is read.
///
/// # Panics
/// It does not hold.
pub fn kept_page(bytes: &[u8]) -> bool {
    let mut is_read = false;
    let compressed = || {
        let mut object = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
        object.include_checksum(true)?;
        object.write_all(bytes)?;
        object.finish()
    };
    for object in [bytes.to_vec(), compressed().unwrap_or_default()] {
        if let Ok(pages) = object::decode(&object) {
            assert!(pages.iter().map(|page| page.body.len() as u64).sum::<u64>() <= object::MOST_BYTES);
            let written = object::encode(&pages).unwrap_or_default();
            assert!(object::decode(&written).is_ok_and(|again| again == pages), "it is read as something else");
            is_read = true;
        }
    }
    is_read
}
