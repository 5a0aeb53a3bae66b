//! The existing objects among those that the target needs.

use super::target::Target;
use crate::error::Failure;
use crate::plan::{Observed, Reconciled, Seen};
use crate::resources::authority::AuthorityState;
use crate::resources::certificate::Certificate;
use crate::resources::client_ca::ClientCa;
use crate::resources::route::LiveRoute;
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef, Unreadable};

/// The target in one namespace of the gateway's proxies, and what stands there already.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub target: Target,
    pub view: View<'a>,
}

/// The existing objects, each read into its type.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The existing Secrets from which a Gateway may read its client CA instead of from the authority.
    pub client_cas: Vec<(&'a Object, ClientCa)>,
    /// The server Secret's metadata.
    pub server_secret: Option<&'a Object>,
    /// The Certificates with the expected name, of every kind.
    pub certificates: Vec<(&'a Object, Certificate)>,
    pub state: Option<(&'a Object, AuthorityState)>,
    pub route: Option<(&'a Object, LiveRoute)>,
    /// The policy that lets only the gateway call the Service, if this plugin writes it.
    pub policy: Option<&'a Object>,
    /// The host guard: the policy with the clients that may call the host.
    pub host_guard: Option<&'a Object>,
    /// The header guard: the policy that denies identity headers sent by clients.
    pub header_guard: Option<&'a Object>,
    pub virtual_services: Seen<Vec<(ObjectRef, VirtualService)>>,
    /// Whether the `VirtualService` that Kyma made for the route is deleted or changed.
    pub is_route_undone: bool,
}

impl<'a> View<'a> {
    /// The Certificate of one kind with the expected name.
    pub fn certificate(&self, kind: Kind) -> Option<&(&'a Object, Certificate)> {
        let mut certificates = self.certificates.iter();
        certificates.find(|(_, certificate)| certificate.kind == kind)
    }

    /// The Certificates that fill the server Secret.
    pub fn filling(&self, target: &Target) -> impl Iterator<Item = &(&'a Object, Certificate)> {
        let certificates = self.certificates.iter();
        certificates.filter(|(_, is)| is.secret == target.names.credential())
    }

    /// The object from which a gateway reads its client CA.
    pub fn client_ca(&self, source: &ObjectRef) -> Option<&(&'a Object, ClientCa)> {
        self.client_cas
            .iter()
            .find(|(object, _)| object.reference() == source)
    }
}

/// An existing object, read into its type; `None` also if the cluster does not serve its kind.
pub(super) fn read<'a, T>(
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
            .hint("repair the object, or move it away")
            .into()),
    }
}
