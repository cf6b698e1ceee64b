//! From a socket to an answer. Whoever is on the network can talk to it: everything has a limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use airlift_sim::client::Order;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::answer::{self, Answer};
use super::desk::{Desk, NotTaken};
use super::order::{Fields, Malformed};
use super::{Token, page};

/// Connections at the same time; more of them wait.
const MAX_CONNECTIONS: usize = 32;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Bytes of a request's body.
const MAX_BODY: usize = 4 * 1024;
/// For a head, and for a body.
const PATIENCE: Duration = Duration::from_secs(3);
/// For a connection: a request and its answer.
const LIFETIME: Duration = Duration::from_secs(8);
/// Who does not know the token waits, so that guessing takes its time.
const WRONG_TOKEN: Duration = Duration::from_millis(300);

pub(super) struct Site {
    pub(super) desk: Arc<Desk>,
    pub(super) token: Token,
    pub(super) compat_get: bool,
}

pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(LIFETIME, connection(stream, site)).await;
                    drop(permit);
                });
            }
            // Out of files, or the peer has gone: it passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    // One request a connection: nobody keeps a place.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// In which form the answer to an order is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Page,
    /// As the demo has it.
    Plain,
}

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/" if reads => answer::html(StatusCode::OK, page::page(&self.desk.status())),
            "/api/status" if reads => answer::json(StatusCode::OK, &self.desk.status()),
            "/" | "/api/status" => answer::other_method("GET, HEAD"),
            "/ota" if *request.method() == Method::POST => self.post(request).await,
            "/ota" if self.compat_get && *request.method() == Method::GET => {
                let query = request.uri().query().unwrap_or_default();
                match Fields::from_form(query.as_bytes()).and_then(Fields::order) {
                    Ok(order) => self.take(order, Form::Plain),
                    Err(malformed) => bad(Form::Plain, &malformed),
                }
            }
            "/ota" if self.compat_get => answer::other_method("GET, POST"),
            "/ota" => answer::other_method("POST"),
            _ => answer::text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }

    async fn post(&self, request: Request<Incoming>) -> Answer {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let form = match kind.to_ascii_lowercase().as_str() {
            "application/json" => Form::Json,
            "application/x-www-form-urlencoded" => Form::Page,
            _ => {
                return answer::json(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    &json!({ "error": "send application/json or application/x-www-form-urlencoded" }),
                );
            }
        };
        let bearer = request.headers().get(AUTHORIZATION).cloned();
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let body = match tokio::time::timeout(PATIENCE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let message = format!("the body is broken, or larger than {MAX_BODY} bytes");
                return said(form, StatusCode::PAYLOAD_TOO_LARGE, &message);
            }
            Err(_) => return said(form, StatusCode::REQUEST_TIMEOUT, "the body did not come"),
        };
        let fields = match form {
            Form::Json => Fields::from_json(&body),
            _ => Fields::from_form(&body),
        };
        // Who does not know the token learns nothing, not even that the request is malformed.
        let in_header = bearer.as_ref().is_some_and(|value| {
            let token = value.as_bytes().strip_prefix(b"Bearer ");
            token.is_some_and(|token| self.token.is(token))
        });
        let in_form = fields.as_ref().is_ok_and(|fields| {
            let token = fields.token.as_ref();
            token.is_some_and(|token| self.token.is(token.as_bytes()))
        });
        if !in_header && !in_form {
            tokio::time::sleep(WRONG_TOKEN).await;
            let message = "the token is missing or wrong; it was given with --web-token, or printed at the start";
            return answer::ask_for_token(said(form, StatusCode::UNAUTHORIZED, message));
        }
        match fields.and_then(Fields::order) {
            Ok(order) => self.take(order, form),
            Err(malformed) => bad(form, &malformed),
        }
    }

    fn take(&self, order: Order, form: Form) -> Answer {
        match self.desk.order(order) {
            Ok(()) if form == Form::Plain => answer::text(StatusCode::ACCEPTED, "updating..."),
            Ok(()) if form == Form::Json => {
                let body = json!({ "started": true, "status": "/api/status" });
                answer::json(StatusCode::ACCEPTED, &body)
            }
            Ok(()) => said(form, StatusCode::ACCEPTED, "The update starts."),
            Err(NotTaken::Busy) => {
                let message = "an update is going on already; wait for its end";
                said(form, StatusCode::CONFLICT, message)
            }
            Err(NotTaken::UnknownTarget) => {
                let message = "partition: not one that is updated; see targets in /api/status, or leave it out for an app";
                said(form, StatusCode::UNPROCESSABLE_ENTITY, message)
            }
        }
    }
}

fn bad(form: Form, Malformed(message): &Malformed) -> Answer {
    said(form, StatusCode::BAD_REQUEST, message)
}

fn said(form: Form, status: StatusCode, message: &str) -> Answer {
    match form {
        Form::Json => answer::json(status, &json!({ "error": message })),
        Form::Page => answer::html(status, page::message(message, status.is_success())),
        Form::Plain => answer::text(status, &format!("{message}\n")),
    }
}
