//! From a listening socket to an answer.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::EXPECT;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Body;
use super::direct::{self, End, MAX_HEADERS};
use super::lifetime::{self, Activity, Phase, ending};
use super::request_body::RequestBody;
use super::socket::Socket;
use crate::doors::esp_http::{self, ClientHeaders, DoorRequest, EspHttp};

/// How long a stopping server waits for answers that are under way.
const GRACE: Duration = Duration::from_secs(10);

/// What answers requests.
pub(super) struct Front {
    pub(super) esp_http: EspHttp,
    pub(super) api: TowerToHyperService<axum::Router>,
    pub(super) header_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) connections: Arc<Semaphore>,
}

impl Front {
    /// Doors are recognised by their prefix before any routing: they answer nearly all requests of a server.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        if request.uri().path().starts_with(esp_http::PREFIX) {
            let request = DoorRequest {
                method: request.method(),
                path: request.uri().path(),
                headers: ClientHeaders::from(request.headers()),
            };
            return Ok(self.esp_http.answer(&request, peer).await);
        }
        let expects_continue = request.headers().contains_key(EXPECT);
        let patience = self.stall_timeout;
        let request = request
            .map(|body| axum::body::Body::new(RequestBody::new(body, patience, expects_continue)));
        let answer = hyper::service::Service::call(&self.api, request).await?;
        Ok(answer.map(Body::Streamed))
    }
}

/// Accepts connections until told to stop, then waits a moment for those that are busy.
pub(super) async fn run(
    listener: TcpListener,
    front: Arc<Front>,
    mut phase: watch::Receiver<Phase>,
    cut: watch::Sender<Phase>,
) {
    let (busy, mut all_done) = tokio::sync::mpsc::channel::<Infallible>(1);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &front) => accepted,
            () = ending(&mut phase) => break,
        };
        let Some((stream, peer, permit)) = accepted else {
            break;
        };
        let (front, phase, busy) = (Arc::clone(&front), phase.clone(), busy.clone());
        tokio::spawn(async move {
            serve(stream, peer, &front, phase).await;
            drop((busy, permit));
        });
    }
    drop((listener, busy));
    // The channel closes when the last connection has dropped its end.
    if tokio::time::timeout(GRACE, all_done.recv()).await.is_err() {
        tracing::warn!("connections were still busy after {GRACE:?} and are cut");
        let _ = cut.send(Phase::Cut);
        all_done.recv().await;
    }
}

/// The next connection, when there may be one more. `None`: never again.
async fn accept(
    listener: &TcpListener,
    front: &Front,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(&front.connections).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            // Out of descriptors, or the peer was gone again: both pass, and neither may spin.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    front: &Front,
    mut phase: watch::Receiver<Phase>,
) {
    // An answer is written at once; waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let activity = Activity::default();
    let patience = front.header_timeout;
    let socket = Socket::new(stream, front.stall_timeout, &activity);

    let direct = direct::serve(socket, &front.esp_http, peer.ip(), &activity);
    let direct = std::pin::pin!(direct);
    let end = |_: std::pin::Pin<&mut _>| activity.end();
    let socket = match lifetime::attend(direct, end, &activity, patience, &mut phase).await {
        Some(Ok(End::Other(socket))) => socket,
        Some(Ok(End::Closed)) | None => return,
        Some(Err(error)) => {
            tracing::debug!(%error, %peer, "connection ended early");
            return;
        }
    };

    let service = service_fn(|request| async {
        let _answering = activity.answering();
        front.answer(request, peer.ip()).await
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Ours is cheaper: see `lifetime`.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(socket), service);
    let connection = std::pin::pin!(connection);
    let end = http1::Connection::graceful_shutdown;
    if let Some(Err(error)) =
        lifetime::attend(connection, end, &activity, patience, &mut phase).await
    {
        tracing::debug!(%error, %peer, "connection ended early");
    }
}
