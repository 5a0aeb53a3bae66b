//! Names on the command line, as users type them and as `-o name` prints them.

use crate::error::Failure;
use crate::pki::names::{ClientName, Error};
use crate::resources::object_name::label;

/// What kubectl and `-o name` write before the name of a Service.
const SERVICE: [&str; 3] = ["service/", "services/", "svc/"];
const CLIENT: &str = "client/";

/// Reads the name of a client; `client/NAME`, as `-o name` prints it, is the same name.
pub(super) fn client(argument: &str) -> Result<ClientName, Error> {
    plain_client(argument).parse()
}

/// A client's name without the `client/` of `-o name`; an identity such as `spiffe://example/client/a` stays as it is.
pub(super) fn plain_client(argument: &str) -> &str {
    argument.strip_prefix(CLIENT).unwrap_or(argument)
}

/// Reads several names of clients.
pub(super) fn clients(arguments: &[String]) -> Result<Vec<ClientName>, Failure> {
    let read = |argument: &String| {
        client(argument).map_err(|error| {
            Failure::usage(format!("no client named `{}`", argument.escape_debug()))
                .caused_by(error)
        })
    };
    arguments.iter().map(read).collect()
}

/// Reads the name of a Service; `service/NAME` and `svc/NAME`, as in kubectl, are the same name.
pub(super) fn service(argument: &str) -> Result<String, String> {
    label(plain_service(argument))
}

/// A Service's name without its kind.
pub(super) fn plain_service(argument: &str) -> &str {
    let name = SERVICE.iter().find_map(|kind| argument.strip_prefix(kind));
    name.unwrap_or(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_o_name_prints_names_the_same_thing() {
        assert_eq!(client("client/alice").unwrap(), client("alice").unwrap());
        let other = "clients/alice";
        assert_eq!(client(other), Err(Error::Path(other.to_owned())));
        assert_eq!(plain_client("spiffe://a/client/b"), "spiffe://a/client/b");
        for name in ["httpbin", "service/httpbin", "svc/httpbin"] {
            assert_eq!(service(name).unwrap(), "httpbin");
        }
        let fault = service("deployment/httpbin").unwrap_err();
        assert!(fault.contains("lower-case letters, digits"), "{fault}");
    }
}
