//! From a listening socket to an answer.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::EXPECT;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::Body;
use super::request_body::RequestBody;
use super::socket::Socket;
use crate::doors::esp_http::{self, EspHttp};

/// How long a stopping server waits for answers that are under way.
const GRACE: Duration = Duration::from_secs(10);

/// What answers requests.
pub(super) struct Front {
    pub(super) esp_http: EspHttp,
    pub(super) api: TowerToHyperService<axum::Router>,
    pub(super) header_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) connections: Semaphore,
}

impl Front {
    /// Doors are recognised by their prefix before any routing: they answer nearly all requests of a server.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        if request.uri().path().starts_with(esp_http::PREFIX) {
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
pub(super) async fn run(listener: TcpListener, front: Arc<Front>, mut stop: watch::Receiver<bool>) {
    let (busy, mut all_done) = tokio::sync::mpsc::channel::<Infallible>(1);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &front) => accepted,
            () = stopped(&mut stop) => break,
        };
        let Some((stream, peer)) = accepted else {
            break;
        };
        let (front, stop, busy) = (Arc::clone(&front), stop.clone(), busy.clone());
        tokio::spawn(async move {
            serve(stream, peer, &front, stop).await;
            front.connections.add_permits(1);
            drop(busy);
        });
    }
    drop((listener, busy));
    // The channel closes when the last connection has dropped its end.
    if tokio::time::timeout(GRACE, all_done.recv()).await.is_err() {
        tracing::warn!("connections were still busy after {GRACE:?} and are cut");
    }
}

/// The next connection, when there may be one more. `None`: never again.
async fn accept(listener: &TcpListener, front: &Front) -> Option<(TcpStream, SocketAddr)> {
    front.connections.acquire().await.ok()?.forget();
    loop {
        match listener.accept().await {
            Ok(accepted) => return Some(accepted),
            // Out of descriptors, or the peer was gone again: both pass, and neither may spin.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Returns when the server is told to stop, or has forgotten to say so.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    front: &Front,
    mut stop: watch::Receiver<bool>,
) {
    // An answer is written at once; waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| front.answer(request, peer.ip()));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(front.header_timeout)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .serve_connection(
            TokioIo::new(Socket::new(stream, front.stall_timeout)),
            service,
        );
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %peer, "connection ended early");
    }
}
