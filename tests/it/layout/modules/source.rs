//! What stands in a file of Rust: its code without comments, texts and tests, and the paths in it.

use super::joined;

/// The code without comments, texts and tests; and the names of the modules of tests.
pub(super) fn code_and_tests(text: &str) -> (String, Vec<String>) {
    let mut code = bare(text);
    let mut tests = Vec::new();
    while let Some(start) = code.find("#[cfg(test)]") {
        let end = start + item_length(&code[start..]);
        let item = code[start..end].to_owned();
        let mut words = item.split(|character: char| !is_of_a_name(character));
        if words.by_ref().any(|word| word == "mod") {
            tests.extend(words.next().map(str::to_owned));
        }
        code.replace_range(start..end, "");
    }
    (code, tests)
}

/// How long the item at the start is: up to its `;`, or to the end of its braces.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (place, character) in code.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(character, '}' | ';') {
            return place + 1;
        }
    }
    code.len()
}

/// The code with blanks for comments and for what texts and characters hold.
fn bare(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut last = ' ';
    while let Some(character) = rest.chars().next() {
        let skipped = match character {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            'r' if !is_of_a_name(last) || last == 'b' => raw_text(rest),
            '"' => quoted(rest, '"'),
            // A lifetime has no second quote behind one character.
            '\'' if is_character(rest) => quoted(rest, '\''),
            _ => 0,
        };
        if skipped > 0 {
            code.push(' ');
            last = ' ';
            rest = &rest[skipped..];
        } else {
            code.push(character);
            last = character;
            rest = &rest[character.len_utf8()..];
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut place = 0;
    while place < text.len() {
        let rest = &text[place..];
        if rest.starts_with("/*") {
            depth += 1;
            place += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return place;
            }
        } else {
            place += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`; 0 where none begins.
fn raw_text(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let begin = hashes + 2;
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = text[begin..]
        .find(&end)
        .unwrap_or(text.len() - begin - end.len());
    begin + inner + end.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            end if end == quote => return place + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

fn is_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The paths of the `use` items, each with the name by which it is known.
pub(super) fn uses(code: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for (place, _) in code.match_indices("use ") {
        if !code[..place].ends_with(is_of_a_name) {
            let tree = &code[place + 4..];
            let end = tree.find(';').unwrap_or(tree.len());
            expand(&tree[..end], &[], &mut found);
        }
    }
    found
}

/// All paths of the code: those of `use` items, and those that stand in the middle of it.
pub(super) fn paths(code: &str, crate_name: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = uses(code).into_iter().map(|(path, _)| path).collect();
    for start in ["crate", "super", "self", crate_name].map(|first| format!("{first}::")) {
        for (place, _) in code.match_indices(&start) {
            let before = &code[..place];
            if !before.ends_with(|character| is_of_a_name(character) || character == ':') {
                let end = code[place..].find(|c| !(is_of_a_name(c) || c == ':'));
                let path = &code[place..end.map_or(code.len(), |end| place + end)];
                let parts = path.split("::").filter(|part| !part.is_empty());
                found.push(parts.map(str::to_owned).collect());
            }
        }
    }
    found
}

/// The paths of a tree of `use`, such as `a::{self, b::{c as d, e}}`.
fn expand(tree: &str, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let head = head.split("::").map(|part| part.trim().to_owned());
        let before = joined(
            before,
            &head.filter(|part| !part.is_empty()).collect::<Vec<_>>(),
        );
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        for branch in branches(group) {
            expand(branch, &before, found);
        }
        return;
    }
    let (path, name) = match tree.split_once(" as ") {
        Some((path, name)) => (path, Some(name.trim().to_owned())),
        None => (tree, None),
    };
    let parts = path.split("::").map(|part| part.trim().to_owned());
    let mut path = joined(
        before,
        &parts.filter(|part| !part.is_empty()).collect::<Vec<_>>(),
    );
    if path.len() > 1
        && path
            .last()
            .is_some_and(|last| last == "self" || last == "*")
    {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        found.push((path, name.unwrap_or(last)));
    }
}

/// What stands between the commas of a group, without those of groups inside.
fn branches(group: &str) -> Vec<&str> {
    let mut depth = 0;
    group
        .split(|character| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            character == ',' && depth == 0
        })
        .filter(|branch| !branch.trim().is_empty())
        .collect()
}
