//! What things write: the JSON of requests, read as if an attacker had sent it.
//!
//! Unknown keys are ignored, of a key that comes twice the last counts, and `null` is as good as nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::execution::{Details, Status, StepTimer};
use super::job::MAX_MINUTES;
use super::queue::Update;
use super::refusal::{Code, Refusal};

/// Longest request, in bytes: as long as a job document, which no request needs to be.
const MAX_REQUEST: usize = 32 << 10;
/// Longest client token, in bytes.
const MAX_TOKEN: usize = 64;
/// Most texts in status details (AWS' quota), and the longest name and text in them, in characters.
const MAX_DETAILS: usize = 10;
const MAX_DETAIL_NAME: usize = 128;
const MAX_DETAIL: usize = 1024;

/// A request, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    fields: BTreeMap<String, &'a RawValue>,
    /// To be sent back with the answer, if there is one and it is well formed.
    pub(crate) client_token: Option<String>,
}

/// `start-next`.
#[derive(Debug, Default)]
pub(crate) struct StartNext {
    pub(crate) details: Option<Details>,
    pub(crate) step_timer: Option<StepTimer>,
}

/// `{jobId}/get`.
#[derive(Debug)]
pub(crate) struct Describe {
    pub(crate) number: Option<i64>,
    pub(crate) include_document: bool,
}

/// `{jobId}/update`.
#[derive(Debug)]
pub(crate) struct UpdateRequest {
    pub(crate) update: Update,
    pub(crate) include_state: bool,
    pub(crate) include_document: bool,
}

impl<'a> Request<'a> {
    /// Reads a request; an empty one is one without fields.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Refusal> {
        if payload.is_empty() {
            return Ok(Self::default());
        }
        if payload.len() > MAX_REQUEST {
            return Err(Refusal::invalid(format!(
                "a request has at most {MAX_REQUEST} bytes"
            )));
        }
        let no_json = |error: &dyn fmt::Display| {
            Refusal::new(Code::InvalidJson, format!("a request is JSON: {error}"))
        };
        let text = std::str::from_utf8(payload).map_err(|error| no_json(&error))?;
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|error| {
            // It may be JSON all the same: an array, say.
            match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Refusal::invalid("a request is a JSON object"),
                Err(_) => no_json(&error),
            }
        })?;
        Ok(Self {
            fields,
            client_token: None,
        })
    }

    /// Reads the client token. Apart from [`read`](Self::read), so that whatever is wrong with the rest is answered with it.
    pub(crate) fn read_token(&mut self) -> Result<(), Refusal> {
        let wrong = || Refusal::invalid(format!("clientToken is a text of 1 to {MAX_TOKEN} bytes"));
        let token: Option<String> = self.field("clientToken", wrong)?;
        if token
            .as_ref()
            .is_some_and(|token| !(1..=MAX_TOKEN).contains(&token.len()))
        {
            return Err(wrong());
        }
        self.client_token = token;
        Ok(())
    }

    pub(crate) fn start_next(&self) -> Result<StartNext, Refusal> {
        Ok(StartNext {
            details: self.details()?,
            step_timer: self.step_timer()?,
        })
    }

    pub(crate) fn describe(&self) -> Result<Describe, Refusal> {
        Ok(Describe {
            number: self.number("executionNumber")?,
            include_document: self.flag("includeJobDocument", true)?,
        })
    }

    pub(crate) fn update(&self) -> Result<UpdateRequest, Refusal> {
        let wrong =
            || Refusal::invalid("status is one of IN_PROGRESS, SUCCEEDED, FAILED and REJECTED");
        let status: Option<String> = self.field("status", wrong)?;
        let status = status.and_then(|text| Status::parse(&text));
        Ok(UpdateRequest {
            update: Update {
                status: status.ok_or_else(wrong)?,
                details: self.details()?,
                expected_version: self.number("expectedVersion")?,
                number: self.number("executionNumber")?,
                step_timer: self.step_timer()?,
            },
            include_state: self.flag("includeJobExecutionState", false)?,
            include_document: self.flag("includeJobDocument", false)?,
        })
    }

    fn field<T: DeserializeOwned>(
        &self,
        name: &str,
        wrong: impl Fn() -> Refusal,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.fields.get(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get()).map_err(|_| wrong())
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        let wrong = || Refusal::invalid(format!("{name} is true or false"));
        Ok(self.field(name, wrong)?.unwrap_or(default))
    }

    /// A number from 0 on. The reference library writes it as a text.
    fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let wrong = || Refusal::invalid(format!("{name} is a whole number, or a text that is one"));
        let number = match self.field(name, wrong)? {
            None => return Ok(None),
            Some(NumberOrText::Number(number)) => number,
            Some(NumberOrText::Text(text)) => {
                let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = is_digits.then(|| text.parse().ok()).flatten();
                number.ok_or_else(wrong)?
            }
        };
        if number < 0 {
            return Err(wrong());
        }
        Ok(Some(number))
    }

    fn step_timer(&self) -> Result<Option<StepTimer>, Refusal> {
        const NAME: &str = "stepTimeoutInMinutes";
        let wrong =
            || Refusal::invalid(format!("{NAME} is -1, or a number from 1 to {MAX_MINUTES}"));
        let minutes: Option<i64> = self.field(NAME, wrong)?;
        let timer = minutes.map(|minutes| match u32::try_from(minutes) {
            Ok(minutes @ 1..=MAX_MINUTES) => Ok(StepTimer::Minutes(minutes)),
            _ if minutes == -1 => Ok(StepTimer::Off),
            _ => Err(wrong()),
        });
        timer.transpose()
    }

    fn details(&self) -> Result<Option<Details>, Refusal> {
        match self.fields.get("statusDetails") {
            Some(value) if value.get() != "null" => Details::read(value.get()).map(Some),
            _ => Ok(None),
        }
    }
}

impl Details {
    /// Reads and checks a JSON object of texts.
    pub(crate) fn read(json: &str) -> Result<Self, Refusal> {
        let wrong = |what: &dyn fmt::Display| Refusal::invalid(format!("statusDetails: {what}"));
        let Pairs(pairs) = serde_json::from_str(json)
            .map_err(|_| wrong(&format_args!("an object of at most {MAX_DETAILS} texts")))?;
        for (name, text) in &pairs {
            let is_name =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
            if !(1..=MAX_DETAIL_NAME).contains(&name.len()) || !name.bytes().all(is_name) {
                return Err(wrong(&format_args!(
                    "a name has 1 to {MAX_DETAIL_NAME} of the characters A-Z a-z 0-9 : _ -"
                )));
            }
            if !(1..=MAX_DETAIL).contains(&text.chars().count())
                || text.chars().any(char::is_control)
            {
                return Err(wrong(&format_args!(
                    "{name} is a text of 1 to {MAX_DETAIL} characters, none of them a control character"
                )));
            }
        }
        let json = RawValue::from_string(write(&pairs)).map_err(|error| wrong(&error))?;
        Ok(Self(json.into()))
    }
}

/// Writes the object anew: without blanks, and with each name once.
fn write(pairs: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (name, value) in pairs {
        let comma = if text.len() > 1 { "," } else { "" };
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        text += &format!("{comma}{}:{}", quoted(name), quoted(value));
    }
    text.push('}');
    text
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

/// The texts of an object in their order, of those with the same name the last.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            if let Some(at) = pairs.iter().position(|(other, _)| *other == name) {
                pairs.remove(at);
            }
            if pairs.len() == MAX_DETAILS {
                return Err(serde::de::Error::custom("too many texts"));
            }
            pairs.push((name, text));
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests;
