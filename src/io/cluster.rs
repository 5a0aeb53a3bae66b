//! Requests to the API server, and the meaning of its answers.

mod listing;
mod writing;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::answer::{self, Answer};
use super::terminal;
use super::unreachable::Unreachable;
pub use writing::Outcome;

use crate::error::Failure;
use crate::plan::Seen;
use crate::resources::permissions::Access;
use crate::resources::{Object, ObjectRef};

const USER_AGENT: &str = concat!("kubectl-mtls/", env!("CARGO_PKG_VERSION"));
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
/// How often a request to a busy server is repeated, as in client-go.
const MOST_RETRIES: u32 = 10;
/// The pause before a request to a busy server is repeated, if the server does not say when; the API server always does, a proxy in front
/// may not.
const REST: Duration = Duration::from_secs(1);
/// The pause after a namespace was created: a write into a namespace that the API server's cache does not have yet waits 50 ms for it
/// (`missingNamespaceWait` of the admission plugin `NamespaceLifecycle`), while the cache needs a few.
const NAMESPACE_SETTLES: Duration = Duration::from_millis(10);
/// The `-v` level from which kubectl logs its requests.
const TELLS_REQUESTS: u8 = 6;

/// A cluster that requests can be sent to.
pub struct Cluster {
    client: Client,
    server: String,
    proxy: Option<String>,
    is_local: bool,
    namespace: String,
    request_timeout: Option<Duration>,
    verbosity: u8,
    /// The API server's time at its last answer, and how far this machine's clock was ahead of it.
    time: Mutex<Option<(OffsetDateTime, time::Duration)>>,
    too_busy: AtomicUsize,
    /// The user name that the API server sees, once it was read.
    who: Mutex<Option<Seen<String>>>,
    /// What to do about the last request that got no answer.
    advice: Mutex<Vec<String>>,
}

impl Cluster {
    pub(super) fn new(
        client: Client,
        (server, proxy): (String, Option<String>),
        is_local: bool,
        namespace: String,
        request_timeout: Option<Duration>,
        verbosity: u8,
    ) -> Self {
        Self {
            client,
            server,
            proxy,
            is_local,
            namespace,
            request_timeout,
            verbosity,
            time: Mutex::new(None),
            too_busy: AtomicUsize::new(0),
            who: Mutex::new(None),
            advice: Mutex::new(Vec::new()),
        }
    }

    /// The client underneath, for port-forward.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether the API server runs on the user's own machine.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// The namespace of `-n`, or of the context.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The API server's time as of its last answer, to the second; the local clock before the first.
    pub fn now(&self) -> OffsetDateTime {
        let known = self.time.lock().ok().and_then(|time| *time);
        known.map_or_else(super::clock::now, |(time, _)| time)
    }

    /// How far this machine's clock is ahead of the API server's; none before its first answer.
    pub fn clock_ahead(&self) -> Option<time::Duration> {
        let known = self.time.lock().ok().and_then(|time| *time);
        known.map(|(_, ahead)| ahead)
    }

    /// The user name that the API server sees.
    pub async fn who_am_i(&self) -> Result<Seen<String>, Failure> {
        let known = self.who.lock().ok().and_then(|who| who.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let review = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "SelfSubjectReview",
        });
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = self.send(Method::POST, path, JSON, Some(&review)).await?;
        let name = answer.body.pointer("/status/userInfo/username");
        let seen = match name.and_then(Value::as_str) {
            Some(name) if answer.status.is_success() => Seen::Found(name.to_owned()),
            _ => Seen::NotServed,
        };
        if let Ok(mut who) = self.who.lock() {
            *who = Some(seen.clone());
        }
        Ok(seen)
    }

    /// Reads the metadata of one object, where the user may read it.
    pub async fn get_if_allowed(
        &self,
        reference: &ObjectRef,
    ) -> Result<Seen<Vec<Object>>, Failure> {
        let access = Access {
            verb: "get".to_owned(),
            group: reference.kind.group().to_owned(),
            resource: reference.kind.plural().to_owned(),
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
        };
        let permitted = self.review(&access).await?.permitted();
        if permitted.is_some_and(|(is_allowed, _)| is_allowed) {
            return self.get(reference, true).await;
        }
        let resource = reference.kind.resource();
        Ok(Seen::Denied(format!(
            "you may not `get` `{resource}` in the namespace `{}`",
            reference.namespace
        )))
    }

    /// Whether the user may do this, and what the API server's authorizers could not evaluate.
    ///
    /// Fails if the API server does not answer such reviews, or not for this user.
    pub async fn may(&self, access: &Access) -> Result<(bool, Option<String>), Failure> {
        let answer = self.review(access).await?;
        answer.permitted().ok_or_else(|| answer.unreviewed())
    }

    async fn review(&self, access: &Access) -> Result<Answer, Failure> {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        self.send(Method::POST, path, JSON, Some(&access.review()))
            .await
    }

    /// How often the API server has refused a request so far because it was too busy.
    pub fn times_too_busy(&self) -> usize {
        self.too_busy.load(Ordering::Relaxed)
    }

    /// Reads one object, or its metadata only.
    pub async fn get(
        &self,
        reference: &ObjectRef,
        metadata_only: bool,
    ) -> Result<Seen<Vec<Object>>, Failure> {
        let accept = if metadata_only { METADATA } else { JSON };
        let path = match reference.path() {
            Ok(path) => path,
            Err(error) => return Ok(Seen::Unreadable(error.to_string())),
        };
        let answer = self.send(Method::GET, &path, accept, None).await?;
        if answer.status == StatusCode::NOT_FOUND && answer.is_about_an_object() {
            return Ok(Seen::Missing);
        }
        if let Some(seen) = answer.unseen("get", reference.kind, &reference.namespace) {
            return Ok(seen);
        }
        Ok(match Object::from_server(reference.kind, answer.body) {
            Some(object) => Seen::Found(vec![object]),
            None => Seen::Unreadable(format!(
                "the API server returned {reference} without a name"
            )),
        })
    }

    /// The answer to a request; a failure where the server does not accept the user.
    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let answer = self.exchange(method, path, accept, body).await?;
        self.authorized(answer)
    }

    /// Sends a request; a request that was refused because the server is too busy is repeated a few times after a pause.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut answer = self.send_once(method.clone(), path, accept, body).await?;
        for _ in 0..MOST_RETRIES {
            if answer.status != StatusCode::TOO_MANY_REQUESTS {
                break;
            }
            self.too_busy.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(answer.retry_after.unwrap_or(REST)).await;
            answer = self.send_once(method.clone(), path, accept, body).await?;
        }
        Ok(answer)
    }

    async fn send_once(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let content_type = if method == Method::PATCH { APPLY } else { JSON };
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(http::header::ACCEPT, accept)
            .header(http::header::CONTENT_TYPE, content_type)
            .header(http::header::USER_AGENT, USER_AGENT)
            .body(Body::from(bytes))
            .map_err(|error| {
                Failure::failed(format!("could not make a request for `{path}`")).caused_by(error)
            })?;
        let start = Instant::now();
        let exchange = async {
            let response = self.client.send(request).await?;
            let header = |name| {
                let value: &http::HeaderValue = response.headers().get(name)?;
                value.to_str().ok().map(str::to_owned)
            };
            let (date, retry) = (
                header(http::header::DATE),
                header(http::header::RETRY_AFTER),
            );
            let status = response.status();
            let bytes = response.into_body().collect_bytes().await?;
            Ok::<_, kube::Error>((status, date, retry, bytes))
        };
        let exchanged = match self.request_timeout {
            Some(limit) => match tokio::time::timeout(limit, exchange).await {
                Ok(exchanged) => exchanged.map_err(|error| self.unreachable(&error)),
                Err(_) => Err(self.silent(limit)),
            },
            None => exchange.await.map_err(|error| self.unreachable(&error)),
        };
        if self.verbosity >= TELLS_REQUESTS {
            let outcome = match &exchanged {
                Ok((status, ..)) => status.as_str().to_owned(),
                Err(_) => "failed".to_owned(),
            };
            let after = start.elapsed().as_millis();
            terminal::trace(&format!("{method} {path} {outcome} in {after} ms"));
        }
        let (status, date, retry, bytes) = exchanged?;
        if let (Some(date), Ok(mut time)) = (
            date.and_then(|date| OffsetDateTime::parse(&date, &Rfc2822).ok()),
            self.time.lock(),
        ) {
            *time = Some((date, super::clock::now() - date));
        }
        let body = answer::body(&bytes);
        let text = if body.is_null() {
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            String::new()
        };
        let retry_after = retry.and_then(|seconds| seconds.parse().ok());
        Ok(Answer {
            status,
            body,
            text,
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    fn silent(&self, limit: Duration) -> Failure {
        Failure::failed(format!("the API server `{}` did not answer within {} s", self.server, limit.as_secs_f32()))
            .hint("`--request-timeout` sets this limit; check whether the server answers: kubectl cluster-info")
    }

    /// The answer, unless the server does not accept the user: nothing that is asked after that gets another answer.
    fn authorized(&self, answer: Answer) -> Result<Answer, Failure> {
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let server = &self.server;
        let reason = answer.message();
        let failure = Failure::failed(format!(
            "the API server `{server}` does not accept your credentials: HTTP 401: {reason}"
        ));
        Err(failure.hint(
            "check the credentials: kubectl auth whoami (`--context` and `--user` select others)",
        ))
    }

    fn unreachable(&self, error: &kube::Error) -> Failure {
        let Unreachable { reason, hint } = Unreachable::because(error);
        let proxied = self.proxy.iter().map(|proxy| {
            format!("requests go through the proxy `{proxy}`, that of `HTTPS_PROXY` or of `proxy-url` in the kubeconfig")
        });
        let advice: Vec<String> = hint.into_iter().chain(proxied).collect();
        if let Ok(mut kept) = self.advice.lock() {
            kept.clone_from(&advice);
        }
        Failure::failed(format!("the API server `{}` could not be asked: {reason}", self.server))
            .hints(advice)
            .hint("check whether the server answers: kubectl cluster-info (`--context` selects another cluster)")
    }

    /// A failure of a command that goes on after failed reads, with what to do where no request was answered.
    pub fn with_advice(&self, failure: Failure) -> Failure {
        match self.advice.lock() {
            Ok(advice) if self.clock_ahead().is_none() => failure.hints(advice.iter().cloned()),
            _ => failure,
        }
    }
}
