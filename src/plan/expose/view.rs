//! What stands in the cluster already of all that the target needs.

use super::target::{Target, of_target};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::authority::AuthorityState;
use crate::resources::certificate::{self, Certificate};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::route::{LiveRoute, Routing};
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef, Unreadable};

/// The existing objects, each read into its type.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// What gateways may read whom they trust from, but for the authority itself, as far as it exists.
    pub client_cas: Vec<(&'a Object, ClientCa)>,
    /// The server Secret's metadata.
    pub server_secret: Option<&'a Object>,
    pub certificate: Option<(&'a Object, Certificate)>,
    pub state: Option<(&'a Object, AuthorityState)>,
    pub route: Option<(&'a Object, LiveRoute)>,
    /// The policy that lets only the gateway call the Service, where it is ours to make.
    pub policy: Option<&'a Object>,
    /// The policy that says who may call the host.
    pub host_guard: Option<&'a Object>,
    /// The policy that keeps clients from sending identity headers.
    pub header_guard: Option<&'a Object>,
    pub virtual_services: Seen<Vec<(ObjectRef, VirtualService)>>,
}

pub(super) fn queries(target: &Target) -> Vec<Query> {
    of_target(target)
}

impl<'a> View<'a> {
    pub fn of(target: &Target, observed: &'a Observed) -> Reconciled<Self> {
        let names = &target.names;
        let mut client_cas = Vec::new();
        for source in target.client_ca_sources() {
            client_cas.extend(read(observed, &source, ClientCa::read)?);
        }
        let server_secret = client_ca::secret(names.credential());
        Ok(Self {
            client_cas,
            server_secret: observed.get_metadata(&server_secret)?,
            certificate: read(
                observed,
                &certificate::reference(&names.certificate),
                Certificate::read,
            )?,
            state: read(observed, &names.state(), AuthorityState::read)?,
            route: read(observed, &target.route(), LiveRoute::read)?,
            policy: match target.environment.routing {
                Routing::ApiRule => None,
                Routing::VirtualService => observed.get(&target.policy())?,
            },
            host_guard: observed.get(&target.host_guard())?,
            header_guard: observed.get(&target.header_guard())?,
            virtual_services: virtual_services(observed)?,
        })
    }

    /// Whether a Certificate fills the server Secret.
    pub fn fills_credential(&self, target: &Target) -> bool {
        let certificate = self.certificate.as_ref();
        certificate.is_some_and(|(_, is)| is.secret == target.names.credential())
    }

    /// What a gateway reads whom it trusts from.
    pub fn client_ca(&self, source: &ObjectRef) -> Option<&(&'a Object, ClientCa)> {
        self.client_cas
            .iter()
            .find(|(object, _)| object.reference() == source)
    }
}

fn read<'a, T>(
    observed: &'a Observed,
    reference: &ObjectRef,
    read: impl FnOnce(&Object) -> Result<T, Unreadable>,
) -> Reconciled<Option<(&'a Object, T)>> {
    let Some(object) = observed.get_if_served(reference)? else {
        return Ok(None);
    };
    match read(object) {
        Ok(value) => Ok(Some((object, value))),
        Err(error) => Err(Failure::refused(error.to_string())
            .hint("nothing was changed; repair it, or move it away")
            .into()),
    }
}

fn virtual_services(observed: &Observed) -> Reconciled<Seen<Vec<(ObjectRef, VirtualService)>>> {
    let listed = observed.try_list(&Query::everywhere(Kind::VirtualService))?;
    Ok(listed.map(|objects| {
        let readable = objects.iter().filter_map(|object| {
            let service = VirtualService::read(object).ok()?;
            Some((object.reference().clone(), service))
        });
        readable.collect()
    }))
}
