//! Variables of the environment in a line, as Python's `os.path.expandvars` replaces them.

use alloc::{borrow::ToOwned, string::String};

/// Replaces `$NAME` and `${NAME}`; what the environment does not have stays as it is, and what is filled in is not looked
/// at again.
pub(super) fn expand(line: &str, environment: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, next) = match after.strip_prefix('{').map(|inner| inner.split_once('}')) {
            Some(Some((name, next))) => (Some(name), next),
            Some(None) => (None, after),
            None => {
                let (name, next) = split_name(after);
                (Some(name).filter(|name| !name.is_empty()), next)
            }
        };
        match name.and_then(environment) {
            Some(value) => {
                expanded.push_str(&value);
                rest = next;
            }
            None => {
                expanded.push('$');
                let kept = if name.is_some() {
                    after.len() - next.len()
                } else {
                    0
                };
                expanded.push_str(after.get(..kept).unwrap_or_default());
                rest = after.get(kept..).unwrap_or_default();
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The variable at the very start of a line that was not replaced. The official tool complains of no other.
pub(super) fn unknown_at_start(line: &str) -> Option<String> {
    let (name, _) = split_name(line.strip_prefix('$')?);
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        .then(|| name.to_owned())
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "A" => Some("0x9000".to_owned()),
            "SELF" => Some("$A".to_owned()),
            "EMPTY" => Some(String::new()),
            "1" => Some("one".to_owned()),
            "odd name" => Some("odd".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_as_python_does() {
        for (line, expected) in [
            ("", ""),
            ("x,$A,", "x,0x9000,"),
            ("${A}0", "0x90000"),
            ("$A0 $A_", "$A0 $A_"),
            ("$A$A", "0x90000x9000"),
            ("$SELF", "$A"),
            ("a$EMPTY,b", "a,b"),
            ("$1", "one"),
            ("${odd name}", "odd"),
            ("${NO}$A", "${NO}0x9000"),
            ("${A", "${A"),
            ("${$A}", "${$A}"),
            ("${${A}", "${${A}"),
            ("$$A", "$0x9000"),
            ("$ A", "$ A"),
            ("$é$A", "$é0x9000"),
            ("\\$A", "\\0x9000"),
            ("cost $", "cost $"),
        ] {
            assert_eq!(expand(line, &environment), expected, "{line}");
        }
    }

    #[test]
    fn only_an_unknown_variable_at_the_very_start_is_noticed() {
        for (line, expected) in [
            ("$NO,data", Some("NO")),
            ("$_9", Some("_9")),
            (" $NO", None),
            ("${NO}", None),
            ("x$NO", None),
            ("$9", None),
            ("$", None),
        ] {
            assert_eq!(unknown_at_start(line).as_deref(), expected, "{line}");
        }
    }
}
