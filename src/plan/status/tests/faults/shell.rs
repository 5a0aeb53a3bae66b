//! Commands as a shell reads them.

/// The words of a command, as a POSIX shell makes them.
pub(super) fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.extend(word.take()),
            '\'' => {
                let quoted = characters.by_ref().take_while(|one| *one != '\'');
                word.get_or_insert_default().extend(quoted);
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
