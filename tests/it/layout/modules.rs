//! The modules of a crate, read from its files: which of them names which.
//!
//! Only code counts, not comments, texts or tests. A module and those inside it are one: what they share is no circle. Between two
//! modules of one parent, all that stands inside them counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module's path from the root of its crate, which is empty.
type Module = Vec<String>;

/// A module that names another one of the same parent, by the file that does: parent, user, used, file.
type Link = (Module, String, String, PathBuf);

/// The modules of one crate.
pub struct Modules {
    /// The crate's name, by which its binary names it.
    name: String,
    files: BTreeMap<Module, (PathBuf, String)>,
    /// What each module names by `use`: its name there, and the whole path.
    imports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    /// Reads the crate in a folder of sources.
    pub fn of(name: &str, folder: &Path) -> Self {
        let read = |path: PathBuf| {
            let module = module_of(path.strip_prefix(folder).unwrap());
            let text = std::fs::read_to_string(&path).unwrap();
            (module, (path, text))
        };
        let files = super::files_below(folder).into_iter().map(read);
        Self::from_files(name, files.collect())
    }

    fn from_files(name: &str, files: BTreeMap<Module, (PathBuf, String)>) -> Self {
        let mut tests = BTreeSet::new();
        let mut code = BTreeMap::new();
        for (module, (path, text)) in files {
            let (kept, left_out) = code_and_tests(&text);
            tests.extend(left_out.into_iter().map(|test| joined(&module, &[test])));
            code.insert(module, (path, kept));
        }
        code.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let mut modules = Self {
            name: name.to_owned(),
            files: code,
            imports: BTreeMap::new(),
        };
        for (module, (_, code)) in &modules.files {
            let mut imports = BTreeMap::new();
            for (path, known_as) in uses(code) {
                if let Some(path) = modules.absolute(module, &path) {
                    imports.insert(known_as, path);
                }
            }
            modules.imports.insert(module.clone(), imports);
        }
        modules
    }

    /// Each file: its module, its path, and its code with the paths of its `use` items in full, a line each, behind it.
    pub fn code(&self) -> impl Iterator<Item = (&[String], &Path, String)> {
        self.files.iter().map(|(module, (path, code))| {
            let mut code = code.clone();
            for (used, _) in uses(&code) {
                code = code + "\n" + &used.join("::");
            }
            (module.as_slice(), path.as_path(), code)
        })
    }

    /// The first modules of all paths that a module names in its crate.
    pub fn parts_named_by(&self, module: &[String]) -> BTreeSet<String> {
        let Some((_, code)) = self.files.get(module) else {
            return BTreeSet::new();
        };
        let named = paths(code, &self.name).into_iter();
        let named = named.filter_map(|path| self.absolute(module, &path));
        named.filter_map(|path| path.into_iter().next()).collect()
    }

    /// The circles of modules that stand beside each other: their parent, and the names of those in the circle, sorted.
    pub fn circles(&self) -> Vec<(String, Vec<String>)> {
        let mut parents: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (parent, user, used, _) in self.links() {
            let users = parents.entry(parent).or_default();
            users.entry(user).or_default().insert(used);
        }
        let mut circles = Vec::new();
        for (parent, arrows) in parents {
            let found = strongly_connected(&arrows);
            circles.extend(found.into_iter().map(|circle| (parent.join("::"), circle)));
        }
        circles
    }

    /// The files that close a circle: `user -> used (file)`, a line each.
    pub fn explained(&self, (parent, circle): &(String, Vec<String>)) -> String {
        let inside = |link: &Link| {
            link.0.join("::") == *parent && circle.contains(&link.1) && circle.contains(&link.2)
        };
        let links = self.links().into_iter().filter(inside);
        links
            .map(|(_, user, used, file)| format!("  {user} -> {used} ({})\n", file.display()))
            .collect()
    }

    fn links(&self) -> BTreeSet<Link> {
        let mut links = BTreeSet::new();
        for (module, (file, code)) in &self.files {
            for path in paths(code, &self.name) {
                let Some(used) = self.absolute(module, &path) else {
                    continue;
                };
                let used = self.home(used);
                let shared = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
                if let (Some(one), Some(other)) = (module.get(shared), used.get(shared)) {
                    let parent = module[..shared].to_vec();
                    links.insert((parent, one.clone(), other.clone(), file.clone()));
                }
            }
        }
        links
    }

    /// The path from the root of the crate; `None` for one that leads out of the crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some(joined(module, rest)),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let parent = &module[..module.len().checked_sub(ups)?];
                Some(joined(parent, &path[ups..]))
            }
            name if name == self.name => Some(rest.to_vec()),
            name => {
                let inner = joined(module, &[name.to_owned()]);
                (self.files.contains_key(&inner)).then(|| joined(&inner, rest))
            }
        }
    }

    /// The module in which the thing at a path is defined: what another module only passes on is followed.
    fn home(&self, path: Vec<String>) -> Module {
        let mut path = path;
        // A chain of `pub use` is short; a circle of them does not compile.
        for _ in 0..8 {
            let depth = (0..=path.len())
                .rev()
                .find(|depth| self.files.contains_key(&path[..*depth]))
                .unwrap_or_default();
            let (module, rest) = path.split_at(depth);
            let passed_on = rest
                .first()
                .and_then(|name| self.imports.get(module)?.get(name));
            match passed_on {
                Some(onward) => path = joined(onward, &rest[1..]),
                None => return module.to_vec(),
            }
        }
        path
    }
}

fn joined(path: &[String], rest: &[String]) -> Vec<String> {
    [path, rest].concat()
}

fn module_of(file: &Path) -> Module {
    let mut module: Module = file
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_str().unwrap().to_owned())
        .collect();
    let is_of_its_folder = module.last().is_some_and(|last| last == "mod");
    if is_of_its_folder || module == ["lib"] {
        module.pop();
    }
    module
}

/// The code without comments, texts and tests; and the names of the modules of tests.
fn code_and_tests(text: &str) -> (String, Vec<String>) {
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
fn uses(code: &str) -> Vec<(Vec<String>, String)> {
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
fn paths(code: &str, crate_name: &str) -> Vec<Vec<String>> {
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

/// The groups of more than one in which each one leads to each other one.
fn strongly_connected(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(next) = open.pop() {
            for used in arrows.get(next).into_iter().flatten() {
                if seen.insert(used.clone()) {
                    open.push(used);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        arrows.keys().map(|name| (name, reach(name))).collect();
    let mut groups = BTreeSet::new();
    for (name, far) in &reached {
        let back = |other: &&String| reached.get(other).is_some_and(|far| far.contains(*name));
        let group: Vec<String> = far.iter().filter(back).cloned().collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let file = |(path, text): &(&str, &str)| {
            let path = PathBuf::from(path);
            (module_of(&path), (path, (*text).to_owned()))
        };
        Modules::from_files("product", files.iter().map(file).collect())
    }

    #[test]
    fn a_circle_is_found_over_others_and_over_what_a_parent_passes_on() {
        let found = modules(&[
            ("lib.rs", "pub mod a; pub mod b; pub mod c; pub mod d;"),
            (
                "a.rs",
                "use crate::{d, b::{self, inner::{Thing as Other, more}}};",
            ),
            ("b/mod.rs", "mod inner;\npub use inner::Thing;"),
            ("b/inner.rs", "fn f() -> super::super::c::C {}"),
            ("c/mod.rs", "mod x; mod y; pub use x::X;"),
            ("c/x.rs", "use crate::a::A; use super::y::Y;"),
            ("c/y.rs", "use super::X;"),
            ("d.rs", "// use crate::a;\nconst TEXT: &str = \"crate::a\";"),
        ]);
        let circles = [
            (String::new(), vec!["a".to_owned(), "b".into(), "c".into()]),
            ("c".to_owned(), vec!["x".to_owned(), "y".into()]),
        ];
        assert_eq!(found.circles(), circles);
        assert_eq!(
            found.explained(&circles[1]),
            "  x -> y (c/x.rs)\n  y -> x (c/y.rs)\n"
        );
    }

    #[test]
    fn tests_close_no_circle() {
        let found = modules(&[
            (
                "lib.rs",
                "mod a; mod b;\n#[cfg(test)]\npub(crate) mod testing;",
            ),
            ("a.rs", "use crate::b;"),
            (
                "b.rs",
                "#[cfg(test)]\nfn f() -> [u8; 2] { crate::a::x('{') }\nfn g<'a>() {}\n#[cfg(test)]\nmod tests { use crate::a; }",
            ),
            ("testing/mod.rs", "use crate::a;"),
        ]);
        assert!(found.circles().is_empty());
        assert!(!found.code().any(|(module, ..)| module == ["testing"]));
    }

    #[test]
    fn paths_are_found_in_every_form() {
        let code = "use crate::plan::{World, status::Mark};\nuse crate::{\n    error::Failure,\n    io::{a, b},\n};\nuse product::cli;\nlet x = crate::pki::x();";
        let found = modules(&[("main.rs", code)]).parts_named_by(&["main".to_owned()]);
        let found: Vec<String> = found.into_iter().collect();
        assert_eq!(found, ["cli", "error", "io", "pki", "plan"]);
    }
}
