//! The report as a table.

use super::*;
use crate::pki::when;

#[test]
fn the_end_of_a_certificate_that_is_near_is_shown_with_its_time() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.now += Span::days(90) - Span::hours(1);
    let report = cluster.run(&named("alice")).unwrap();
    let end = when::minute(report.certificates[0].not_after);
    let table = crate::output::Render::render(&report, crate::output::Format::Table).unwrap();
    assert!(table.contains(&end), "{table}");
}
