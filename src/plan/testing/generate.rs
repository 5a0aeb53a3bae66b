//! Keys and certificates that the cluster in memory generates.

use std::sync::Arc;

use super::Cluster;
use crate::pki::authority::{Authority, CaRequest};
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf;
use crate::pki::names::Subject;
use crate::pki::server::ServerIdentity;
use crate::plan::{ClientKey, Generate, Generated, Identity, NewLeaf, SigningRequest, identity};

impl Cluster {
    pub(super) fn generate(&mut self, wanted: Generate) -> Generated {
        match wanted {
            Generate::Authority(new) => {
                let ca = match new.subject {
                    Some(subject) => self.ca_of(subject, new.ttl),
                    None => self.ca_for(&new.name, new.ttl),
                };
                Generated::Authority(Arc::new(ca))
            }
            Generate::Given(given) => Generated::Authority(given),
            Generate::Leaf(new) => Generated::Leaf(self.leaf(&new)),
            Generate::SigningRequest(request, key) => {
                let made = SigningRequest::of(&request, private(&key));
                Generated::SigningRequest(made.unwrap())
            }
            Generate::Canaries(canaries) => {
                let made = canaries.into_iter();
                Generated::Canaries(made.map(|(label, new)| (label, self.leaf(&new))).collect())
            }
            Generate::Stranger(label) => {
                let unknown = Arc::new(self.ca("unknown"));
                let new = identity::canary("unknown", &unknown, self.now).unwrap();
                Generated::Canaries(vec![(label, self.leaf(&new.unwrap()))])
            }
            Generate::ServerAuthority(name) => {
                Generated::ServerAuthority(self.ca(&format!("{name} server CA")))
            }
            Generate::KeylessAuthority => {
                Generated::KeylessAuthority(self.ca("nobody").certificate().clone())
            }
            Generate::Server { authority, host } => {
                self.random += 1;
                let random = [self.random; 20];
                let identity = ServerIdentity::generate(&authority, &host, self.now, random);
                Generated::Server(identity.unwrap())
            }
        }
    }

    /// A CA of a subject that no other one has.
    pub fn ca(&mut self, name: &str) -> Authority {
        self.ca_for(name, time::Duration::days(1825))
    }

    fn ca_for(&mut self, name: &str, ttl: time::Duration) -> Authority {
        let subject = format!("CN={name} {}", self.random + 1);
        self.ca_of(subject.parse().unwrap(), ttl)
    }

    fn ca_of(&mut self, subject: Subject, ttl: time::Duration) -> Authority {
        self.random += 1;
        let request = CaRequest {
            subject,
            ttl,
            key_type: KeyType::P256,
        };
        Authority::generate(&request, self.now, [self.random; 20]).unwrap()
    }

    fn leaf(&mut self, new: &NewLeaf) -> Identity {
        self.random += 1;
        let key = private(&new.key);
        let serial = [self.random; 20];
        let public = key.public_key_der();
        let certificate = leaf::issue(&new.authority, &new.request, public, self.now, serial);
        Identity {
            certificate: certificate.unwrap(),
            key: Some(key),
        }
    }
}

fn private(key: &ClientKey) -> Arc<PrivateKey> {
    match key {
        ClientKey::New(key_type) => Arc::new(PrivateKey::generate(*key_type).unwrap()),
        ClientKey::Given(key) => key.clone(),
        ClientKey::Elsewhere(_) => panic!("the key is elsewhere"),
    }
}
