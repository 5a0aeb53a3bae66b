//! A door in front of the API server that counts requests, lets one of them go wrong, or lets only a few in at a time.
//!
//! It shows what becomes of a program that is killed after any single request, or whose request fails: see [`Fault`]; and
//! how it treats a server that is too busy: see [`Interceptor::set_room`].
//! Port-forward does not go through it: it answers that with 403, as a cluster does that does not permit it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::instance::{CONTEXT, Instance};
use crate::{Error, Result};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server does it, and the answer never arrives: [`Interceptor::is_holding`] tells when to kill the program.
    Hold,
    /// The API server does it, and the answer arrives only after [`Interceptor::release`].
    Pause,
    /// The API server never sees it; this status is the answer.
    Answer(u16),
    /// The API server never sees it; a page in HTML with status 200 is the answer, as of a login or of a proxy.
    Page,
    /// The API server never sees it; the connection breaks.
    Drop,
}

/// A door in front of an instance's API server.
pub struct Interceptor {
    state: Arc<State>,
    kubeconfig: PathBuf,
    balancer: String,
    runtime: Option<tokio::runtime::Runtime>,
}

/// Which request goes wrong.
enum Moment {
    /// The n-th one.
    Number(u32),
    /// The first write, dry runs left out, whose path has this in it.
    Write(String),
    /// The first read whose path or query has this in it.
    Read(String),
}

impl Moment {
    fn is_it(&self, number: u32, request: &Request<Incoming>) -> bool {
        match self {
            Self::Number(planned) => *planned == number,
            Self::Write(part) => {
                let is_dry_run = request.uri().query().unwrap_or_default().contains("dryRun");
                let is_write = request.method() != hyper::Method::GET && !is_dry_run;
                is_write && request.uri().path().contains(part.as_str())
            }
            Self::Read(part) => {
                let is_read = request.method() == hyper::Method::GET;
                is_read && request.uri().to_string().contains(part.as_str())
            }
        }
    }
}

struct State {
    plan: Mutex<Option<(Moment, Fault)>>,
    seen: AtomicU32,
    holding: AtomicBool,
    released: tokio::sync::Notify,
    clock_ahead: AtomicI64,
    room: AtomicU32,
    under_way: AtomicU32,
    refused: AtomicU32,
    lines: Mutex<Vec<String>>,
}

impl Interceptor {
    /// Opens a door; its kubeconfig is written into `folder`.
    pub fn open(instance: &Instance, folder: &Path) -> Result<Self> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| Error::Io { what, source }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(io("start the interceptor"))?;
        let state = Arc::new(State {
            plan: Mutex::new(None),
            seen: AtomicU32::new(0),
            holding: AtomicBool::new(false),
            released: tokio::sync::Notify::new(),
            clock_ahead: AtomicI64::new(0),
            room: AtomicU32::new(u32::MAX),
            under_way: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            lines: Mutex::new(Vec::new()),
        });
        let address = runtime.block_on(listen(instance, state.clone()))?;
        let kubeconfig = folder.join("intercepted.kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_for(address).to_string())
            .map_err(io("write the interceptor's kubeconfig"))?;
        Ok(Self {
            state,
            kubeconfig,
            balancer: instance.connect_to().to_owned(),
            runtime: Some(runtime),
        })
    }

    /// The kubeconfig of the administrator who comes through this door.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The variables that lead the plugin through this door, and to the gateway's load balancer.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("KUBECTL_MTLS_CONNECT_TO", self.balancer.clone()),
        ]
    }

    /// Counts anew, and lets the n-th request (from 1) go wrong.
    pub fn plan(&self, number: u32, fault: Fault) {
        self.begin(Moment::Number(number), fault);
    }

    /// Counts anew, and lets the first write go wrong whose path has this in it; dry runs are none.
    pub fn plan_write(&self, part_of_path: &str, fault: Fault) {
        self.begin(Moment::Write(part_of_path.to_owned()), fault);
    }

    /// Counts anew, and lets the first read go wrong whose path or query has this in it.
    pub fn plan_read(&self, part_of_uri: &str, fault: Fault) {
        self.begin(Moment::Read(part_of_uri.to_owned()), fault);
    }

    fn begin(&self, moment: Moment, fault: Fault) {
        *self
            .state
            .plan
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some((moment, fault));
        self.state.seen.store(0, Ordering::SeqCst);
        self.state
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clear();
        self.state.holding.store(false, Ordering::SeqCst);
    }

    /// Counts anew, and lets everything through.
    pub fn let_through(&self) {
        self.plan(u32::MAX, Fault::Drop);
    }

    /// Lets the API server's clock be this many seconds ahead of its own, as the `Date` of its answers tells.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.state.clock_ahead.store(seconds, Ordering::SeqCst);
    }

    /// Lets so many requests in at a time and answers the others that the API server is too busy, as it does itself with more
    /// than `--max-requests-inflight`; `None` lets all in.
    pub fn set_room(&self, most: Option<u32>) {
        self.state
            .room
            .store(most.unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    /// How many requests were answered so.
    pub fn refused(&self) -> u32 {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// How many requests came since the last plan.
    pub fn seen(&self) -> u32 {
        self.state.seen.load(Ordering::SeqCst)
    }

    /// Lets the answer that is held back by [`Fault::Pause`] arrive.
    pub fn release(&self) {
        self.state.released.notify_one();
    }

    /// `METHOD PATH` of each of them, in order; with ` as metadata` where nothing else of the objects was asked for.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.state.lines.lock();
        lines
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Whether the planned request was done and its answer is being held back.
    pub fn is_holding(&self) -> bool {
        self.state.holding.load(Ordering::SeqCst)
    }
}

fn line(request: &Request<Incoming>) -> String {
    let accepted = request.headers().get(hyper::header::ACCEPT);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let is_metadata = accepted.is_some_and(|text| text.contains("as=PartialObjectMetadata"));
    let suffix = if is_metadata { " as metadata" } else { "" };
    format!("{} {}{suffix}", request.method(), request.uri().path())
}

impl Drop for Interceptor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn kubeconfig_for(address: SocketAddr) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": "intercepted", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "intercepted", "user": {}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": "intercepted", "user": "intercepted"}}],
    })
}

async fn listen(instance: &Instance, state: Arc<State>) -> Result<SocketAddr> {
    let io = |source| Error::Io {
        what: "listen for intercepted requests".to_owned(),
        source,
    };
    let client = instance.client()?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (client, state) = (client.clone(), state.clone());
            let service = service_fn(move |request| pass(client.clone(), state.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

type Answer = std::result::Result<Response<Full<Bytes>>, std::io::Error>;

async fn pass(client: kube::Client, state: Arc<State>, request: Request<Incoming>) -> Answer {
    if request.uri().path().ends_with("/portforward") {
        return Ok(answer(
            403,
            "User \"intercepted\" cannot get resource \"pods/portforward\"",
        ));
    }
    let number = state.seen.fetch_add(1, Ordering::SeqCst) + 1;
    state
        .lines
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .push(line(&request));
    let fault = {
        let mut plan = state
            .plan
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        plan.take_if(|(moment, _)| moment.is_it(number, &request))
            .map(|(_, fault)| fault)
    };
    match fault {
        Some(Fault::Answer(status)) => return Ok(answer(status, "intercepted")),
        Some(Fault::Page) => return Ok(page()),
        Some(Fault::Drop) => return Err(std::io::Error::other("intercepted")),
        Some(Fault::Hold | Fault::Pause) | None => {}
    }
    let Some(place) = Place::take(&state) else {
        state.refused.fetch_add(1, Ordering::SeqCst);
        return Ok(too_busy());
    };
    let mut response = forward(client, request).await;
    drop(place);
    let ahead = state.clock_ahead.load(Ordering::SeqCst);
    if let (Ok(response), true) = (&mut response, ahead != 0) {
        shift_date(response, ahead);
    }
    if fault == Some(Fault::Hold) {
        state.holding.store(true, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
    if fault == Some(Fault::Pause) {
        state.holding.store(true, Ordering::SeqCst);
        state.released.notified().await;
    }
    response
}

/// The place of a request that is under way.
struct Place<'a>(&'a State);

impl<'a> Place<'a> {
    fn take(state: &'a State) -> Option<Self> {
        let place = Self(state);
        let taken = state.under_way.fetch_add(1, Ordering::SeqCst);
        (taken < state.room.load(Ordering::SeqCst)).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

fn too_busy() -> Response<Full<Bytes>> {
    let mut response = answer(429, "too many requests, please try again later");
    let second = http::HeaderValue::from_static("1");
    response
        .headers_mut()
        .insert(http::header::RETRY_AFTER, second);
    response
}

fn page() -> Response<Full<Bytes>> {
    let page = "<!DOCTYPE html><html><body>Sign in</body></html>";
    let mut response = Response::new(Full::new(Bytes::from_static(page.as_bytes())));
    let html = http::HeaderValue::from_static("text/html");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, html);
    response
}

fn shift_date(response: &mut Response<Full<Bytes>>, seconds: i64) {
    let date = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    // RFC 9110, 5.6.7; hyper leaves a `Date` alone that is there.
    let form = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = date.format(&form).ok();
    if let Some(date) = date.and_then(|date| http::HeaderValue::from_str(&date).ok()) {
        response.headers_mut().insert(http::header::DATE, date);
    }
}

async fn forward(client: kube::Client, request: Request<Incoming>) -> Answer {
    let (mut parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    // The client behind has a connection and an identity of its own.
    for header in [
        http::header::HOST,
        http::header::CONNECTION,
        http::header::AUTHORIZATION,
        http::header::CONTENT_LENGTH,
    ] {
        parts.headers.remove(header);
    }
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let response = client.send(request).await.map_err(std::io::Error::other)?;
    let (mut parts, body) = response.into_parts();
    let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
    for header in [
        http::header::TRANSFER_ENCODING,
        http::header::CONTENT_LENGTH,
        http::header::CONTENT_ENCODING,
    ] {
        parts.headers.remove(header);
    }
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// A Status, as the API server answers failures.
fn answer(status: u16, message: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": message,
    });
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}
