//! The modules of a crate, read from its files: which of them names which.
//!
//! Only code counts, not comments, texts or tests. A module and those inside it are one: what they share is no circle. Between two
//! modules of one parent, all that stands inside them counts.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use source::{code_and_tests, paths, uses};

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
