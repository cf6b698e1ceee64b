//! Errors of the API: `application/problem+json` (RFC 9457) with a `code` that stays the same.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::catalog::CatalogError;
use crate::catalog::publish::PublishError;
use crate::jobs::answer::ExecutionState;

/// An answer that says no.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// The status' own phrase.
    title: &'static str,
    status: u16,
    /// For programs: never changes once released.
    code: &'static str,
    /// For people: what, where, what to do.
    detail: String,
    /// Of jobs: how the execution is that the request was about.
    #[serde(rename = "executionState", skip_serializing_if = "Option::is_none")]
    execution_state: Option<Box<ExecutionState>>,
    #[serde(skip)]
    reply: StatusCode,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            execution_state: None,
            reply: status,
        }
    }

    /// The same, with how the execution is that it is about.
    pub(super) fn with_state(self, execution_state: Option<Box<ExecutionState>>) -> Self {
        Self {
            execution_state,
            ..self
        }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The one answer to everything that is not there or not the caller's.
    pub(super) fn no_such_organization() -> Self {
        Self::not_found("no such organization, or this token has no access to it")
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send a valid token: \"Authorization: Bearer airlift_...\"",
        )
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "see the Allow header for the methods of this address",
        )
    }

    /// Something is wrong here, not with the request. What exactly goes to the log.
    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed to do this; its log says why",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.reply, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.reply == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"airlift\""),
            );
        }
        response
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        CatalogError::from(error).into()
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        if let CatalogError::Database(sqlx::Error::Database(error)) = &error {
            // SQLITE_FULL; PostgreSQL's disk_full.
            if matches!(error.code().as_deref(), Some("13" | "53100")) {
                return storage_full();
            }
        }
        Self::internal(&error)
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let detail = error.to_string();
        match error {
            PublishError::Empty => Self::bad_request("image-empty", detail),
            PublishError::NoVersion => Self::bad_request("version-missing", detail),
            PublishError::BrokenOff(_) => Self::bad_request("upload-broken-off", detail),
            PublishError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "image-too-large", detail)
            }
            PublishError::BadImage(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "image-invalid", detail)
            }
            PublishError::AppAsData => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "image-is-app", detail)
            }
            PublishError::OtherFileSystem { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "file-system-differs",
                detail,
            ),
            PublishError::OtherChip { .. } => Self::conflict("chip-differs", detail),
            PublishError::OtherProduct { .. } => Self::conflict("product-differs", detail),
            PublishError::OtherProject { .. } => Self::conflict("image-project-differs", detail),
            PublishError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            PublishError::StorageFull => storage_full(),
            PublishError::Store(_) => Self::internal(&detail),
            PublishError::Catalog(error) => error.into(),
        }
    }
}

fn storage_full() -> Problem {
    Problem::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "storage-full",
        PublishError::StorageFull.to_string(),
    )
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request("bad-parameter", rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::bad_request("bad-path", "a part of the address cannot be read")
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), "bad-body", rejection.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad-json", rejection.body_text())
    }
}
