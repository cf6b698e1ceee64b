//! callgrind's output: what each function cost by itself.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use anyhow::{Context, Result};

/// Instructions by function, without those of the functions that it calls.
#[derive(Debug, Default)]
pub(super) struct Profile {
    functions: BTreeMap<String, u64>,
}

impl Profile {
    /// Reads a file of callgrind's.
    ///
    /// # Errors
    /// Fails if the file cannot be read or has no costs.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let profile = Self::parse(&text);
        let is_empty = profile.functions.values().all(|cost| *cost == 0);
        (!is_empty)
            .then_some(profile)
            .with_context(|| format!("callgrind has counted nothing: {}", file.display()))
    }

    /// The functions and their costs.
    pub(super) fn functions(&self) -> impl Iterator<Item = (&str, u64)> {
        self.functions
            .iter()
            .map(|(name, cost)| (name.as_str(), *cost))
    }

    /// The format is described in valgrind's manual, "Callgrind Format Specification". `fn=(3) name` starts the lines of a
    /// function; later the number stands for the name. A cost line is `position cost`. The line behind `calls=` is the
    /// cost of what is called, which is counted where it belongs.
    fn parse(text: &str) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut functions: BTreeMap<String, u64> = BTreeMap::new();
        let mut current = "";
        let mut of_callee = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                current = resolve(name, &mut names);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                resolve(name, &mut names);
            } else if line.starts_with("calls=") {
                of_callee = true;
            } else if let Some(cost) = cost(line)
                && !std::mem::take(&mut of_callee)
            {
                *functions.entry(current.to_owned()).or_default() += cost;
            }
        }
        Self { functions }
    }
}

/// The name in `(3) name`, or the name that `(3)` had before.
fn resolve<'t>(text: &'t str, names: &mut HashMap<&'t str, &'t str>) -> &'t str {
    match text.split_once(") ") {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names
            .get(text.trim_end_matches(')'))
            .copied()
            .unwrap_or(text),
    }
}

/// The cost of a line like `16 400`, `+3 400` or `* 400`.
fn cost(line: &str) -> Option<u64> {
    if !line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
        return None;
    }
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_s_own_cost_is_without_its_callees() {
        // The example of the format's specification.
        let text = "events: Instructions\n\nfl=(1) file1.c\nfn=(1) main\n16 400\ncfn=(2) func1\ncalls=1 50\n16 400\n\
                    cfi=(2) file2.c\ncfn=(3) func2\ncalls=3 20\n16 400\n\nfn=(2)\n51 100\ncfi=(2)\ncfn=(3)\ncalls=2 20\n\
                    51 300\n\nfl=(2)\nfn=(3)\n20 700\n+1 5\n* 6\n";
        let profile = Profile::parse(text);
        let costs: Vec<(&str, u64)> = profile.functions().collect();
        assert_eq!(costs, [("func1", 100), ("func2", 711), ("main", 400)]);
    }
}
