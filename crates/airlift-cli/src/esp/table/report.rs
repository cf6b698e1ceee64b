//! What is said about a table on standard error.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use airlift_formats::esp::partition_table::{Lint, csv};

/// Collects warnings about a file, printing each, and words refusals.
pub(super) struct Report<'a> {
    file: &'a str,
    lints: Vec<Lint>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self {
            file,
            lints: Vec::new(),
        }
    }

    /// Prints each warning: file, line or partition, text, and the rule's name in brackets.
    pub(super) fn lints(&mut self, lints: &[Lint]) {
        let mut stderr = std::io::stderr().lock();
        for lint in lints {
            let place = match (lint.line, lint.partition) {
                (Some(line), _) => format!("line {line}: "),
                (None, Some(partition)) => format!("partition {partition}: "),
                (None, None) => String::new(),
            };
            let text = format!("{}: {place}WARNING: {lint} [{}]", self.file, lint.rule.id());
            // Nothing can be done about a closed standard error.
            let _ = writeln!(stderr, "airlift: {}", Printable(&text));
        }
        self.lints.extend_from_slice(lints);
    }

    pub(super) fn warnings(&self) -> &[Lint] {
        &self.lints
    }

    /// With `--strict`, warnings are a reason to refuse.
    pub(super) fn refuse_if_strict(&self, strict: bool) -> anyhow::Result<()> {
        if strict && !self.lints.is_empty() {
            let warnings = count(self.lints.len(), "warning");
            return Err(self.refusal(&format!("refused by --strict because of {warnings}")));
        }
        Ok(())
    }

    pub(super) fn refusal(&self, reason: &dyn fmt::Display) -> anyhow::Error {
        let text = format!("{}: {reason}", self.file);
        anyhow::Error::msg(Printable(&text).to_string())
    }

    /// A refusal of CSV: the official message, with the lines before it where it does not name them.
    pub(super) fn csv_refusal(&self, error: &csv::Error) -> anyhow::Error {
        let mut text = String::new();
        if !error.text_names_line() {
            match error.lines.as_slice() {
                [] => {}
                [line] => {
                    let _ = write!(text, "line {line}: ");
                }
                [lines @ .., last] => {
                    let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
                    let _ = write!(text, "lines {} and {last}: ", lines.join(", "));
                }
            }
        }
        self.refusal(&format!("{text}{error}"))
    }
}

/// `1 warning`, `2 warnings`.
pub(super) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Text from a file, without the control characters that could trick a terminal; line feeds stay.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() && character != '\n' {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
