use super::*;
use crate::pki::tests::NOW;

fn entry(who: &str, ids: usize) -> AuditEntry {
    AuditEntry {
        transition: Transition::ClientsRevoked,
        who: who.to_owned(),
        at: NOW,
        what: "revoked alice".to_owned(),
        ids: (0..ids).map(|n| format!("{n:040x}")).collect(),
    }
}

#[test]
fn a_line_has_a_time_a_user_and_an_action_also_where_the_name_has_blanks() {
    let mut line = entry("Ada of the shop", 1).line();
    let (time, who, action) = parts(&line).unwrap();
    assert_eq!(
        (who, action.starts_with("revoked alice (")),
        ("Ada of the shop", true)
    );
    line = line.replace(time, "yesterday");
    assert_eq!(parts(&line), None);
}

#[test]
fn a_line_says_when_who_what_and_to_which() {
    let line = entry("system:serviceaccount:ci:robot", 1).line();
    assert_eq!(
        line,
        "2026-06-01T12:00:00Z system:serviceaccount:ci:robot revoked alice (0000000000000000000000000000000000000000)"
    );
    assert!(entry("", 0).line().contains("an unknown user"));
}

#[test]
fn no_name_makes_a_second_line_or_a_long_one() {
    let line = entry(&format!("a\nforged{}", "x".repeat(5000)), 1000).line();
    assert!(!line.contains('\n') && line.len() < 1010, "{line}");
    assert!(line.contains("and 992 more"), "{line}");
}

#[test]
fn a_history_keeps_the_newest_lines() {
    let mut history = vec!["old".to_owned(); 200];
    add(&mut history, &entry("alice", 1));
    assert_eq!(history.len(), MOST_LINES);
    assert!(history.last().unwrap().contains("alice"));
}

fn step(step: RotationStep, who: &str, ids: usize) -> AuditEntry {
    AuditEntry {
        transition: step.into(),
        what: step.what().to_owned(),
        ..entry(who, ids)
    }
}

#[test]
fn a_line_of_a_rotation_is_read_as_it_was_written() {
    for of in RotationStep::ALL {
        for (who, ids) in [("ada", 0), ("", 1), ("a b (c)", 8)] {
            let written = step(of, who, ids);
            assert_eq!(
                AuditEntry::read(&written.line(), who),
                Some(written),
                "{who}"
            );
        }
    }
    // What the line left out is left out again.
    let line = step(RotationStep::Started, "ada\n", 1000).line();
    let read = AuditEntry::read(&line, "ada\n").unwrap();
    assert_eq!(read.line(), line);
}

#[test]
fn a_line_cut_off_within_its_ids_still_tells_its_step() {
    let who = "\u{1f512}".repeat(LONGEST_NAME);
    let of = step(RotationStep::CaDropped, &who, 0);
    let ids = vec!["0".repeat(64); MOST_IDS];
    let line = AuditEntry { ids, ..of }.line();
    assert!(line.ends_with('…'), "{line}");
    let read = AuditEntry::read(&line, &who).unwrap();
    assert_eq!(read.transition, RotationStep::CaDropped.into());
}

#[test]
fn no_name_passes_for_a_step_of_a_rotation() {
    let what = RotationStep::CaDropped.what();
    let line = step(RotationStep::Started, &format!("eve {what}"), 1).line();
    assert_eq!(AuditEntry::read(&line, "eve"), None);
    assert_eq!(AuditEntry::read(&entry("ada", 1).line(), "ada"), None);
}

#[test]
fn the_reason_and_the_words_of_a_step_are_those_of_earlier_versions() {
    let line = "2026-06-01T12:00:00Z ada let the new CA issue (00ff)";
    let entry = AuditEntry::read(line, "ada").unwrap();
    assert_eq!(entry.line(), line);
    assert_eq!(entry.transition.reason(), "IssuingMoved");
}
