//! Spans of time as people write them: a whole number and one letter for its unit.

use std::time::Duration;

use chrono::TimeDelta;

/// Seconds of each unit.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// Reads a span such as `90s`, `15m`, `2h` or `7d`. `units` holds the letters that are allowed.
pub fn parse_span(text: &str, units: &str) -> Option<Duration> {
    let unit = text.chars().last().filter(|unit| units.contains(*unit))?;
    let (_, seconds) = UNITS.into_iter().find(|(known, _)| *known == unit)?;
    let number = text.strip_suffix(unit).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// Reads how far a clock is off: `90s`, `2h`, `-3d`.
pub fn parse_offset(text: &str) -> Option<TimeDelta> {
    let (sign, span) = text.strip_prefix('-').map_or((1, text), |span| (-1, span));
    TimeDelta::from_std(parse_span(span, "smhd")?).ok().map(|span| span * sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_an_allowed_unit() {
        assert_eq!(parse_span("90s", "smhd"), Some(Duration::from_secs(90)));
        assert_eq!(parse_span("007m", "m"), Some(Duration::from_mins(7)));
        for wrong in ["15", "m", "", "+1h", "-1d", "1w", "1é", "1h ", "99999999999999999999d", "9999999999999999999d"]
        {
            assert_eq!(parse_span(wrong, "smhd"), None, "{wrong}");
        }
        assert_eq!(parse_span("1h", "md"), None);
        assert_eq!(parse_offset("-3d"), Some(-TimeDelta::days(3)));
        assert_eq!(parse_offset("0s"), Some(TimeDelta::zero()));
        assert_eq!(parse_offset("--3d"), None);
    }
}
