//! The DNS server: plain DNS over UDP and TCP on one address.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{
    Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode,
};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use super::zone::{Found, RecordSet, Target, Zone};

const IDLE: Duration = Duration::from_secs(5);
const BUFFER: usize = 64;
/// A chain of names may not be longer than this.
const HOPS: usize = 8;

/// The zone as controller and server share it.
#[derive(Clone, Debug)]
pub(super) struct SharedZone(Arc<RwLock<Zone>>);

impl SharedZone {
    pub(super) fn new(zone: Zone) -> Self {
        Self(Arc::new(RwLock::new(zone)))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn answer(&self, name: &str, wanted: RecordType) -> (ResponseCode, Vec<Record>) {
        answer(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
            name,
            wanted,
        )
    }
}

/// Binds the server; port 0 becomes a free port, the same for UDP and TCP.
pub(super) async fn bind(
    address: SocketAddr,
    zone: SharedZone,
) -> io::Result<(Server<Handler>, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let socket = UdpSocket::bind(bound).await?;
    let mut server = Server::new(Handler(zone));
    server.register_socket(socket);
    server.register_listener(listener, IDLE, BUFFER);
    Ok((server, bound))
}

/// Answers from the zone.
#[derive(Debug)]
pub(super) struct Handler(SharedZone);

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let records = match request.request_info() {
            Ok(info) if request.metadata.op_code == OpCode::Query => {
                let (code, records) = self
                    .0
                    .answer(&info.query.name().to_string(), info.query.query_type());
                metadata.response_code = code;
                records
            }
            _ => {
                metadata.response_code = ResponseCode::NotImp;
                Vec::new()
            }
        };
        let message = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &records,
            [],
            [],
            [],
        );
        match response.send_response(message).await {
            Ok(info) => info,
            Err(_) => ResponseInfo::from(Header {
                metadata: Metadata::new(request.metadata.id, MessageType::Response, OpCode::Query),
                counts: HeaderCounts::default(),
            }),
        }
    }
}

fn answer(zone: &Zone, name: &str, wanted: RecordType) -> (ResponseCode, Vec<Record>) {
    let mut records = Vec::new();
    let mut name = name.to_owned();
    for hop in 0..HOPS {
        let set = match zone.find(&name) {
            Found::Records(set) => set,
            Found::Nothing if hop == 0 => return (ResponseCode::NXDomain, records),
            Found::Empty | Found::Nothing => break,
        };
        records.extend(
            set.targets
                .iter()
                .filter_map(|target| record(&name, set, target))
                .filter(|record| {
                    [wanted, RecordType::CNAME].contains(&record.record_type())
                        || wanted == RecordType::ANY
                }),
        );
        match set.targets.as_slice() {
            [Target::Host(next)] if wanted != RecordType::CNAME => name.clone_from(next),
            _ => break,
        }
    }
    (ResponseCode::NoError, records)
}

fn record(name: &str, set: &RecordSet, target: &Target) -> Option<Record> {
    let data = match target {
        Target::Address(std::net::IpAddr::V4(address)) => RData::A(A(*address)),
        Target::Address(std::net::IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
        Target::Host(host) => RData::CNAME(CNAME(fully_qualified(host)?)),
        Target::Text(text) => RData::TXT(TXT::new(vec![text.clone()])),
    };
    Some(Record::from_rdata(fully_qualified(name)?, set.ttl, data))
}

fn fully_qualified(name: &str) -> Option<Name> {
    let mut name = Name::from_utf8(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::resources::ObjectKey;

    #[test]
    fn a_host_name_as_target_is_followed_within_the_zone() {
        let set = |name: &str, target| RecordSet {
            name: name.into(),
            ttl: 60,
            targets: vec![target],
        };
        let mut zone = Zone::new(set(
            "lb.example.com",
            Target::Address([127, 0, 0, 1].into()),
        ));
        zone.publish(
            ObjectKey::new("a", "b"),
            set("*.example.org", Target::Host("lb.example.com".into())),
        );
        let (code, records) = answer(&zone, "orders.example.org.", RecordType::A);
        let kinds: Vec<RecordType> = records.iter().map(Record::record_type).collect();
        assert_eq!(
            (code, kinds),
            (
                ResponseCode::NoError,
                vec![RecordType::CNAME, RecordType::A]
            )
        );
        assert_eq!(
            answer(&zone, "lb.example.com", RecordType::AAAA),
            (ResponseCode::NoError, vec![])
        );
        assert_eq!(
            answer(&zone, "nowhere.example.net", RecordType::A).0,
            ResponseCode::NXDomain
        );
    }
}
