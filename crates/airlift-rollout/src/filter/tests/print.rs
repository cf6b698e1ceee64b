//! A filter as text, from what it means: what is printed must be read as the same.

use std::fmt;

use super::super::{
    AgeField, KEYWORDS, Node, Order, Test, TextField, UNITS, VERSION, is_word_byte,
};

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(nodes) => joined(f, nodes, " or ", |node| matches!(node, Self::Any(_))),
            Self::All(nodes) => joined(f, nodes, " and ", |node| {
                matches!(node, Self::Any(_) | Self::All(_))
            }),
            Self::Not(node) => {
                f.write_str("not ")?;
                inside(f, node, matches!(**node, Self::Any(_) | Self::All(_)))
            }
            Self::Test(test) => test.fmt(f),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    nodes: &[Node],
    word: &str,
    needs_parentheses: impl Fn(&Node) -> bool,
) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        inside(f, node, needs_parentheses(node))?;
    }
    Ok(())
}

fn inside(f: &mut fmt::Formatter<'_>, node: &Node, in_parentheses: bool) -> fmt::Result {
    if in_parentheses {
        write!(f, "({node})")
    } else {
        write!(f, "{node}")
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                field,
                negated,
                pattern,
            } => {
                let sign = if *negated { "!=" } else { "=" };
                f.write_str(name(&TextField::ALL, *field))?;
                f.write_str(sign)?;
                value(f, pattern)
            }
            Self::Version { order, text, .. } => {
                write!(f, "{VERSION}{}", name(&Order::ALL, *order))?;
                value(f, text)
            }
            Self::Age {
                field,
                order,
                seconds,
            } => {
                let (field, order) = (name(&AgeField::ALL, *field), name(&Order::ALL, *order));
                let fits = |(_, unit): &(char, u64)| seconds.is_multiple_of(*unit);
                let (unit, length) = UNITS.into_iter().find(fits).unwrap_or(('s', 1));
                write!(f, "{field}{order}{}{unit}", seconds / length)
            }
        }
    }
}

fn name<T: Copy + PartialEq>(all: &[(T, &'static str)], wanted: T) -> &'static str {
    let found = all.iter().find(|(known, _)| *known == wanted);
    found.map_or("", |(_, name)| name)
}

fn value(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let is_keyword = KEYWORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if !text.is_empty() && text.bytes().all(is_word_byte) && !is_keyword {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{character}")?;
    }
    f.write_str("\"")
}
