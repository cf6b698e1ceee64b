//! The committed ceilings: `firmware/size/ceilings.toml`, a table a target, a line a program.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, bail};

const HEADER: &str = "\
# Bytes above the program `baseline` that each program of src/bin may cost at most, by target.
# `cargo xtask size` compares; `cargo xtask size --update` lowers them to what is measured. Nothing raises them but a
# commit that says what the bytes buy.
";

/// Ceilings by target and program, and the compiler that they were measured with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ceilings {
    /// What the compiler calls itself, for example `rustc 1.96.0`.
    pub(crate) compiler: String,
    bytes: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Ceilings {
    /// Reads the file.
    ///
    /// # Errors
    /// Fails if it cannot be read, or has a line that is neither a table, a number nor the compiler.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.emit()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The ceiling of a program, if it has one.
    pub(crate) fn get(&self, target: &str, program: &str) -> Option<u64> {
        self.bytes.get(target)?.get(program).copied()
    }

    /// Makes `bytes` the ceiling, unless there is a lower one.
    pub(crate) fn lower(&mut self, target: &str, program: &str, bytes: u64) {
        let ceilings = self.bytes.entry(target.to_owned()).or_default();
        let ceiling = ceilings.entry(program.to_owned()).or_insert(bytes);
        *ceiling = bytes.min(*ceiling);
    }

    /// The part of TOML that the file needs: tables, and keys with a number or a plain string.
    fn parse(text: &str) -> Result<Self> {
        let mut ceilings = Self::default();
        let mut target = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Some(table) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                target = Some(table.to_owned());
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .with_context(|| format!("line {number}: no `=`"))?;
            let (key, value) = (key.trim(), value.trim());
            match &target {
                None if key == "compiler" => ceilings.compiler = value.trim_matches('"').to_owned(),
                None => bail!(
                    "line {number}: `{key}` stands before the first table; a program belongs to a target"
                ),
                Some(target) => {
                    let bytes = value
                        .parse()
                        .with_context(|| format!("line {number}: `{value}` is not a number"))?;
                    ceilings
                        .bytes
                        .entry(target.clone())
                        .or_default()
                        .insert(key.to_owned(), bytes);
                }
            }
        }
        Ok(ceilings)
    }

    fn emit(&self) -> String {
        let mut text = format!("{HEADER}compiler = \"{}\"\n", self.compiler);
        for (target, programs) in &self.bytes {
            let _ = writeln!(text, "\n[{target}]");
            for (program, bytes) in programs {
                let _ = writeln!(text, "{program} = {bytes}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut ceilings = Ceilings {
            compiler: "rustc 1.96.0".to_owned(),
            ..Ceilings::default()
        };
        ceilings.lower("thumbv7m-none-eabi", "update", 2048);
        ceilings.lower("riscv32imac-unknown-none-elf", "update", 2304);
        let read = Ceilings::parse(&ceilings.emit()).expect("our own file");
        assert_eq!(read, ceilings);
        assert_eq!(read.get("thumbv7m-none-eabi", "update"), Some(2048));
        assert_eq!(read.get("thumbv7m-none-eabi", "swap"), None);
    }

    #[test]
    fn a_ceiling_only_goes_down() {
        let mut ceilings = Ceilings::default();
        ceilings.lower("thumbv7m-none-eabi", "update", 2048);
        ceilings.lower("thumbv7m-none-eabi", "update", 4096);
        assert_eq!(ceilings.get("thumbv7m-none-eabi", "update"), Some(2048));
        ceilings.lower("thumbv7m-none-eabi", "update", 1024);
        assert_eq!(ceilings.get("thumbv7m-none-eabi", "update"), Some(1024));
    }

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line() {
        for (text, line) in [
            ("update = 1", "line 1"),
            ("[t]\nupdate", "line 2"),
            ("[t]\n\nupdate = many", "line 3"),
        ] {
            let error = Ceilings::parse(text).expect_err("a mistake");
            assert!(error.to_string().starts_with(line), "{error:#}");
        }
    }
}
