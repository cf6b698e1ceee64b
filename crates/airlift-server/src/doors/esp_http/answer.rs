//! What this door answers.

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::range::{Asked, asked};
use super::request::ClientHeaders;
use crate::catalog::release::Release;
use crate::server::Body;
use crate::store::cache::{ImageCache, ImageError};

static X_MD5: HeaderName = HeaderName::from_static("x-md5");
static X_SHA256: HeaderName = HeaderName::from_static("x-sha256");
static X_VERSION: HeaderName = HeaderName::from_static("x-version");
static X_AIRLIFT_PARTITION: HeaderName = HeaderName::from_static("x-airlift-partition");

/// 304: what every deployed client takes for "nothing to do". A 404 would show up as an error on the device.
pub(super) fn no_update() -> Response<Body> {
    status(StatusCode::NOT_MODIFIED, Body::Empty)
}

/// The same words whatever the name and whatever exists.
pub(super) fn bad_name() -> Response<Body> {
    text(
        StatusCode::BAD_REQUEST,
        "a name in the path is not valid: 1 to 64 of A-Z a-z 0-9 - _ . + : and not . or ..\n",
    )
}

pub(super) fn bad_mode() -> Response<Body> {
    text(
        StatusCode::BAD_REQUEST,
        "unknown x-ESP8266-mode or x-ESP32-mode: sketch, version, spiffs, littlefs, fatfs, flashfs\n",
    )
}

pub(super) fn bad_partition() -> Response<Body> {
    text(
        StatusCode::BAD_REQUEST,
        "x-Airlift-Partition is not name=NAME; sha256=HEX; version=TEXT, with a name of 1 to 16 of A-Z a-z 0-9 - _ . + :\n",
    )
}

pub(super) fn no_such_path() -> Response<Body> {
    text(
        StatusCode::NOT_FOUND,
        "the path is /ota_update/ORGANIZATION/PROJECT/NODE/KEY\n",
    )
}

pub(super) fn allowed_methods() -> Response<Body> {
    let mut response = status(StatusCode::OK, Body::Empty);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// The answer to `mode: version`: 200 and `x-version`, as `getAvailableVersion()` wants it, and no body.
pub(super) fn version(release: &Release) -> Response<Body> {
    let mut response = status(StatusCode::OK, Body::Empty);
    let headers = response.headers_mut();
    headers.insert(X_VERSION.clone(), release.headers.version.clone());
    headers.insert(X_MD5.clone(), release.headers.md5.clone());
    headers.insert(X_SHA256.clone(), release.headers.sha256.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(partition) = &release.headers.partition {
        headers.insert(X_AIRLIFT_PARTITION.clone(), partition.clone());
    }
    response
}

/// The image, or the part of it that was asked for, or word that the client has it.
pub(super) async fn image(
    images: &ImageCache,
    release: &Release,
    request: &ClientHeaders<'_>,
    with_body: bool,
) -> Response<Body> {
    let etag = &release.headers.etag;
    if request.has(etag.as_bytes()) {
        let mut response = no_update();
        response.headers_mut().insert(ETAG, etag.clone());
        return response;
    }
    let range = request.range(etag.as_bytes());
    let (code, part) = match asked(range, release.size) {
        Asked::Whole => (StatusCode::OK, 0..release.size),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Unsatisfiable => return unsatisfiable(release),
    };
    let is_part = code == StatusCode::PARTIAL_CONTENT;
    let content_range = is_part.then(|| content_range(part.start, part.end - 1, release.size));
    let length = if is_part {
        HeaderValue::from(part.end - part.start)
    } else {
        release.headers.length.clone()
    };
    let body = if with_body {
        match read(images, release, part).await {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, release = release.id, "an image that is on offer cannot be read");
                return text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the image cannot be read at the moment\n",
                );
            }
        }
    } else {
        Body::Empty
    };
    let mut response = status(code, body);
    let headers = response.headers_mut();
    headers.reserve(10);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(X_MD5.clone(), release.headers.md5.clone());
    headers.insert(X_SHA256.clone(), release.headers.sha256.clone());
    headers.insert(X_VERSION.clone(), release.headers.version.clone());
    headers.insert(ETAG, release.headers.etag.clone());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The answer depends on the device, so nobody in between may give it to another one.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Some(partition) = &release.headers.partition {
        headers.insert(X_AIRLIFT_PARTITION.clone(), partition.clone());
    }
    if let Some(content_range) = content_range {
        headers.insert(CONTENT_RANGE, content_range);
    }
    response
}

async fn read(
    images: &ImageCache,
    release: &Release,
    part: std::ops::Range<u64>,
) -> Result<Body, ImageError> {
    let digest = &release.sha256;
    if !images.takes(release.size) {
        let stream = images.objects().stream(digest, part).await;
        return stream
            .map(Body::stream)
            .map_err(|error| ImageError::Store(*digest, error));
    }
    let image = match images.get(digest) {
        Some(image) => image,
        None => images.load(digest, release.size).await?,
    };
    // The digest was checked when it was loaded, so the length is right; a slice outside would be a bug, not an input.
    let bounds = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(image.len());
    Ok(Body::Full(
        image.slice(bounds(part.start)..bounds(part.end)),
    ))
}

fn unsatisfiable(release: &Release) -> Response<Body> {
    let mut response = text(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "the range lies behind the end of the image\n",
    );
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{}", release.size)) {
        headers.insert(CONTENT_RANGE, value);
    }
    headers.insert(ETAG, release.headers.etag.clone());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn content_range(first: u64, last: u64, size: u64) -> HeaderValue {
    // Digits, spaces and slashes always make a header value.
    HeaderValue::try_from(format!("bytes {first}-{last}/{size}"))
        .unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

fn text(code: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = status(code, Body::Full(bytes::Bytes::from_static(text.as_bytes())));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn status(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
}
