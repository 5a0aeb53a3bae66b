//! Text from outside that is safe for a terminal: messages of controllers, names in certificates, answers of servers.

use std::borrow::Cow;

use crate::pki::names::is_bad_character;

/// The replacement for a character that would control a terminal.
const REPLACEMENT: char = '\u{fffd}';

/// The text with every control character replaced: escape sequences, carriage returns, NUL, and the characters that reorder text (Unicode
/// UAX #9). Line ends and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, |_| false)
}

/// As [`printable`], but keeps these escape sequences for colours.
pub fn printable_in_colour<'a>(text: &'a str, colours: &[&str]) -> Cow<'a, str> {
    replaced(text, |rest| {
        colours.iter().any(|colour| rest.starts_with(colour))
    })
}

/// As [`printable`], in one line.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\t']) {
        return Cow::Owned(printable(text).replace(['\n', '\t'], " "));
    }
    printable(text)
}

fn replaced(text: &str, is_kept: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let is_harmful = |character: char| !is_layout(character) && is_bad_character(character);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let character = |(place, character): (usize, char)| {
        if is_harmful(character) && !is_kept(&text[place..]) {
            REPLACEMENT
        } else {
            character
        }
    };
    text.char_indices().map(character).collect()
}

/// JSON with `\u` escapes for the characters that [`printable`] would replace: they occur in strings only, and mean the same.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let is_harmful = |character: char| !is_layout(character) && is_bad_character(character);
    if !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_harmful(character) {
            // All of them are in the basic plane: no surrogates.
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Whether the text has characters that [`printable`] would replace.
pub fn is_harmful(text: &str) -> bool {
    matches!(printable(text), Cow::Owned(_))
}

fn is_layout(character: char) -> bool {
    matches!(character, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_what_others_wrote() {
        for harmful in [
            "\x1b]0;title\x07",
            "\x1b[2J",
            "a\rb",
            "\0",
            "\u{9b}31m",
            "a\u{202e}b",
            "\u{2066}x",
        ] {
            let shown = printable(harmful);
            assert!(!is_harmful(&shown), "{harmful:?} {shown:?}");
            assert!(shown.contains(REPLACEMENT), "{shown:?}");
            assert!(is_harmful(harmful));
        }
        assert_eq!(printable("Grüße\n\t日本"), "Grüße\n\t日本");
        assert_eq!(printable_line("a\nb\tc"), "a b c");
    }

    #[test]
    fn only_the_colours_that_are_ours_are_kept() {
        let shown = printable_in_colour("\x1b[31mx\x1b[0m \x1b[8my", &["\x1b[31m", "\x1b[0m"]);
        assert_eq!(shown, "\x1b[31mx\x1b[0m \u{fffd}[8my");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({"a\u{202e}": "\u{1b}\u{9b}\u{2028}\n\t\"é"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escaped_json(&text);
        assert!(!is_harmful(&escaped), "{escaped}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read, value);
    }
}
