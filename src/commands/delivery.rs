//! How a certificate reaches its client: the folder, the forms of its files, the password that guards them, and the order in
//! which nothing is lost. `issue-client` and `renew-client` share it.

mod contents;
mod folder;
mod form;
mod keystore;
mod order;
mod writing;

pub(super) use folder::{Folder, check_out, hinted};
pub(super) use form::{FormFlags, Forms};
pub(super) use keystore::KeystoreFlags;
pub(super) use order::Order;
