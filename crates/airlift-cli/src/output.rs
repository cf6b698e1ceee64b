//! What people see: colours only where they are wanted, sizes in units that are read at a glance, tables that line up.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use owo_colors::{OwoColorize, Style};

/// How to write to a stream: for people at a terminal, or plain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Colours are wanted: a terminal, no `NO_COLOR` (<https://no-color.org>), not `TERM=dumb`.
    pub(crate) colours: bool,
    /// Lines may be drawn over.
    pub(crate) terminal: bool,
}

impl Look {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::of(std::io::stderr().is_terminal())
    }

    fn of(is_terminal: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colours: is_terminal && !dumb && !set("NO_COLOR"),
            terminal: is_terminal && !dumb,
        }
    }

    fn styled(self, text: &str, style: Style) -> String {
        if self.colours {
            text.style(style).to_string()
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.styled(text, Style::new().bold())
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.styled(text, Style::new().dimmed())
    }

    /// Something went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.styled(text, Style::new().green())
    }

    /// Something went wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.styled(text, Style::new().red().bold())
    }

    /// Something unusual that is dealt with.
    pub(crate) fn warn(self, text: &str) -> String {
        self.styled(text, Style::new().yellow())
    }

    /// A name, an address, a command to type.
    pub(crate) fn name(self, text: &str) -> String {
        self.styled(text, Style::new().cyan())
    }
}

/// `1.0 MiB`; exact bytes below 10 KiB.
pub(crate) fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    // Precise far beyond the digits that are shown.
    #[allow(clippy::cast_precision_loss)]
    let kib = bytes as f64 / KIB;
    if bytes < 10 * 1024 {
        format!("{bytes} B")
    } else if kib < KIB {
        format!("{kib:.1} KiB")
    } else if kib < KIB * KIB {
        format!("{:.1} MiB", kib / KIB)
    } else {
        format!("{:.1} GiB", kib / KIB / KIB)
    }
}

/// `1 048 576`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Parses `4MB`, `512K`, `1MiB`, `65536`, `0x10000`. Units are powers of 1024, as for flash chips.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: write for example 4MB, 512K or 0x10000");
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).map_err(|_| wrong());
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: u64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Parses `30s`, `5m`, `1h`, `500ms`, `30` (seconds).
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    use std::time::Duration;
    let wrong = || format!("{text:?} is not a duration: write for example 30s, 5m, 1h or 500ms");
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = |factor: u64| {
        number
            .checked_mul(factor)
            .map(Duration::from_secs)
            .ok_or_else(wrong)
    };
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => Err(wrong()),
    }
}

/// Which side the cells of a column stand at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A cell: what it says, and in which colour.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: fn(Look, &str) -> String,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            paint: |_, text| text.to_owned(),
        }
    }
}

impl Cell {
    pub(crate) fn painted(text: impl Into<String>, paint: fn(Look, &str) -> String) -> Self {
        Self {
            text: text.into(),
            paint,
        }
    }
}

/// Rows under headings, with two blanks between columns and a line under the headings. A heading may have several lines.
pub(crate) fn table(look: Look, columns: &[(&str, Side)], rows: &[Vec<Cell>]) -> String {
    let width = |text: &str| {
        text.lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, (heading, _))| {
            rows.iter()
                .filter_map(|row| row.get(index))
                .map(|cell| width(&cell.text))
                .chain([width(heading)])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = (String, usize)>| {
        let mut line = String::new();
        for (index, ((painted, shown), (&width, (_, side)))) in
            cells.zip(widths.iter().zip(columns)).enumerate()
        {
            let gap = " ".repeat(width - shown);
            if index > 0 {
                line += "  ";
            }
            match side {
                Side::Left => line += &(painted + &gap),
                Side::Right => line += &(gap + &painted),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = String::new();
    let headings = columns.iter().map(|(heading, _)| heading.lines().count());
    for index in 0..headings.max().unwrap_or(0) {
        text += &line(&mut columns.iter().map(|(heading, _)| {
            let part = heading.lines().nth(index).unwrap_or_default();
            (look.bold(part), width(part))
        }));
    }
    let rule = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    text += &look.dim(&"─".repeat(rule));
    text.push('\n');
    for row in rows {
        text += &line(
            &mut row
                .iter()
                .map(|cell| ((cell.paint)(look, &cell.text), width(&cell.text))),
        );
    }
    text
}

/// Nobody reads standard output any more (`| head`).
static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// Prints to standard output; in vain when its reader has gone, which is no reason to stop half way.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes());
    if printed.and_then(|()| stdout.flush()).is_err() {
        READER_IS_GONE.store(true, Ordering::Relaxed);
    }
}

/// Whether what is printed is read by nobody: a reason to end for a command that only shows.
pub(crate) fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look {
        colours: false,
        terminal: false,
    };

    #[test]
    fn sizes_read_well_and_parse_back() {
        assert_eq!(size(9_999), "9999 B");
        assert_eq!(size(1 << 20), "1.0 MiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(grouped(1_048_576), "1 048 576");
        assert_eq!(grouped(999), "999");
        for (text, bytes) in [
            ("4MB", 4 << 20),
            ("4m", 4 << 20),
            ("0x10000", 65_536),
            ("512K", 524_288),
            ("7", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MB",
            "4 MB",
            "-1",
            "4TB",
            "0x",
            "99999999999999999999",
            "1.5M",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_parse() {
        for (text, ms) in [
            ("30s", 30_000),
            ("30", 30_000),
            ("5m", 300_000),
            ("500ms", 500),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(std::time::Duration::from_millis(ms))
            );
        }
        for text in ["", "s", "1d", "-1s", "1.5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn columns_line_up() {
        let text = table(
            PLAIN,
            &[("device", Side::Left), ("bytes\nhere", Side::Right)],
            &[
                vec!["a".into(), "7".into()],
                vec![Cell::painted("longer-name", Look::good), "1 000".into()],
            ],
        );
        assert_eq!(
            text,
            "device       bytes\n\
             \x20             here\n\
             ──────────────────\n\
             a                7\n\
             longer-name  1 000\n"
        );
    }
}
