//! Lists of names, and labels, as a line of text.

use std::collections::BTreeMap;

/// The first `most` names, and how many more there are: `ada, ben, cleo and 1397 more`.
pub fn shortened(names: &[impl AsRef<str>], most: usize) -> String {
    let shown = &names[..names.len().min(most)];
    let shown: Vec<&str> = shown.iter().map(AsRef::as_ref).collect();
    let mut text = shown.join(", ");
    let more = names.len() - shown.len();
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// Labels as a label selector: `app=web,tier=front`.
pub fn label_selector(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_ends_with_the_number_of_names_left_out() {
        let names: Vec<String> = (1..=1400).map(|number| format!("c{number}")).collect();
        assert_eq!(shortened(&names, 3), "c1, c2, c3 and 1397 more");
        assert_eq!(shortened(&names[..3], 3), "c1, c2, c3");
        assert_eq!(shortened(&names[..0], 3), "");
    }
}
