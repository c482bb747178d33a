//! Numbers and truth values from the text in the JSON, without rounding and without guessing.

/// A whole number of 64 bits. `12.0` and `1e3` are whole numbers; `1.5` is not, and is never cut.
pub(crate) fn integer(text: &str) -> Option<i64> {
    if !starts_a_number(text) {
        return None;
    }
    text.parse().ok().or_else(|| scaled(text))
}

/// A whole number that is written with a fraction or an exponent.
fn scaled(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let sign = if whole.starts_with('-') { "-" } else { "" };
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = digits.len() - significant.len();
    let scale = i64::from(exponent) + i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    let power = 10_i64.checked_pow(u32::try_from(scale).ok()?)?;
    format!("{sign}{significant}").parse::<i64>().ok()?.checked_mul(power)
}

/// A finite number of 64-bit floating point.
pub(crate) fn float(text: &str) -> Option<f64> {
    // The standard parser also takes `inf`, `NaN` and `+1`, which are no JSON numbers.
    if !starts_a_number(text) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `true` or `false`, in the one spelling that JSON has.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

fn starts_a_number(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, number) in [
            ("0", 0),
            ("12", 12),
            ("-3", -3),
            ("007", 7),
            ("12.0", 12),
            ("-12.00", -12),
            ("1e3", 1000),
            ("1.5e1", 15),
            ("1500e-2", 15),
            ("1E+2", 100),
            ("0.000", 0),
            ("-0.0", 0),
            ("0e99", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9223372036854775808.0", i64::MIN),
            ("9007199254740993.0", 9_007_199_254_740_993),
        ] {
            assert_eq!(integer(text), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused_and_never_cut() {
        for text in [
            "",
            "-",
            "1.5",
            "1e-1",
            "0.99999999999999999999",
            "4503599627370496.3",
            "9223372036854775808",
            "1e19",
            "1e999999999999",
            "1.",
            ".5",
            "+5",
            "1-2",
            "0x10",
            "12 ",
            "1_000",
            "1,000",
            "true",
            "--1",
            "1e",
            "1.-5",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_finite_and_truth_is_spelled_one_way() {
        assert_eq!(float("-1.5e3"), Some(-1500.0));
        for text in ["", "inf", "-inf", "NaN", "nan", "infinity", "1e999", "+1", ".5", "1-2", "1,5", "-"] {
            assert_eq!(float(text), None, "{text}");
        }
        assert_eq!((boolean("true"), boolean("false")), (Some(true), Some(false)));
        for text in ["", "True", "TRUE", "1", "0", "yes", " true"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_whole_number_comes_back(number: i64, zeros in 0_usize..5) {
            prop_assert_eq!(integer(&number.to_string()), Some(number));
            prop_assert_eq!(integer(&format!("{number}.{}", "0".repeat(zeros + 1))), Some(number));
        }

        #[test]
        fn every_finite_number_comes_back(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(float(&number.to_string()), Some(number));
        }
    }
}
