//! Tables as people's programs write them, and as nobody should.

use super::*;

fn rows(text: &[u8], form: TableFormat) -> Result<Vec<Result<Record, BadRow>>, Failure> {
    let input: Box<dyn Read + Send> = Box::new(io::Cursor::new(text.to_vec()));
    Ok(Rows::read(BufReader::new(input), form, None)?.collect())
}

/// Lines and names of all rows, or what is wrong with them.
fn names(text: &str, form: TableFormat) -> Vec<(u64, String)> {
    let rows = rows(text.as_bytes(), form).unwrap();
    let name = |row: Result<Record, BadRow>| match row {
        Ok(record) => {
            let name = record
                .cells
                .iter()
                .find(|(column, _)| *column == Column::Name);
            (record.line, name.unwrap().1.0.join("|"))
        }
        Err(bad) => (bad.line, format!("! {}", bad.failure)),
    };
    rows.into_iter().map(name).collect()
}

fn named(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    let owned = expected
        .iter()
        .map(|(line, name)| (*line, (*name).to_owned()));
    owned.collect()
}

#[test]
fn csv_of_any_program_is_read_with_its_lines() {
    let excel = "\u{feff}Name,O,dns\r\nalice,\"Example, Inc\",a.example\r\n\"b\"\"ob\",,\r\ncarol,,c.example";
    let expected = named(&[(2, "alice"), (3, "b\"ob"), (4, "carol")]);
    assert_eq!(names(excel, TableFormat::Csv), expected);
    let blank = "name\n\n\nalice\n\"b\nob\"\ncarol\n";
    let expected = named(&[(4, "alice"), (5, "b\nob"), (7, "carol")]);
    assert_eq!(names(blank, TableFormat::Csv), expected);
}

#[test]
fn a_table_without_a_header_is_refused_with_the_columns_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients.csv");
    std::fs::write(&path, "alice\nbob\n").unwrap();
    let Err(failure) = Rows::open(&path, TableFormat::Csv) else {
        panic!("it was opened");
    };
    let said = failure.to_string();
    assert!(
        said.ends_with("clients.csv`: the name of column 1 is unknown"),
        "{said}"
    );
    let columns = format!("columns are: {}", Column::names());
    assert!(failure.what_to_do().contains(&columns), "{failure:?}");
}

#[test]
fn a_bad_row_of_csv_does_not_hide_the_next_ones() {
    let mut bytes = b"name,O\nalice\n".to_vec();
    bytes.extend_from_slice(b"b\xf6b,x\ncarol,y\n");
    let rows = rows(&bytes, TableFormat::Csv).unwrap();
    let said: Vec<(u64, String)> = rows
        .iter()
        .map(|row| match row {
            Ok(record) => (record.line, "read".to_owned()),
            Err(bad) => (bad.line, bad.failure.to_string()),
        })
        .collect();
    assert_eq!(said[0].0, 2);
    assert!(said[0].1.contains("1 cells"), "{said:?}");
    assert_eq!(said[1].0, 3);
    assert!(said[1].1.contains("not UTF-8"), "{said:?}");
    assert_eq!(said[2], (4, "read".to_owned()));
}

#[test]
fn a_header_is_checked_before_any_row() {
    let wrong = |text: &str| rows(text.as_bytes(), TableFormat::Csv).unwrap_err();
    assert!(wrong("name,pasword\n").to_string().contains("pasword"));
    assert!(wrong("O,dns\n").to_string().contains("no column `name`"));
    assert!(wrong("").to_string().contains("empty"));
    let hints = wrong("name;O\n").what_to_do().join(" ");
    assert!(hints.contains("commas"), "{hints}");
    let utf16 = rows(&[0xff, 0xfe, b'n', 0], TableFormat::Csv).unwrap_err();
    assert!(utf16.to_string().contains("UTF-16"));
}

#[test]
fn an_open_quote_does_not_swallow_the_rest_of_a_large_file() {
    let text = format!("name\nalice\n\"bob\n{}", "carol\n".repeat(1 << 20));
    let rows = names(&text, TableFormat::Csv);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], (2, "alice".to_owned()));
    assert!(rows[1].0 == 3 && rows[1].1.contains("quote"), "{rows:?}");
}

#[test]
fn json_lines_are_objects_of_texts() {
    let text = "\u{feff}{\"name\":\"alice\",\"keyType\":\"p384\"}\r\n\n{\"name\":\"bob\",\"dns\":[\"a\",\"b\"],\"O\":null}\n{\"name\":7}\n{\"nam\n[1]\n{\"name\":\"carol\"}";
    let rows = names(text, TableFormat::JsonLines);
    assert_eq!(rows[..2], named(&[(1, "alice"), (3, "bob")]));
    assert!(rows[2].1.contains("`name` is a number"), "{rows:?}");
    assert!(
        rows[3].0 == 5 && rows[3].1.contains("column 5: not JSON"),
        "{rows:?}"
    );
    assert!(rows[4].0 == 6, "{rows:?}");
    assert_eq!(rows[5..], named(&[(7, "carol")]));
    let array = names("[{\"name\":\"a\"}]", TableFormat::JsonLines);
    assert!(array[0].1.contains("array"), "{array:?}");
    let endless = format!("{{\"name\":\"{}", "a".repeat(3 << 20));
    assert_eq!(names(&endless, TableFormat::JsonLines).len(), 1);
}

#[test]
fn yaml_is_a_list_of_mappings_without_anything_that_stands_for_something_else() {
    let text = "# clients\n- name: alice\n  O: Example\n- {name: \"007\", dns: [a, b]}\n";
    assert_eq!(
        names(text, TableFormat::Yaml),
        named(&[(2, "alice"), (4, "007")])
    );
    let bomb = "- name: &a [x, x, x, x, x, x, x, x, x]\n- name: &b [*a, *a, *a, *a, *a, *a, *a]\n- name: [*b, *b, *b, *b]\n";
    let long = "- name: a\n".repeat(5_001);
    for (text, reason) in [
        (bomb, "an anchor or an alias"),
        ("- &a {name: alice}\n- *a\n", "an anchor or an alias"),
        ("- <<: {name: a}\n", "a merge key"),
        ("- name: !secret a\n", "a tag"),
        ("- name: [[[[[[[[a]]]]]]]]\n", "nested more deeply"),
        ("- name: 007\n", "`name` is a number"),
        ("name: alice\n", "not YAML, or a value that a table"),
        ("- name: a\n---\n- name: b\n", "a second document begins"),
        ("- name: a\n  name: b\n", "a field is given twice"),
        (&long, "a YAML table may hold 5000 rows"),
    ] {
        let said = rows(text.as_bytes(), TableFormat::Yaml)
            .unwrap_err()
            .to_string();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn no_error_repeats_what_may_be_a_password() {
    for (text, form) in [
        ("name,password\na,secret,secret\n", TableFormat::Csv),
        (
            "{\"name\":\"a\",\"password\":\"secret\",,}",
            TableFormat::JsonLines,
        ),
        (
            "{\"name\":\"a\",\"password\":{\"x\":\"secret\"}}",
            TableFormat::JsonLines,
        ),
        (
            "{\"name\":\"a\",\"password\":49152}",
            TableFormat::JsonLines,
        ),
        ("{\"password\":-49152.5}", TableFormat::JsonLines),
        (
            "{\"password\":[\"a\",[49152,49152]]}",
            TableFormat::JsonLines,
        ),
        ("\"secret\"", TableFormat::JsonLines),
        ("49152", TableFormat::JsonLines),
        ("{\"secret\":1}", TableFormat::JsonLines),
        ("a,secret\nb,c\n", TableFormat::Csv),
        ("name,secret\nb,c\n", TableFormat::Csv),
        ("- name: a\n  password: 49152\n", TableFormat::Yaml),
        ("- name: a\n  password: 49152e999\n", TableFormat::Yaml),
        ("- secret\n", TableFormat::Yaml),
        ("secret: {a: 49152}\n", TableFormat::Yaml),
        ("- secret: a\n", TableFormat::Yaml),
        ("- name: a\n  password: \"secret\n", TableFormat::Yaml),
        ("- name: a\n  password: {x: secret}\n", TableFormat::Yaml),
        ("- name: a\n  password: *secret\n", TableFormat::Yaml),
    ] {
        let said = match rows(text.as_bytes(), form) {
            Ok(rows) => format!("{rows:?}"),
            Err(failure) => format!("{failure} {:?}", failure.what_to_do()),
        };
        assert!(
            !said.contains("secret") && !said.contains("49152"),
            "{said}"
        );
    }
}

#[test]
fn every_table_comes_to_its_end_whatever_stands_in_it() {
    let tables = [
        (
            "name,O,dns\nalice,\"Example, Inc\",a.example\n\"b\"\"ob\",,\r\n",
            TableFormat::Csv,
        ),
        (
            "{\"name\":\"alice\",\"dns\":[\"a\",\"b\"],\"O\":null}\n{\"name\":\"bob\"}\n",
            TableFormat::JsonLines,
        ),
        (
            "- name: alice\n  O: Example\n- {name: \"007\", dns: [a, b]}\n",
            TableFormat::Yaml,
        ),
    ];
    let mut state = 1_u32;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap() % limit.max(1)
    };
    let pieces: [&[u8]; 12] = [
        b"\"",
        b"\n",
        b"\r",
        b",",
        b"&a",
        b"*a",
        b"[[[",
        b"{\"",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
        b"!!binary x",
    ];
    for _ in 0..2_000 {
        let (text, form) = tables[below(tables.len())];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=below(5) {
            let at = below(bytes.len());
            match below(3) {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, pieces[below(pieces.len())].iter().copied())),
                _ if at < bytes.len() => bytes[at] = u8::try_from(below(256)).unwrap(),
                _ => {}
            }
        }
        if let Ok(rows) = rows(&bytes, form) {
            assert!(rows.len() <= bytes.len(), "{rows:?}");
        }
    }
}
