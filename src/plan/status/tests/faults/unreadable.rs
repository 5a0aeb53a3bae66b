//! Objects that cannot be understood.

use super::*;

const WARNING: Severity = Severity::Warning;

#[test]
fn a_gateway_of_somebody_else_that_cannot_be_read() {
    for mut cluster in both() {
        let name = GatewayName::new("team", "odd").reference();
        add(
            &mut cluster,
            &Object::new(name).with("spec", json!({"servers": "none"})),
        );
        let finding = only(&mut cluster, "gateway/unreadable", WARNING);
        assert!(finding.seen.contains("team/odd"), "{}", finding.seen);
    }
}

#[test]
fn a_route_of_somebody_else_that_cannot_be_read() {
    for mut cluster in both() {
        for kind in [Kind::ApiRule, Kind::VirtualService] {
            if cluster.unserved.contains(&kind) {
                continue;
            }
            let name = ObjectRef::new(kind, "team", "odd");
            let odd = Object::new(name).with("spec", json!({"hosts": "none"}));
            // No controller of its kind would have taken it.
            cluster.controllers.routes = false;
            add(&mut cluster, &odd);
            let finding = only(&mut cluster, "route/unreadable", WARNING);
            assert!(finding.seen.contains("team/odd"), "{}", finding.seen);
            remove(&mut cluster, odd.reference());
        }
    }
}

#[test]
fn a_service_that_cannot_be_read() {
    for mut cluster in both() {
        let name = ObjectRef::new(Kind::Service, "shop", "httpbin");
        cluster.controllers.routes = false;
        edit(&mut cluster, &name, |spec| spec["ports"] = "none".into());
        let finding = only(&mut cluster, "service/unreadable", WARNING);
        assert!(finding.seen.contains("shop/httpbin"), "{}", finding.seen);
    }
}
