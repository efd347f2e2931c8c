//! One line on standard error for each thing worth telling.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
};

/// Writes one line, whatever the text: control characters are shown as escapes.
pub fn line(text: fmt::Arguments<'_>) {
    // A closed standard error is no reason to stop serving.
    let _ = io::stderr().write_all(one_line(text).as_bytes());
}

fn one_line(text: fmt::Arguments<'_>) -> String {
    let text = text.to_string();
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(
            one_line(format_args!("a\nb\x1b[0m é")),
            "a\\nb\\u{1b}[0m é\n"
        );
    }
}
