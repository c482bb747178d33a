use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "Zq7-rT_scrub.Vx81/k+9pLmWnB4~xyz";

/// The ways in which a server may say a secret.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    // Each byte in a form of its own.
    let each = |form: fn(u8) -> String| secret.bytes().map(form).collect::<Vec<_>>().concat();
    let reserved: String = secret
        .chars()
        .map(|c| if "/+~".contains(c) { format!("%{:02X}", u32::from(c)) } else { c.to_string() })
        .collect();
    let with = |prefix: &str| STANDARD.encode(format!("{prefix}{secret}"));
    vec![
        ("plain", secret.to_owned()),
        ("percent, reserved only", reserved.clone()),
        ("percent, all", each(|byte| format!("%{byte:02X}"))),
        ("percent, all, small", each(|byte| format!("%{byte:02x}"))),
        ("percent, twice", reserved.replace('%', "%25")),
        ("JSON", secret.replace('/', "\\/")),
        ("JSON, all", each(|byte| format!("\\u{byte:04x}"))),
        ("JSON in JSON", secret.replace('/', "\\\\/")),
        ("base64", with("")),
        ("base64, shifted by one", with("a")),
        ("base64, shifted by two", with("ab")),
        ("base64 for URLs", URL_SAFE.encode(secret)),
        ("base64 for URLs, not padded", URL_SAFE_NO_PAD.encode(format!("{secret}?>"))),
        ("base64, percent", with("").replace('=', "%3D").replace('+', "%2B").replace('/', "%2F")),
        ("Basic", with("client-id:")),
        ("small letters", secret.to_ascii_lowercase()),
        ("hexadecimal", each(|byte| format!("{byte:02x}"))),
        ("its first half", secret[..secret.len() / 2].to_owned()),
        ("its second half", secret[secret.len() / 2..].to_owned()),
    ]
}

#[test]
fn a_secret_is_found_in_every_form_and_place() {
    hide(SECRET);
    for (form, text) in forms(SECRET) {
        for (before, after) in
            [("", ""), ("the token ", " is not good"), ("a=\"", "\","), ("é<", ">"), ("https://", ".example")]
        {
            let scrubbed = scrubbed(&format!("{before}{text}{after}")).into_owned();
            let at_most = format!("{before}{HIDDEN}{after}");
            assert!(!scrubbed.contains(&text), "{form}: {scrubbed}");
            // Of what is around it, nothing is lost but what may belong to it.
            assert!(scrubbed.contains(HIDDEN) && scrubbed.len() <= at_most.len() + GRAM, "{form}: {scrubbed}");
        }
    }
}

#[test]
fn what_announces_a_secret_gives_away_none_that_is_not_known() {
    for (text, shown) in [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [hidden]"),
        ("bearer  abc", "bearer  [hidden]"),
        ("BASIC dXNlcjpwYXNz, next", "BASIC [hidden], next"),
        ("Bearer%20abc", "Bearer%20[hidden]"),
        ("?access_token=abc&x=1", "?access_token=[hidden]&x=1"),
        (r#"{"refresh_token": "abc", "a": 1}"#, r#"{"refresh_token": "[hidden]", "a": 1}"#),
        (r#"{\"access_token\":\"abc\"}"#, r#"{\"access_token\":\"[hidden]"}"#),
        ("refresh_token%3Dabc", "refresh_token%3D[hidden]"),
        ("the access_token is missing", "the access_token is missing"),
        ("source.access_token: the variable is not set", "source.access_token: the variable is not set"),
        ("access_token:abc", "access_token:[hidden]"),
        ("basics and bearers", "basics and bearers"),
        ("Bearer", "Bearer"),
    ] {
        let scrubbed = scrubbed(text);
        // Where an escape belongs to what is hidden it goes with it.
        assert_eq!(scrubbed.replace("[hidden]\\\"", "[hidden]\""), shown, "{text}");
    }
}

#[test]
fn a_name_from_outside_cannot_command_a_terminal_nor_fill_it() {
    for (name, shown) in [
        ("plain é 漢 🦀", "plain é 漢 🦀"),
        ("\u{1b}[31mred\u{7}\r\n", " [31mred   "),
        ("\u{9b}31m", " 31m"),
        ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}f\u{2028}g\u{ad}h", "abcdef gh"),
    ] {
        assert_eq!(printable(name), shown, "{name:?}");
    }
    let long = printable(&"é".repeat(5_000_000));
    assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_CHARS + 1, true));
    assert_eq!(shown("error\u{1b}[0m\nhelp"), "error [0m\nhelp");
}

#[test]
fn an_id_from_outside_is_letters_digits_and_hyphens() {
    hide("Id7rTscrubVx81k9pLmWnB4xyz");
    for (text, kept) in [
        ("0a1b-2C", Some("0a1b-2C")),
        ("a\u{1b}[31m b/../c", Some("a31mbc")),
        ("", None),
        ("\n/ ", None),
        ("Id7rTscrubVx81k9pLmWnB4xyz", Some("hidden")),
    ] {
        assert_eq!(id(text).as_deref(), kept, "{text:?}");
    }
    assert_eq!(id(&"a".repeat(1_000_000)).unwrap().len(), MAX_ID_CHARS);
}

proptest! {
    #[test]
    fn no_text_makes_it_stumble_and_what_holds_no_secret_stays(text in "\\PC*|[%\\\\ux0-9a-f=+/ \"]{0,60}") {
        let scrubbed = scrubbed(&text);
        if scrubbed != text {
            prop_assert!(scrubbed.contains(HIDDEN));
        }
        prop_assert!(printable(&text).chars().count() <= MAX_CHARS + 1);
        let readable = text.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
        prop_assert!(!readable || text.contains("bearer ") || text.contains("basic ") || scrubbed == text);
    }

    /// Whatever the secret and whatever is around it.
    #[test]
    fn no_form_of_a_secret_stays(secret in "[0-9A-Za-z._~+/=-]{24,60}", before in "[a-z ]{0,9}", after in "[ a-z]{0,9}") {
        hide(&secret);
        for (form, text) in forms(&secret) {
            let scrubbed = scrubbed(&format!("{before}{text}{after}")).into_owned();
            prop_assert!(!scrubbed.contains(&text), "{form}: {scrubbed}");
        }
    }
}

#[test]
fn a_row_of_zeros_is_no_part_of_a_secret() {
    hide("6e9f41d2-5c07-4d1e-000000000000");
    assert_eq!(
        scrubbed("request 0b7cf5d2-0000-4000-8000-000000000000"),
        "request 0b7cf5d2-0000-4000-8000-000000000000"
    );
    assert_eq!(scrubbed("of 6e9f41d2-5c07-4d1e-000000000000 it said"), "of [hidden] it said");
}
