//! `--header`: no client chooses what the route says of its certificate.

use super::*;
use crate::resources::names::route;
use crate::resources::{Kind, ObjectRef};

/// A name with this many separators.
fn name(separators: usize) -> String {
    format!("x{}", "-a".repeat(separators))
}

fn with_header(request: &Request, name: &str) -> Request {
    let value = "%DOWNSTREAM_PEER_DNS_SAN%".to_owned();
    let mut request = request.clone();
    request.route.headers = [(name.to_owned(), value)].into();
    request
}

#[test]
fn a_header_with_too_many_spellings_is_refused_on_either_kind_of_route() {
    for (mut cluster, request, host) in both() {
        let failure = cluster.run(&with_header(&request, &name(7))).unwrap_err();
        let says = format!("the header `{}` has more than 6 `-` and `_`", name(7));
        assert!(failure.to_string().contains(&says), "{failure}");
        assert_eq!(failure.exit().code(), 2);
        assert_eq!(cluster.writes, Vec::<String>::new());
        run(&mut cluster, &with_header(&request, &name(6)), &host);
    }
}

/// The route of a cluster without Kyma, with a header that an earlier version wrote.
#[test]
fn a_header_that_stands_on_a_route_is_kept_and_told() {
    let (mut cluster, request) = (Cluster::plain(), plain_request());
    run(&mut cluster, &with_header(&request, &name(1)), HOST);
    let reference = ObjectRef::new(Kind::VirtualService, "shop", route("httpbin"));
    let written = cluster.objects[&reference].clone();
    let mut spec = written.at(&["spec"]).unwrap().clone();
    let headers = &mut spec["http"][0]["headers"]["request"];
    let set = headers["set"].as_object_mut().unwrap();
    let value = set.remove(&name(1)).unwrap();
    // So many that their spellings would not fit into memory.
    set.insert(name(60), value);
    cluster.put(&written.with("spec", spec));
    for request in [request.clone(), with_header(&request, &name(60))] {
        let report = run(&mut cluster, &request, HOST);
        let says = format!("clients can send the header `{}`", name(60));
        let told = report.notes.iter().filter(|note| note.contains(&says));
        assert_eq!(told.count(), 1, "{:#?}", report.notes);
        let set = cluster.objects[&reference].at(&["spec", "http"]).unwrap();
        let set = &set[0]["headers"]["request"]["set"];
        assert!(set.get(name(60)).is_some(), "{set}");
    }
    let failure = cluster.run(&with_header(&request, &name(8))).unwrap_err();
    assert!(failure.to_string().contains(&name(8)), "{failure}");
}
