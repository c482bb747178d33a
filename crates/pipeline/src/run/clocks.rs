//! How far a server's clock is believed. It belongs to another machine, whose time may be off by seconds or by centuries, and
//! a time that lies ahead would hide every change until then.

use chrono::{DateTime, TimeDelta, Utc};
use ctct_extract::Page;

use crate::document::dates::is_sane;

/// The next watermark lies this far before the first page: a change that the API had accepted but did not show yet is then
/// read again, rather than missed.
const SETTLE: TimeDelta = TimeDelta::seconds(60);
/// A server's clock that is further from this host's does not count.
const BELIEVED: TimeDelta = TimeDelta::minutes(10);
/// Clocks that are further apart are worth a warning.
const APART: TimeDelta = TimeDelta::minutes(2);

/// When a page came, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    server: Option<DateTime<Utc>>,
    host: DateTime<Utc>,
}

impl Moment {
    pub(super) fn of(page: &Page) -> Self {
        Self { server: page.server_date, host: page.received_at }
    }

    /// When something happened that no server has to do with.
    pub(super) fn by_host(now: DateTime<Utc>) -> Self {
        Self { server: None, host: now }
    }

    /// The instant that counts: by the server's clock, which is the same for every host that runs the pipeline, unless it
    /// is far from this host's.
    pub(super) fn instant(self) -> DateTime<Utc> {
        let near = |server: &DateTime<Utc>| (*server - self.host).abs() <= BELIEVED;
        self.server.filter(near).unwrap_or(self.host)
    }

    /// The same, but not after this host's clock: when a read began.
    pub(super) fn begun(self) -> DateTime<Utc> {
        self.instant().min(self.host)
    }

    /// The next watermark: the earlier of the two clocks, a little before the page. Never before the last one, and the last
    /// one where both clocks are in no year that can be.
    pub(super) fn watermark(self, last: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let earlier = self.server.map_or(self.host, |server| server.min(self.host));
        let next = earlier.checked_sub_signed(SETTLE).filter(is_sane);
        next.max(last.filter(is_sane))
    }

    /// What to tell where the clocks are minutes apart.
    pub(super) fn warning(self) -> Option<String> {
        let server = self.server.filter(|server| (*server - self.host).abs() > APART)?;
        let [server, host] = [server, self.host].map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string());
        Some(format!(
            "the API's clock says {server} UTC and this host's {host} UTC; the next run starts from the earlier of the two; \
             set this host's clock (NTP) if it is the wrong one"
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn moment(server: Option<&str>, host: &str) -> Moment {
        Moment { server: server.map(at), host: at(host) }
    }

    const NOW: &str = "2026-03-01T12:00:00Z";

    #[test]
    fn the_server_is_believed_within_minutes() {
        let cases = [
            (Some("2026-03-01T12:00:01Z"), "2026-03-01T12:00:01Z", false),
            (Some("2026-03-01T12:02:00Z"), "2026-03-01T12:02:00Z", false),
            (Some("2026-03-01T11:57:59Z"), "2026-03-01T11:57:59Z", true),
            (Some("2026-03-01T12:10:00Z"), "2026-03-01T12:10:00Z", true),
            (Some("2026-03-01T12:10:01Z"), NOW, true),
            (Some("2026-03-01T14:00:00Z"), NOW, true),
            (Some("2099-01-01T00:00:00Z"), NOW, true),
            (Some("0001-01-01T00:00:00Z"), NOW, true),
            (Some("9999-12-31T23:59:59Z"), NOW, true),
            (None, NOW, false),
        ];
        for (server, instant, warns) in cases {
            let moment = moment(server, NOW);
            assert_eq!((moment.instant(), moment.warning().is_some()), (at(instant), warns), "{server:?}");
        }
    }

    #[test]
    fn a_watermark_is_the_earlier_clock_never_goes_back_and_is_of_a_year_that_can_be() {
        let last = "2026-02-28T12:00:00Z";
        let cases = [
            (Some("2026-03-01T12:00:30Z"), NOW, Some("2026-03-01T11:59:00Z")),
            (Some("2026-03-01T14:00:00Z"), NOW, Some("2026-03-01T11:59:00Z")),
            (Some("2099-01-01T00:00:00Z"), NOW, Some("2026-03-01T11:59:00Z")),
            (Some("2026-03-01T10:00:00Z"), NOW, Some("2026-03-01T09:59:00Z")),
            (Some("2026-02-01T10:00:00Z"), NOW, Some(last)),
            (Some("0001-01-01T00:00:00Z"), NOW, Some(last)),
            (Some("2026-03-01T12:00:00Z"), "1970-01-01T00:00:00Z", Some(last)),
            (Some("2026-03-01T12:00:00Z"), "2031-01-01T00:00:00Z", Some("2026-03-01T11:59:00Z")),
            (None, NOW, Some("2026-03-01T11:59:00Z")),
            (None, "9999-01-01T00:00:00Z", Some(last)),
        ];
        for (server, host, expected) in cases {
            assert_eq!(moment(server, host).watermark(Some(at(last))), expected.map(at), "{server:?} {host}");
        }
        assert_eq!(moment(Some("0001-01-01T00:00:00Z"), NOW).watermark(None), None);
        let extreme = Moment { server: Some(DateTime::<Utc>::MIN_UTC), host: DateTime::<Utc>::MAX_UTC };
        assert_eq!(extreme.watermark(Some(DateTime::<Utc>::MIN_UTC)), None);
        assert_eq!(extreme.instant(), DateTime::<Utc>::MAX_UTC);
    }

    /// A run: seconds since the one before, how far the server's `Date` is off (`None`: it sends none), and this host's clock.
    type Run = (i64, Option<i64>, i64);

    /// A clock: right, or off by seconds to millennia, within the years that a date can be in.
    fn off() -> impl Strategy<Value = i64> {
        const YEAR: i64 = 31_557_600;
        prop_oneof![
            3 => Just(0),
            2 => -90_i64..90,
            2 => -40_000_i64..40_000,
            1 => -30 * YEAR..30 * YEAR,
            1 => -2_025 * YEAR..7_900 * YEAR,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Where one of both clocks is not ahead, no change is ever missed, and no watermark goes back.
        #[test]
        fn no_change_is_missed_where_one_of_both_clocks_is_not_ahead(
            runs in prop::collection::vec((1_i64..500_000, prop::option::weighted(0.9, off()), off()), 1..20)
        ) {
            let (mut now, mut last, mut complete_until): (_, Option<DateTime<Utc>>, _) = (at(NOW), None, at(NOW));
            for (passed, server, host) in runs as Vec<Run> {
                now += TimeDelta::seconds(passed);
                let by = |off: i64| now + TimeDelta::seconds(off);
                // With both of them ahead nothing can be known; with no `Date` it is this host's alone.
                let host = if server.is_none_or(|off| off > 0) { host.min(0) } else { host };
                let ahead = ctct_load::ReportState { watermark: last, ..Default::default() }.is_ahead_of(by(host));
                if ahead {
                    // The run is refused, which is loud.
                    continue;
                }
                prop_assert!(last.is_none_or(|last| last <= complete_until), "{last:?} is asked for, and changes since {complete_until} are missing");
                let next = Moment { server: server.map(by), host: by(host) }.watermark(last);
                prop_assert!(next >= last && next.is_none_or(|next| next <= now && is_sane(&next)));
                (last, complete_until) = (next, now);
            }
        }
    }
}
