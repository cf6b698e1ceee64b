//! What is to be done: the chain of parsers that look at a job's document.

use airlift_formats::aws::Value;
use airlift_formats::aws::job_document::{AfrOta, Files, Protocol};

/// Looks at the document of a job. Parsers are handed over as one, or as a tuple of up to four, which are asked from left to right: the first one that knows the
/// document decides. If none does, the job is rejected, and the service told so.
///
/// ```
/// use airlift_device::notify::aws_jobs::{AfrOtaParser, JobParser, Parsed};
/// use airlift_formats::aws::{Value, job_document::Protocol};
///
/// /// `{"operation":"reboot"}`
/// struct Reboot(bool);
///
/// impl JobParser for Reboot {
///     fn parse<'d>(&mut self, _job: &str, document: &Value<'d>) -> Parsed<'d> {
///         let Ok(Some(operation)) = document.get("operation") else {
///             return Parsed::Unknown;
///         };
///         match operation.text() {
///             Ok(text) if text == "reboot" => {
///                 self.0 = true;
///                 Parsed::Done
///             }
///             _ => Parsed::Declined { cause: "unknown-operation", field: "operation" },
///         }
///     }
/// }
///
/// let chain = (AfrOtaParser(Protocol::Mqtt), Reboot(false));
/// # let _ = chain;
/// ```
pub trait JobParser {
    /// Looks at the document of this job.
    fn parse<'d>(&mut self, job: &str, document: &Value<'d>) -> Parsed<'d>;
}

/// What a parser makes of a document.
#[derive(Clone, Debug)]
pub enum Parsed<'d> {
    /// It is of another kind: the next parser is asked.
    Unknown,
    /// These files are to be fetched and installed.
    Update(AfrOta<'d, Files<'d>>),
    /// It was done.
    Done,
    /// It could not be done: the cause, as a number and a word.
    Failed {
        /// The number.
        code: u32,
        /// The word.
        cause: &'static str,
    },
    /// It is not wanted, or wrong: why, as a word, and the field of the document that is wrong, if there is one.
    Declined {
        /// The word.
        cause: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// The documents of FreeRTOS OTA jobs, whose files are to come in this way.
#[derive(Clone, Copy, Debug)]
pub struct AfrOtaParser(pub Protocol);

impl JobParser for AfrOtaParser {
    fn parse<'d>(&mut self, _job: &str, document: &Value<'d>) -> Parsed<'d> {
        match AfrOta::parse(document, self.0) {
            Ok(Some(update)) => Parsed::Update(update),
            Ok(None) => Parsed::Unknown,
            Err(error) => Parsed::Declined {
                cause: error.fault.token(),
                field: error.field,
            },
        }
    }
}

macro_rules! chain {
    ($($parser:ident $field:tt),*) => {
        impl<$($parser: JobParser),*> JobParser for ($($parser,)*) {
            fn parse<'d>(&mut self, job: &str, document: &Value<'d>) -> Parsed<'d> {
                $(
                    match self.$field.parse(job, document) {
                        Parsed::Unknown => {}
                        known => return known,
                    }
                )*
                Parsed::Unknown
            }
        }
    };
}

chain!(A 0);
chain!(A 0, B 1);
chain!(A 0, B 1, C 2);
chain!(A 0, B 1, C 2, D 3);
