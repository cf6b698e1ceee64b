//! Device-facing protocols, one module each. A door parses, asks [`decide`](crate::decide), answers; nothing else.

pub(crate) mod aws_mqtt;
pub(crate) mod esp_http;
