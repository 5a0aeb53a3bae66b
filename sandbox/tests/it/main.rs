//! Proof of the sandbox on its real parts. The tests share one instance, except those about starting and ending.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod access;
mod cert_manager;
mod gateway;
mod layouts;
mod lifetime;
mod loopback;
mod port_forward;
mod proxy_protocol;
mod without;

use std::sync::OnceLock;

use sandbox::{Environment, Instance};

/// The instance that ends with this test process.
fn shared() -> &'static Instance {
    static SHARED: OnceLock<Instance> = OnceLock::new();
    SHARED.get_or_init(|| Instance::start(Environment::KymaDefault).unwrap())
}
