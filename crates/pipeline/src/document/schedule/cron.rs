//! Cron expressions, in the part of the dialect that Vixie's cron, systemd and Airflow read alike. What they read
//! differently is refused, with the form that all of them know.

use std::fmt;

/// A cron expression of five fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronExpression {
    text: String,
    /// Minutes, 0 to 59.
    pub minutes: CronField,
    /// Hours, 0 to 23.
    pub hours: CronField,
    /// Days of the month, 1 to 31.
    pub days: CronField,
    /// Months, 1 to 12.
    pub months: CronField,
    /// Days of the week, 0 (Sunday) to 6.
    pub weekdays: CronField,
}

/// The values of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronField {
    /// One bit a value.
    bits: u64,
    /// Whether the field is `*`.
    pub is_any: bool,
    /// Whether it begins with `*`: `*/15` does too.
    pub(super) is_starred: bool,
}

impl CronField {
    /// The values, in ascending order.
    pub fn values(self) -> impl Iterator<Item = u32> {
        (0..60).filter(move |value| self.holds(*value))
    }

    /// Whether a value is one of the field's.
    pub fn holds(self, value: u32) -> bool {
        self.bits >> value & 1 == 1
    }
}

/// What is wrong with an expression, and what would be right.
#[derive(Debug)]
pub(crate) struct CronMistake {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// One field: its name, its bounds, and the names that stand for numbers.
struct FieldKind {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: FieldKind = FieldKind { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: FieldKind = FieldKind { name: "hour", min: 0, max: 23, names: &[] };
const DAY: FieldKind = FieldKind { name: "day of month", min: 1, max: 31, names: &[] };
const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH: FieldKind = FieldKind { name: "month", min: 1, max: 12, names: MONTHS };
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// 0 and 7 are both Sunday.
const WEEKDAY: FieldKind = FieldKind { name: "day of week", min: 0, max: 7, names: WEEKDAYS };

const FIELDS: &str = "minute, hour, day of month, month, day of week: \"0 6 * * *\" is every day at 06:00";

impl CronExpression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, CronMistake> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let message = format!("a cron expression has five fields, and `{text}` has {}", fields.len());
            return Err(CronMistake { message, help: FIELDS.to_owned() });
        };
        let mut weekdays = WEEKDAY.field(weekday)?;
        weekdays.bits = (weekdays.bits | weekdays.bits >> 7) & 0x7f;
        let expression = Self {
            text: fields.join(" "),
            minutes: MINUTE.field(minute)?,
            hours: HOUR.field(hour)?,
            days: DAY.field(day)?,
            months: MONTH.field(month)?,
            weekdays,
        };
        expression.check_days(day, weekday)?;
        Ok(expression)
    }

    /// Where both kinds of day are named, either is enough. Schedulers disagree on what counts as named.
    fn check_days(&self, day: &str, weekday: &str) -> Result<(), CronMistake> {
        let (days, weekdays) = (self.days, self.weekdays);
        if days.is_any || weekdays.is_any {
            return if weekdays.is_any { self.check_dates(day) } else { Ok(()) };
        }
        for (field, text, all) in [(days, day, 31), (weekdays, weekday, 7)] {
            if field.is_starred || field.bits.count_ones() == all {
                let message = format!("schedulers disagree on what `{text}` means when both kinds of day are set");
                let help = "use `*` for one of the two, or name the days, as in 1-31/2".to_owned();
                return Err(CronMistake { message, help });
            }
        }
        Ok(())
    }

    /// A date such as the 31st of February never comes.
    fn check_dates(&self, day: &str) -> Result<(), CronMistake> {
        let longest = |month| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let first = self.days.values().next().unwrap_or(DAY.max);
        if self.months.values().any(|month| first <= longest(month)) {
            return Ok(());
        }
        let message = format!("day of month `{day}` does not exist in these months");
        Err(CronMistake { message, help: "use a day that one of the months has".to_owned() })
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FieldKind {
    /// Lists of `*`, `5`, `1-5`, `mon`, where `*` and ranges may have a step such as `/15`.
    fn field(&self, text: &str) -> Result<CronField, CronMistake> {
        let mut bits = 0;
        for item in text.split(',') {
            bits |= self.item(item)?;
        }
        Ok(CronField { bits, is_any: text == "*", is_starred: text.starts_with('*') })
    }

    fn item(&self, item: &str) -> Result<u64, CronMistake> {
        let wrong = || self.mistake(item, FIELDS.to_owned());
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((from, to)) => {
                let (from, to) = (self.value(from).ok_or_else(wrong)?, self.value(to).ok_or_else(wrong)?);
                if from > to {
                    let to_sunday = self.max == WEEKDAY.max && to == 0;
                    let first = format!("{from}-{}", self.max);
                    let second = if to_sunday { String::new() } else { format!(",{}-{to}", self.min) };
                    return Err(self.mistake(item, format!("ranges go up: use {first}{second}")));
                }
                (from, to)
            }
            None => {
                let value = self.value(range).ok_or_else(wrong)?;
                if let Some(step) = step {
                    return Err(self.mistake(item, format!("use a range: {value}-{}/{step}", self.max)));
                }
                (value, value)
            }
        };
        let step = match step {
            Some(step) => number(step).filter(|step| (1..=self.max).contains(step)).ok_or_else(wrong)?,
            None => 1,
        };
        // `*` over 0 to 7 with a step would meet Sunday at both ends.
        let to = if range == "*" && self.max == WEEKDAY.max { 6 } else { to };
        Ok((from..=to).step_by(step as usize).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|place| u32::try_from(place).ok()).map(|place| place + self.min);
        named.or_else(|| number(text)).filter(|value| (self.min..=self.max).contains(value))
    }

    fn mistake(&self, item: &str, help: String) -> CronMistake {
        CronMistake { message: format!("invalid {} `{item}`", self.name), help }
    }
}

/// One or two digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CronExpression, String> {
        CronExpression::parse(text).map_err(|CronMistake { message, help }| format!("{message}: {help}"))
    }

    #[test]
    fn fields_are_lists_of_values_ranges_and_steps() {
        let field = |text: &str| parse(text).unwrap();
        let minutes = |text| field(&format!("{text} * * * *")).minutes.values().collect::<Vec<_>>();
        assert_eq!(minutes("*/20"), [0, 20, 40]);
        assert_eq!(minutes("0,30,5-7"), [0, 5, 6, 7, 30]);
        assert_eq!(minutes("10-30/10"), [10, 20, 30]);
        let weekdays = |text| field(&format!("0 0 * * {text}")).weekdays.values().collect::<Vec<_>>();
        assert_eq!(weekdays("mon-fri"), [1, 2, 3, 4, 5]);
        assert_eq!(weekdays("5-7"), [0, 5, 6]);
        assert_eq!(weekdays("Sun,7,0"), [0]);
        assert_eq!(weekdays("*/7"), [0]);
        assert_eq!(field("0 0 1 JAN-mar *").months.values().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(field(" 0  6 * *\t* ").to_string(), "0 6 * * *");
    }

    #[test]
    fn what_schedulers_read_differently_is_refused_with_the_form_that_all_know() {
        let wrong = [
            "0 6 * *",
            "60 * * * *",
            "+5 * * * *",
            "005 * * * *",
            "* 24 * * *",
            "0 0 0 * *",
            "0 0 * 13 *",
            "0 0 * * 8",
            "*/0 * * * *",
            "*/60 * * * *",
            "5/15 * * * *",
            "0 22-2 * * *",
            "0 0 * * fri-sun",
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5#2",
            "0 0 ? * *",
            "0 0 1 * +mon",
            "@daily",
            ", * * * *",
            "1- * * * *",
            "0 0 */2 * mon",
            "0 0 1-31 * mon",
            "0 0 1 * */2",
            "0 0 1 * 0-6",
            "0 0 30 2 *",
            "0 0 31 2,4,jun *",
        ];
        let said = wrong.map(|text| format!("{text}\n  {}", parse(text).unwrap_err()));
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn rare_dates_and_either_kind_of_day_are_taken() {
        for text in ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 30 2 mon", "0 0 1,15 * fri", "0 0 1-31/2 * 1-5/2"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
