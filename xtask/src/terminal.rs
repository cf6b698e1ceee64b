//! What a person sees: headings, colours on a terminal only, durations.

use std::{env, fmt, io::IsTerminal, time::Duration};

/// Colours of one line; plain where the output is not a terminal or `NO_COLOR` is set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Heading,
    Good,
    Bad,
    Quiet,
}

impl Style {
    /// `text` in this style.
    pub(crate) fn paint(self, text: impl fmt::Display) -> String {
        if !coloured() {
            return text.to_string();
        }
        let code = match self {
            Self::Heading => "1",
            Self::Good => "32",
            Self::Bad => "31;1",
            Self::Quiet => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn coloured() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()
}

/// `1.2 s` or `3 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// Columns as wide as their widest cell; the first is aligned to the left, numbers to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table that starts with a row of titles.
    pub(crate) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self {
            rows: vec![titles.map(str::to_owned).to_vec()],
        }
    }

    /// Adds a row under the last.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let text_column = column == 0 || column + 1 == columns;
                line += &if text_column {
                    format!("  {cell:<width$}")
                } else {
                    format!("  {cell:>width$}")
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_numbers_to_the_right_and_text_to_the_left() {
        let mut table = Table::new(["what", "bytes", "note"]);
        table.row(vec!["sha256".into(), "7".into(), "small".into()]);
        assert_eq!(
            table.to_string(),
            "  what    bytes  note\n  sha256      7  small\n"
        );
    }

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
    }
}
