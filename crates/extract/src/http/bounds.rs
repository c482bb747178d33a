//! How much one page of a report can hold. More than that is not a page, however small it was on the wire: what is read of it
//! must cost no more memory and time than a page may.

use ctct_catalog::Report;

/// Values of a page that none of its records needs.
const VALUES: u64 = 1 << 16;
/// Values of one record: the contact with all sub-resources that the vendor allows has some hundred.
const VALUES_A_RECORD: u64 = 1_000;
/// Bytes of a page that none of its records needs, and of one record: notes are the longest that one has.
const BYTES: u64 = 4 << 20;
const BYTES_A_RECORD: u64 = 120 << 10;
/// Characters of the link to the next page. Servers and proxies take no longer address.
pub(crate) const LINK: usize = 8_192;

/// The bounds of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Records that were asked for; absent where the report says nothing of them.
    asked: Option<u32>,
}

impl Bounds {
    /// Those of a page that is asked for with these parameters.
    pub(crate) fn of(report: &Report, params: &[(String, String)]) -> Self {
        let limit = report.paging.as_ref().and_then(|paging| paging.limit.as_ref());
        let asked = limit.and_then(|limit| params.iter().find(|(name, _)| *name == limit.param)?.1.parse().ok());
        Self { asked: asked.or(report.page_rows()) }
    }

    /// The most records: twice as many as were asked for.
    pub(crate) fn records(self) -> Option<u64> {
        self.asked.map(|asked| 2 * u64::from(asked.max(1)))
    }

    /// The most bytes.
    pub(crate) fn bytes(self) -> u64 {
        BYTES + BYTES_A_RECORD * u64::from(self.asked.unwrap_or(1))
    }

    /// The most values, keys and brackets among them.
    fn values(self) -> u64 {
        VALUES + VALUES_A_RECORD * u64::from(self.asked.unwrap_or(1))
    }

    /// Refuses a body of more values than a page has. It takes a few passes over the bytes and no memory.
    ///
    /// # Errors
    /// What is too much, without a word of the body.
    pub(crate) fn check(self, body: &[u8]) -> Result<(), String> {
        let most = self.values();
        // Nearly always that is enough: what is counted stands for more values than there are.
        if marks(body) <= most || marks_outside_strings(body) <= most {
            return Ok(());
        }
        Err(format!("it holds more than {most} values, which no page of the report does"))
    }
}

/// Commas and opening brackets, in strings as well: at least as many as there are values, but for the first one.
fn marks(body: &[u8]) -> u64 {
    // So many that the sum of each fits a byte, which lets the compiler add up many at a time.
    let chunks = body.chunks(usize::from(u8::MAX));
    chunks.map(|chunk| u64::from(chunk.iter().map(|byte| u8::from(is_mark(*byte))).sum::<u8>())).sum()
}

/// The same where they are not part of a string.
fn marks_outside_strings(body: &[u8]) -> u64 {
    let (mut marks, mut bytes) = (0, body.iter());
    while let Some(byte) = bytes.next() {
        if *byte == b'"' {
            while let Some(byte) = bytes.next().filter(|byte| **byte != b'"') {
                if *byte == b'\\' {
                    bytes.next();
                }
            }
        } else {
            marks += u64::from(is_mark(*byte));
        }
    }
    marks
}

fn is_mark(byte: u8) -> bool {
    // Both opening brackets differ in this bit alone.
    byte == b',' || byte | 0x20 == b'{'
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;

    use super::*;

    const ONE: Bounds = Bounds { asked: Some(1) };

    #[test]
    fn every_report_says_how_many_records_a_page_has() {
        let catalog = Catalog::embedded().unwrap();
        for report in catalog.reports().filter(|report| report.rows.is_some()) {
            let bounds = Bounds::of(report, &[]);
            assert_eq!(bounds.records(), report.page_rows().map(|rows| 2 * u64::from(rows)), "{}", report.name);
            assert!(bounds.records().is_some(), "{}", report.name);
        }
        let contacts = catalog.get("contacts").unwrap();
        let asked = |limit: &str| Bounds::of(contacts, &[("limit".to_owned(), limit.to_owned())]).records();
        assert_eq!([asked("7"), asked("0"), asked("x")], [Some(14), Some(2), Some(1_000)]);
    }

    #[test]
    fn values_are_counted_whatever_they_are() {
        let most = usize::try_from(ONE.values()).unwrap();
        for (value, values_each) in
            [("0,", 1), ("[],", 2), ("{},", 2), (r#""":0,"#, 1), ("[", 1), (r#"{"":"#, 1), (r#""\",[","#, 1)]
        {
            let body = |values: usize| value.repeat(values / values_each);
            assert_eq!(ONE.check(body(most).as_bytes()), Ok(()), "{value}");
            assert!(ONE.check(body(most + 2 * values_each).as_bytes()).is_err(), "{value}");
        }
        // Marks in a text are no values.
        assert_eq!(ONE.check(format!("\"{}\"", ",[{".repeat(most)).as_bytes()), Ok(()));
        assert_eq!(ONE.check(format!("\"{}", "\\".repeat(most)).as_bytes()), Ok(()));
    }

    #[test]
    fn both_ways_to_count_agree_where_no_string_holds_a_mark() {
        let body = r#"{"a":[1,{"b":"c\"d"},[]],"e":{}}"#.repeat(100);
        assert_eq!(marks(body.as_bytes()), marks_outside_strings(body.as_bytes()));
    }
}
