//! One case of a sweep, in a form that can be printed and read again.

use std::fmt;
use std::str::FromStr;

use crate::flash::{Cut, CutGrain, CutKind};

/// Which cuts strike a run: the second counts from the boot after the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
}

/// A text that is no [`Case`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a case: use word|call:NUMBER:clean|program:SEED|erase:SEED, joined by commas")]
pub struct CaseError;

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, cut) in self.cuts.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            let grain = match cut.grain {
                CutGrain::Word => "word",
                CutGrain::Call => "call",
            };
            write!(f, "{grain}:{}:", cut.at)?;
            match cut.kind {
                CutKind::Clean => f.write_str("clean")?,
                CutKind::TornProgram { seed } => write!(f, "program:{seed}")?,
                CutKind::TornErase { seed } => write!(f, "erase:{seed}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Case {
    type Err = CaseError;

    fn from_str(text: &str) -> Result<Self, CaseError> {
        let cut = |text: &str| {
            let mut parts = text.split(':');
            let grain = match parts.next()? {
                "word" => CutGrain::Word,
                "call" => CutGrain::Call,
                _ => return None,
            };
            let at = parts.next()?.parse().ok()?;
            let kind = parts.next()?;
            let seed = parts.next().map(str::parse).transpose().ok()?;
            let kind = match (kind, seed) {
                ("clean", None) => CutKind::Clean,
                ("program", Some(seed)) => CutKind::TornProgram { seed },
                ("erase", Some(seed)) => CutKind::TornErase { seed },
                _ => return None,
            };
            parts.next().is_none().then_some(Cut { at, grain, kind })
        };
        let cuts: Option<Vec<Cut>> = text.split(',').map(cut).collect();
        Ok(Self {
            cuts: cuts.ok_or(CaseError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn a_case_reads_as_it_prints() {
        let text = "word:12:program:7,call:3:erase:1,call:0:clean";
        assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
        for wrong in [
            "",
            "word",
            "word:1",
            "word:1:erase",
            "word:x:clean",
            "word:1:clean:1:1",
        ] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }
}
