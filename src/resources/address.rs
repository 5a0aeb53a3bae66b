//! Addresses `HOST[:PORT]`, as flags give them.

use std::net::Ipv6Addr;

/// The address with its port, or the default one. A bare IPv6 address gets brackets.
pub fn with_port(address: &str, default: u16) -> String {
    if let Ok(bare) = address.parse::<Ipv6Addr>() {
        return format!("[{bare}]:{default}");
    }
    let port = address.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok()) {
        return address.to_owned();
    }
    format!("{address}:{default}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_port_or_gets_the_default_one() {
        assert_eq!(with_port("gw.example.com", 443), "gw.example.com:443");
        assert_eq!(with_port("127.0.0.1:8443", 443), "127.0.0.1:8443");
        assert_eq!(with_port("::1", 443), "[::1]:443");
        assert_eq!(with_port("[::1]:8443", 443), "[::1]:8443");
        assert_eq!(with_port("[::1]", 443), "[::1]:443");
    }
}
