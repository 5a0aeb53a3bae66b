//! Clients of every kind that call the Envoys all the time, while somebody rotates: each answer is judged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::caller::Caller;
use crate::instance::{Instance, Replica};
use crate::{Error, Result};

/// A handshake that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Around the end of a certificate either answer is right, in seconds.
const FUZZ: u64 = 2;
/// Wrong answers that are kept to be shown.
const MOST_SHOWN: usize = 20;

/// How a client must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// With HTTP 200.
    In,
    /// With a TLS alert.
    Out,
    /// Either way, because it is being changed right now.
    Either,
}

/// Clients with one certificate, or with none.
pub struct Class {
    name: &'static str,
    config: Arc<ClientConfig>,
    expected: AtomicU8,
    /// The end of its certificate, seconds since 1970.
    ends: u64,
    calls: AtomicU64,
}

impl Class {
    fn expected(&self) -> Expected {
        let now = seconds_since_1970();
        let said = match self.expected.load(Ordering::SeqCst) {
            0 => Expected::In,
            1 => Expected::Out,
            _ => Expected::Either,
        };
        match said {
            Expected::In if now > self.ends + FUZZ => Expected::Out,
            Expected::In if now + FUZZ >= self.ends => Expected::Either,
            said => said,
        }
    }

    /// From now on they must be answered so.
    pub fn expect(&self, expected: Expected) {
        let said = match expected {
            Expected::In => 0,
            Expected::Out => 1,
            Expected::Either => 2,
        };
        self.expected.store(said, Ordering::SeqCst);
    }
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    classes: Mutex<Vec<Arc<Class>>>,
    replicas: Mutex<Vec<String>>,
    host: String,
    stop: AtomicBool,
    next: AtomicU64,
    wrong: Mutex<Vec<String>>,
    wrongs: AtomicU64,
    started: Instant,
    /// Calls per second that are aimed at.
    rate: f64,
}

/// The clients.
pub struct Load {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
}

/// What came of it.
#[derive(Debug)]
pub struct Tally {
    /// Calls of each class.
    pub calls: BTreeMap<&'static str, u64>,
    /// All calls.
    pub total: u64,
    /// How long it went on.
    pub seconds: f64,
    /// The first wrong answers.
    pub wrong: Vec<String>,
    /// How many there were.
    pub wrongs: u64,
}

impl Tally {
    /// Calls per second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of seconds' calls")]
        let total = self.total as f64;
        total / self.seconds
    }
}

impl Load {
    /// Starts to call a host at every replica that the instance's gateways have now, in turn, so many times a second.
    pub fn start(instance: &Instance, host: &str, rate: f64, at_once: usize) -> Result<Self> {
        Self::start_at(&instance.all_replicas(), host, rate, at_once)
    }

    /// Starts to call a host at these replicas in turn, so many times a second.
    pub fn start_at(replicas: &[Replica], host: &str, rate: f64, at_once: usize) -> Result<Self> {
        let replicas = replicas.iter();
        let replicas = replicas.map(|replica| replica.tls().to_string()).collect();
        let shared = Arc::new(Shared {
            classes: Mutex::default(),
            replicas: Mutex::new(replicas),
            host: host.to_owned(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            wrong: Mutex::default(),
            wrongs: AtomicU64::new(0),
            started: Instant::now(),
            rate,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| Error::Io {
                what: "start the load".to_owned(),
                source,
            })?;
        for _ in 0..at_once {
            runtime.spawn(worker(shared.clone()));
        }
        Ok(Self { shared, runtime })
    }

    /// Adds clients that are like this caller; `ends`: the end of its certificate, seconds since 1970.
    pub fn add(
        &self,
        name: &'static str,
        caller: &Caller,
        ends: Option<u64>,
        expected: Expected,
    ) -> Result<Arc<Class>> {
        let mut config = caller.config()?;
        // Every call is a whole handshake.
        config.resumption = Resumption::disabled();
        let class = Arc::new(Class {
            name,
            config: Arc::new(config),
            expected: AtomicU8::new(0),
            ends: ends.unwrap_or(u64::MAX - FUZZ),
            calls: AtomicU64::new(0),
        });
        class.expect(expected);
        lock(&self.shared.classes).push(class.clone());
        Ok(class)
    }

    /// Calls this replica, too.
    pub fn add_replica(&self, replica: &Replica) {
        lock(&self.shared.replicas).push(replica.tls().to_string());
    }

    /// Begins no further calls to this replica.
    pub fn remove_replica(&self, replica: &Replica) {
        let address = replica.tls().to_string();
        lock(&self.shared.replicas).retain(|other| *other != address);
    }

    /// Wrong answers so far.
    pub fn wrongs(&self) -> u64 {
        self.shared.wrongs.load(Ordering::SeqCst)
    }

    /// The first of them.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.shared.wrong).clone()
    }

    /// Ends it.
    pub fn end(self) -> Tally {
        self.shared.stop.store(true, Ordering::SeqCst);
        let seconds = self.shared.started.elapsed().as_secs_f64();
        self.runtime.shutdown_timeout(PATIENCE);
        let classes = lock(&self.shared.classes);
        let calls: BTreeMap<&str, u64> = classes
            .iter()
            .map(|class| (class.name, class.calls.load(Ordering::SeqCst)))
            .collect();
        Tally {
            total: calls.values().sum(),
            calls,
            seconds,
            wrong: std::mem::take(&mut *lock(&self.shared.wrong)),
            wrongs: self.shared.wrongs.load(Ordering::SeqCst),
        }
    }
}

async fn worker(shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::SeqCst) {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        #[expect(clippy::cast_precision_loss, reason = "a count of seconds' calls")]
        let due = Duration::from_secs_f64(number as f64 / shared.rate);
        if let Some(early) = due.checked_sub(shared.started.elapsed()) {
            tokio::time::sleep(early).await;
        }
        let number = usize::try_from(number).unwrap_or_default();
        let class = {
            let classes = lock(&shared.classes);
            match classes.len() {
                0 => continue,
                len => classes[number % len].clone(),
            }
        };
        let replica = {
            let replicas = lock(&shared.replicas);
            match replicas.len() {
                0 => continue,
                len => replicas[(number / 7) % len].clone(),
            }
        };
        let before = class.expected();
        let answer =
            tokio::time::timeout(PATIENCE, call(&class.config, &replica, &shared.host)).await;
        let after = class.expected();
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        class.calls.fetch_add(1, Ordering::SeqCst);
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if !is_right(&answer, before) && !is_right(&answer, after) {
            shared.wrongs.fetch_add(1, Ordering::SeqCst);
            let mut wrong = lock(&shared.wrong);
            if wrong.len() < MOST_SHOWN {
                wrong.push(format!(
                    "{:.2} s: `{}` at {replica}, expected {before:?}: {answer:?}",
                    shared.started.elapsed().as_secs_f64(),
                    class.name
                ));
            }
        }
    }
}

/// `Ok` with the HTTP status or the alert; `Err` for what is neither, which is never right.
type Answer = std::result::Result<std::result::Result<u16, String>, String>;

fn is_right(answer: &Answer, expected: Expected) -> bool {
    matches!(
        (answer, expected),
        (Ok(Ok(200)), Expected::In | Expected::Either)
            | (Ok(Err(_)), Expected::Out | Expected::Either)
    )
}

async fn call(config: &Arc<ClientConfig>, replica: &str, host: &str) -> Answer {
    let exchange = async {
        let stream = TcpStream::connect(replica).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let mut stream = TlsConnector::from(config.clone())
            .connect(name, stream)
            .await?;
        let request = format!("GET /headers HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer[..read]).into_owned())
    };
    match exchange.await {
        Ok(line) => line
            .split_whitespace()
            .nth(1)
            .and_then(|status| status.parse().ok())
            .map(Ok)
            .ok_or_else(|| format!("no HTTP: {line:?}")),
        Err(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            match inner {
                Some(rustls::Error::AlertReceived(alert)) => Ok(Err(format!("{alert:?}"))),
                _ => Err(error.to_string()),
            }
        }
    }
}
