//! An HTTP/1.x response as a device needs it: the head, what it means for the update, then the bytes of the image.
//!
//! ```text
//!  bytes from the connection ──▶ HeadParser::push ──▶ Head ──▶ Head::answer ──▶ Answer::Image { offset, total, body }
//!                                    │                            │                                    │
//!                                 HttpError                    Refusal                      Body::push ──▶ image bytes
//! ```
//!
//! The parser takes the bytes in any pieces and needs a buffer of the caller only for one line of the head. It is
//! strict where two readers could disagree (a length or a digest that comes twice, a number that is not one, a folded
//! line), and it has an error of its own for each cause, because the server is told which one it was. A body without a
//! `Content-Length` is refused: without it the end of a connection that broke looks like the end of the image.
//!
//! ```
//! use airlift_device::download::http::{Answer, HeadParser};
//!
//! let mut line = [0; 256];
//! let mut parser = HeadParser::new(&mut line);
//! let received = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx-version: 2.0.0\r\n\r\nabc";
//! let (head, used) = parser.push(received).unwrap().expect("the head is complete");
//! assert_eq!(head.version(), Some("2.0.0"));
//! let Answer::Image { offset: 0, total: 3, mut body } = head.answer(None).unwrap() else { panic!() };
//! assert_eq!(body.push(&received[used..]), b"abc");
//! body.finish().unwrap();
//! ```

mod answer;
mod field;
mod head;

pub use answer::{Answer, Body, Expected, Refusal, Truncated};
pub use field::Field;
pub use head::{ContentRange, Head, HeadParser, HttpError, MAX_HEAD_LEN};

#[cfg(test)]
mod tests;
