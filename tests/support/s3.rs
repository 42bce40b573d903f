//! As much of S3 as a backup target needs, on loopback, objects in memory: put, get, delete and list (ListObjectsV2),
//! with pages as short as an impatient test wants. It refuses what is not signed with its key's name, and on
//! request answers some calls as an overloaded store does.

// Every test file compiles this for itself and uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The name of the one bucket.
pub const BUCKET: &str = "books";

/// The name of the key that may use it.
const ACCESS_KEY: &str = "counterfoil";

/// Objects in an answer to a list.
const PAGE: usize = 3;

type Objects = Arc<Mutex<BTreeMap<String, (Bytes, DateTime<Utc>)>>>;

/// The server; it runs as long as the test's runtime.
pub struct S3 {
    pub objects: Objects,
    /// Every so many calls one is refused; none when zero.
    pub refuse_every: Arc<AtomicU64>,
    address: SocketAddr,
}

impl S3 {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (objects, refuse_every) = (Objects::default(), Arc::new(AtomicU64::new(0)));
        let shared = (objects.clone(), refuse_every.clone(), Arc::new(AtomicU64::new(0)));
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, shared.clone()));
                    // A client that goes away is no matter of ours.
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { objects, refuse_every, address }
    }

    /// The options of a target in it.
    pub fn options(&self) -> Vec<String> {
        vec![
            format!("endpoint=http://{}", self.address),
            "allow_http=true".to_owned(),
            "region=us-east-1".to_owned(),
            format!("access_key_id={ACCESS_KEY}"),
            "secret_access_key=secret".to_owned(),
        ]
    }
}

async fn answer(
    request: Request<Incoming>,
    (objects, refuse_every, calls): (Objects, Arc<AtomicU64>, Arc<AtomicU64>),
) -> Result<Response<Full<Bytes>>, Infallible> {
    let every = refuse_every.load(Ordering::Relaxed);
    if every > 0 && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "<Error><Code>SlowDown</Code></Error>"));
    }
    let signed = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")) {
        return Ok(plain(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>"));
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let Some(key) = path.strip_prefix(BUCKET).map(|key| key.trim_start_matches('/').to_owned()) else {
        return Ok(plain(StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code></Error>"));
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().clone();
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(plain(StatusCode::BAD_REQUEST, "<Error><Code>IncompleteBody</Code></Error>")),
    };
    let mut objects = objects.lock().expect("no call panics with the lock");
    Ok(match method {
        Method::PUT => {
            objects.insert(key, (body.clone(), SystemTime::now().into()));
            with_tag(plain(StatusCode::OK, ""), &body)
        }
        Method::DELETE => {
            objects.remove(&key);
            plain(StatusCode::NO_CONTENT, "")
        }
        Method::GET if key.is_empty() => list(&objects, &query),
        Method::GET => match objects.get(&key) {
            Some((content, written)) => {
                let mut response = with_tag(Response::new(Full::from(content.clone())), content);
                let written = written.to_rfc2822().parse().expect("a date is a header's value");
                response.headers_mut().insert("last-modified", written);
                response
            }
            None => plain(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>"),
        },
        _ => plain(StatusCode::NOT_IMPLEMENTED, "<Error><Code>NotImplemented</Code></Error>"),
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

fn with_tag(mut response: Response<Full<Bytes>>, content: &Bytes) -> Response<Full<Bytes>> {
    let tag = format!("\"{:08x}\"", crc32c::crc32c(content)).parse().expect("a tag is a header's value");
    response.headers_mut().insert("etag", tag);
    response
}

/// A parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn list(objects: &BTreeMap<String, (Bytes, DateTime<Utc>)>, query: &str) -> Response<Full<Bytes>> {
    let prefix = parameter(query, "prefix").unwrap_or_default();
    let after = parameter(query, "continuation-token").unwrap_or_default();
    let mut found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>".to_owned();
    let mut last = "";
    for (key, (content, written)) in found.by_ref().take(PAGE) {
        let (written, size) = (written.to_rfc3339_opts(SecondsFormat::Millis, true), content.len());
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>{written}</LastModified><Size>{size}</Size><ETag>x</ETag></Contents>"
        );
        last = key;
    }
    if found.next().is_some() {
        let _ = write!(text, "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>");
    }
    text += "</ListBucketResult>";
    Response::new(Full::from(text))
}
