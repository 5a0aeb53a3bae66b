//! Lines that fit a terminal, with commands that can be pasted.

use textwrap::{Options, WordSeparator, WordSplitter};

use crate::resources::printable::printable_line;

/// Default width of a terminal, in columns.
const WIDTH: usize = 80;

/// Lines of at most [`WIDTH`] columns with this indent; a longer word stands alone on its line.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    hanging(text, indent, indent)
}

/// As [`wrapped`], with another beginning of the first line.
pub(super) fn hanging(text: &str, first: &str, indent: &str) -> String {
    let text = whole_commands(&printable_line(text));
    let options = Options::new(WIDTH)
        .initial_indent(first)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let filled = textwrap::fill(&text, options).replace(NO_BREAK, " ");
    filled.trim_end().to_owned() + "\n"
}

/// Stands for a blank that is not the end of a line; no text has it, since it is for private use.
const NO_BREAK: char = '\u{e000}';

/// The text with commands that are not broken into lines, so that they can be pasted.
fn whole_commands(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(number, part)| {
        if number % 2 == 1 && part.starts_with("kubectl ") {
            part.replace(' ', &NO_BREAK.to_string())
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_within_a_sentence_stays_in_one_line() {
        let command = "`kubectl mtls unexpose httpbin -n shop`";
        for words in 0..12 {
            let text = format!("{}or stop exposing it: {command}", "word ".repeat(words));
            let lines = wrapped(&text, "  ");
            assert!(lines.lines().any(|line| line.contains(command)), "{lines}");
            assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text);
        }
    }
}
