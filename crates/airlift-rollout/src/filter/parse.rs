//! From text to a filter, or to what is wrong with it and where.

use std::fmt;
use std::str::FromStr;

use super::{
    AgeField, Filter, KEYWORDS, MAX_DEPTH, MAX_FILTER, Node, Order, Test, TextField, UNITS,
    VERSION, is_word_byte,
};
use crate::Version;

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: expected {expected}, found {found}", self.column())]
pub struct FilterError {
    column: usize,
    expected: Expected,
    found: Found,
}

impl FilterError {
    /// The character where it is wrong, counted from 1; one behind the last if something is missing there.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// What would have been right there.
    #[must_use]
    pub fn expected(&self) -> Expected {
        self.expected
    }
}

/// What would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// The name of a field, `not`, or an opening parenthesis.
    Test,
    /// `=` or `!=`.
    Equality,
    /// Any operator.
    Comparison,
    /// `<`, `<=`, `>` or `>=`.
    Order,
    /// A word, or a text in quotes.
    Value,
    /// A version that has a place in the order.
    Version,
    /// A number and a unit.
    Age,
    /// The end of a text in quotes.
    ClosingQuote,
    /// `\"` or `\\`.
    Escape,
    /// The end of what a parenthesis has opened.
    ClosingParenthesis,
    /// `and`, `or`, or the end.
    End,
    /// Fewer parentheses and `not` inside each other.
    LessDepth,
    /// A shorter text.
    ShorterText,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Test => "not, ( or one of the fields ",
            Self::Equality => "= or !=",
            Self::Comparison => "= != < <= > or >=",
            Self::Order => "< <= > or >=",
            Self::Value => "a value: a word, or a text in \"quotes\"",
            Self::Version => "a version that can be compared, like 2, 2.0 or 2.0.1-rc1",
            Self::Age => "a number and a unit, like 90s, 30m, 12h, 7d or 2w",
            Self::ClosingQuote => "the closing \"",
            Self::Escape => "\\\" or \\\\",
            Self::ClosingParenthesis => "and, or, or )",
            Self::End => "and, or, or the end",
            Self::LessDepth => "at most 16 parentheses and nots inside each other",
            Self::ShorterText => "at most 1024 bytes",
        })?;
        if *self == Self::Test {
            for (_, name) in TextField::ALL {
                write!(f, "{name} ")?;
            }
            for (_, name) in AgeField::ALL {
                write!(f, "{name} ")?;
            }
            f.write_str(VERSION)?;
        }
        Ok(())
    }
}

/// What stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    End,
    Word(Box<str>),
    Text(Box<str>),
    Other(char),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Other(character) => write!(f, "{character:?}"),
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { text, at: 0 };
        if text.len() > MAX_FILTER {
            parser.at = text.floor_char_boundary(MAX_FILTER);
            return Err(parser.expected(Expected::ShorterText));
        }
        let root = parser.any(0)?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.expected(Expected::End));
        }
        Ok(Self {
            text: text.trim_ascii().into(),
            root,
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset, always between two characters.
    at: usize,
}

/// The value of a test.
struct Value {
    text: String,
    at: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all(depth)?];
        while self.keyword("or") {
            nodes.push(self.all(depth)?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.one(depth)?];
        while self.keyword("and") {
            nodes.push(self.one(depth)?);
        }
        Ok(one_or(nodes, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<Node, FilterError> {
        self.skip_space();
        let opens = self.rest().starts_with('(');
        if depth >= MAX_DEPTH && (opens || is_keyword(self.word(), "not")) {
            return Err(self.expected(Expected::LessDepth));
        }
        if self.keyword("not") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if opens {
            self.at += 1;
            let inside = self.any(depth + 1)?;
            self.skip_space();
            if !self.rest().starts_with(')') {
                return Err(self.expected(Expected::ClosingParenthesis));
            }
            self.at += 1;
            return Ok(inside);
        }
        self.test().map(Node::Test)
    }

    fn test(&mut self) -> Result<Test, FilterError> {
        let name = self.word();
        if let Some(field) = named(&TextField::ALL, name) {
            self.at += name.len();
            let order = self.order();
            let negated = match order {
                Some((Order::Is, _)) => false,
                Some((Order::IsNot, _)) => true,
                _ => return Err(self.expected(Expected::Equality)),
            };
            self.take(order);
            let pattern = self.value()?.text.into();
            return Ok(Test::Text {
                field,
                negated,
                pattern,
            });
        }
        if let Some(field) = named(&AgeField::ALL, name) {
            self.at += name.len();
            // A moment is never met exactly.
            let order = self
                .order()
                .filter(|(order, _)| !matches!(order, Order::Is | Order::IsNot));
            self.take(order);
            let (order, _) = order.ok_or_else(|| self.expected(Expected::Order))?;
            let value = self.value()?;
            let seconds = age(&value.text).ok_or_else(|| {
                self.at = value.at;
                self.expected(Expected::Age)
            })?;
            return Ok(Test::Age {
                field,
                order,
                seconds,
            });
        }
        if name != VERSION {
            return Err(self.expected(Expected::Test));
        }
        self.at += name.len();
        let order = self.order();
        self.take(order);
        let (order, _) = order.ok_or_else(|| self.expected(Expected::Comparison))?;
        let value = self.value()?;
        let version = Version::parse(&value.text);
        if version.is_none() && !matches!(order, Order::Is | Order::IsNot) {
            self.at = value.at;
            return Err(self.expected(Expected::Version));
        }
        Ok(Test::Version {
            order,
            text: value.text.into(),
            version,
        })
    }

    /// The operator that stands next.
    fn order(&mut self) -> Option<(Order, &'static str)> {
        self.skip_space();
        let rest = self.rest();
        Order::ALL
            .into_iter()
            .find(|(_, sign)| rest.starts_with(sign))
    }

    fn take(&mut self, order: Option<(Order, &'static str)>) {
        self.at += order.map_or(0, |(_, sign)| sign.len());
    }

    fn value(&mut self) -> Result<Value, FilterError> {
        self.skip_space();
        let at = self.at;
        let word = self.word();
        if !word.is_empty() {
            self.at += word.len();
            let text = word.to_owned();
            return Ok(Value { text, at });
        }
        if !self.rest().starts_with('"') {
            return Err(self.expected(Expected::Value));
        }
        let mut text = String::new();
        self.at += 1;
        loop {
            let Some(character) = self.rest().chars().next() else {
                return Err(self.expected(Expected::ClosingQuote));
            };
            match character {
                '"' => break self.at += 1,
                '\\' => {
                    self.at += 1;
                    let escaped = self.rest().chars().next();
                    let escaped = escaped.filter(|escaped| matches!(escaped, '"' | '\\'));
                    text.push(escaped.ok_or_else(|| self.expected(Expected::Escape))?);
                    self.at += 1;
                }
                _ => {
                    text.push(character);
                    self.at += character.len_utf8();
                }
            }
        }
        Ok(Value { text, at })
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        self.skip_space();
        let is_there = is_keyword(self.word(), keyword);
        if is_there {
            self.at += keyword.len();
        }
        is_there
    }

    /// The word that stands next; empty if something else does.
    fn word(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !is_word_byte(byte));
        rest.split_at(end.unwrap_or(rest.len())).0
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    /// What is wrong with what stands next.
    fn expected(&self, expected: Expected) -> FilterError {
        let word = self.word();
        let found = match self.rest().chars().next() {
            None => Found::End,
            Some(_) if !word.is_empty() => Found::Word(shortened(word)),
            Some('"') => {
                let text = self.rest().trim_start_matches('"');
                Found::Text(shortened(text.split('"').next().unwrap_or_default()))
            }
            Some(character) => Found::Other(character),
        };
        FilterError {
            column: self.text[..self.at].chars().count() + 1,
            expected,
            found,
        }
    }
}

/// Long enough to be recognised.
fn shortened(text: &str) -> Box<str> {
    text.chars().take(32).collect()
}

fn one_or(mut nodes: Vec<Node>, several: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            several(nodes)
        }
    }
}

fn named<T: Copy>(all: &[(T, &str)], name: &str) -> Option<T> {
    let found = all.iter().find(|(_, known)| *known == name);
    found.map(|(field, _)| *field)
}

fn is_keyword(word: &str, keyword: &str) -> bool {
    debug_assert!(KEYWORDS.contains(&keyword));
    word.eq_ignore_ascii_case(keyword)
}

/// `7d` in seconds.
fn age(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let (_, seconds) = UNITS.into_iter().find(|(known, _)| *known == unit)?;
    let number = text.strip_suffix(unit)?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number
        .parse::<u32>()
        .ok()
        .filter(|_| is_number)
        .map(|number| u64::from(number) * seconds)
}
