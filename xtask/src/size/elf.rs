//! What an ELF program takes of flash and RAM.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionFlags, elf};

/// Bytes by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sections {
    /// Instructions: `.text`.
    pub(crate) code: u64,
    /// Constants: `.rodata`.
    pub(crate) constants: u64,
    /// Variables with an initial value, which takes as many bytes in flash: `.data`.
    pub(crate) initialised: u64,
    /// Variables that start as zero: `.bss`.
    pub(crate) zeroed: u64,
}

impl Sections {
    /// Sums the sections that are loaded.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is not an ELF program.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let program = object::File::parse(&*bytes)
            .with_context(|| format!("{} is not an ELF program", file.display()))?;
        let mut sum = Self::default();
        for section in program.sections() {
            if let SectionFlags::Elf { sh_flags, .. } = section.flags() {
                let is_zeroed = section.file_range().is_none();
                sum.add(sh_flags, is_zeroed, section.size());
            }
        }
        Ok(sum)
    }

    /// Bytes that the program takes in flash.
    pub(crate) fn in_flash(&self) -> u64 {
        self.code + self.constants + self.initialised
    }

    /// Bytes that the program takes in RAM before it runs.
    pub(crate) fn ram(&self) -> u64 {
        self.initialised + self.zeroed
    }

    fn add(&mut self, flags: elf::SectionFlags, is_zeroed: bool, size: u64) {
        let has = |flag: elf::SectionFlags| flags.intersects(flag);
        if !has(elf::SHF_ALLOC) {
            return;
        }
        *if has(elf::SHF_EXECINSTR) {
            &mut self.code
        } else if is_zeroed {
            &mut self.zeroed
        } else if has(elf::SHF_WRITE) {
            &mut self.initialised
        } else {
            &mut self.constants
        } += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_apart_by_their_flags() {
        let mut sum = Sections::default();
        sum.add(elf::SHF_ALLOC | elf::SHF_EXECINSTR, false, 100);
        sum.add(elf::SHF_ALLOC, false, 20);
        sum.add(elf::SHF_ALLOC | elf::SHF_WRITE, false, 3);
        sum.add(elf::SHF_ALLOC | elf::SHF_WRITE, true, 7);
        sum.add(elf::SHF_MERGE, false, 1000);
        assert_eq!(
            sum,
            Sections {
                code: 100,
                constants: 20,
                initialised: 3,
                zeroed: 7
            }
        );
        assert_eq!((sum.in_flash(), sum.ram()), (123, 10));
    }

    #[test]
    fn this_very_program_has_code_and_constants() {
        let program = std::env::current_exe().expect("the path of the test program");
        let sections = Sections::read(&program).expect("the test program is an ELF program");
        assert!(sections.code > 10_000 && sections.constants > 1_000);
    }
}
