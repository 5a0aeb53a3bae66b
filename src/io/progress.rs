//! The display of pending objects: on a terminal, one line per object behind a spinner, redrawn each time; elsewhere each line once, until
//! it changes.

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// ECMA-48 sequences: to the beginning of an earlier line, and erase from there to the end of the
/// screen.
const UP: &str = "\x1b[{}F";
const ERASE: &str = "\x1b[J";

/// The lines on display; each reads `object: state`.
#[derive(Debug, Default)]
pub(super) struct Progress {
    lines: Vec<String>,
    drawn: usize,
    frame: usize,
}

impl Progress {
    /// The output where lines stay: the lines that changed, and the objects that became ready.
    pub fn lines(&mut self, now: &[String]) -> Vec<String> {
        let mut told = self.done(now);
        let fresh = now.iter().filter(|line| !self.lines.contains(line));
        told.extend(fresh.map(|line| format!("waiting for {line}")));
        self.lines = now.to_vec();
        told
    }

    /// The output on a terminal of this width: the objects that became ready, and below them the redrawn block.
    pub fn block(&mut self, now: &[String], width: usize) -> String {
        let mut text = self.erase();
        for line in self.done(now) {
            text.push_str(&line);
            text.push('\n');
        }
        self.lines = now.to_vec();
        text.push_str(&self.draw(width));
        text
    }

    /// The block with the spinner one step further; empty if no block is on display.
    pub fn turn(&mut self, width: usize) -> String {
        if self.drawn == 0 {
            return String::new();
        }
        self.frame += 1;
        self.erase() + &self.draw(width)
    }

    /// Erases the block, so that something else can be printed.
    pub fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => UP.replace("{}", &drawn.to_string()) + ERASE,
        }
    }

    fn done(&self, now: &[String]) -> Vec<String> {
        let is_waited_for = |line: &&String| now.iter().any(|other| object(other) == object(line));
        let gone = self.lines.iter().filter(|line| !is_waited_for(line));
        gone.map(|line| format!("{}: done", object(line))).collect()
    }

    /// Draws the block. A line that would be wrapped is cut: moving up counts lines.
    fn draw(&mut self, width: usize) -> String {
        self.drawn = self.lines.len();
        let spinner = FRAMES[self.frame % FRAMES.len()];
        let mut text = String::new();
        for line in &self.lines {
            let line: String = format!("{spinner} {line}")
                .chars()
                .take(width.saturating_sub(1))
                .collect();
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

fn object(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(object, _)| object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn where_lines_stay_each_is_told_once_until_it_changes_and_then_that_it_is_ready() {
        let mut progress = Progress::default();
        let pending = lines(&["Certificate a/b: Pending", "APIRule c/d: Processing"]);
        assert_eq!(progress.lines(&pending).len(), 2);
        assert!(progress.lines(&pending).is_empty());
        let said = progress.lines(&lines(&["Certificate a/b: Error: no quota"]));
        let wanted = [
            "APIRule c/d: done",
            "waiting for Certificate a/b: Error: no quota",
        ];
        assert_eq!(said, wanted);
        assert_eq!(progress.lines(&[]), ["Certificate a/b: done"]);
    }

    #[test]
    fn on_a_terminal_the_block_is_drawn_over_itself_and_no_line_is_wrapped() {
        let mut progress = Progress::default();
        let first = progress.block(&lines(&["Certificate a/b: Pending", "x: y"]), 16);
        assert_eq!(first, "⠋ Certificate a\n⠋ x: y\n");
        let turned = progress.turn(16);
        assert_eq!(turned, "\x1b[2F\x1b[J⠙ Certificate a\n⠙ x: y\n");
        let done = progress.block(&lines(&["x: z"]), 80);
        assert_eq!(done, "\x1b[2F\x1b[JCertificate a/b: done\n⠙ x: z\n");
        assert_eq!(progress.erase(), "\x1b[1F\x1b[J");
        assert_eq!(progress.erase(), "");
    }
}
