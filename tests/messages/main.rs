//! Every message and every doc comment of the plugin, for somebody who reads them as a stranger would.
//!
//! `cargo test --test messages -- --print` lists all of them with their ids. `--sample COMMIT` lists the 100 messages and 50
//! comments whose SHA-256, over the id and the commit's id, is lowest: a sample that nobody chose.
//!
//! Without an argument it is a test: no message has words that the project has given up.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "it prints, and is a test"
)]

mod source;

use std::process::ExitCode;

use sha2::{Digest, Sha256};

use source::{Kind, Text};

/// Words that no message has any more, and what is said in their place.
const GIVEN_UP: &[(&str, &str)] = &[
    ("is as asked for", "no certificates match"),
    ("must be read first, and may not", "forbidden: cannot read"),
    ("of this plugin", "managed by kubectl-mtls"),
    ("as it must be", "already up to date"),
    ("as they must be", "already up to date"),
    ("is kept by", "field manager `X` owns …"),
    ("puts a word before", "prefixes each header value"),
    ("restore it at once", "restore it now"),
    ("ended before its time", "internal error"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts = source::all();
    match arguments.as_slice() {
        [flag] if flag == "--print" => print(texts.iter()),
        [flag, commit] if flag == "--sample" => {
            print(sample(&texts, Kind::Message, commit, 100).into_iter());
            print(sample(&texts, Kind::Comment, commit, 50).into_iter());
        }
        // cargo passes a filter of test names to every target; this one has none.
        _ => return check(&texts),
    }
    ExitCode::SUCCESS
}

fn print<'a>(texts: impl Iterator<Item = &'a Text>) {
    for text in texts {
        println!("{} {} {}:{}", text.id(), text.kind, text.path, text.line);
        for line in text.content.lines() {
            println!("    {line}");
        }
    }
}

fn sample<'a>(texts: &'a [Text], kind: Kind, commit: &str, count: usize) -> Vec<&'a Text> {
    let mut of_kind: Vec<&Text> = texts.iter().filter(|text| text.kind == kind).collect();
    of_kind.sort_by_key(|text| (Sha256::digest(format!("{}{commit}", text.id())), text.line));
    of_kind.dedup_by_key(|text| text.id());
    of_kind.truncate(count);
    of_kind
}

fn check(texts: &[Text]) -> ExitCode {
    let mut wrong = 0;
    for text in texts.iter().filter(|text| text.kind == Kind::Message) {
        for (given_up, instead) in GIVEN_UP {
            if text.content.contains(given_up) {
                wrong += 1;
                println!("{}:{}: `{given_up}` (say: {instead})", text.path, text.line);
            }
        }
    }
    let messages = texts
        .iter()
        .filter(|text| text.kind == Kind::Message)
        .count();
    println!(
        "{messages} messages, {} doc comments",
        texts.len() - messages
    );
    if messages < 500 {
        println!("the messages were not found");
        return ExitCode::FAILURE;
    }
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
