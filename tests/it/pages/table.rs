//! The pages, and how each of their sections is run.

use Begins::{Anew, NotRun, RunBy, There};

/// A page and its sections with command lines, in their order.
pub(super) struct Page {
    pub(super) path: &'static str,
    pub(super) sections: &'static [Section],
}

/// A section of a page.
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) begins: Begins,
    /// What is run before a line, for what a reader has or does there that is no command of the page.
    pub(super) prepared: &'static [(&'static str, &'static str)],
}

/// Where a section begins.
pub(super) enum Begins {
    /// In an empty folder, where the plugin was never used.
    Anew,
    /// Where the section before it ended.
    There,
    /// Nowhere: it is not run here, for this reason.
    NotRun(&'static str),
    /// On another cluster: the test in this file runs it with `run_section`.
    RunBy(&'static str),
}

/// The page of which tests of other clusters run the sections.
pub(crate) const GATEWAYS: &str = "docs/gateways.md";

const fn section(
    heading: &'static str,
    begins: Begins,
    prepared: &'static [(&'static str, &'static str)],
) -> Section {
    Section {
        heading,
        begins,
        prepared,
    }
}

const HAND_MADE_CA: &str = "openssl req -x509 -newkey rsa:2048 -nodes -keyout cakey.pem -out cacert.pem -subj '/CN=Hand-made CA'";
const COMPANY_CA: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout company-ca.key -out company-ca.crt -subj /CN=company -addext keyUsage=critical,keyCertSign,cRLSign";
const EXPOSED: (&str, &str) = (
    "",
    "kubectl mtls expose httpbin && kubectl mtls issue-client alice",
);
const PRODUCTION: &str = "tests/it/production.rs applies and runs it";

pub(super) const PAGES: &[Page] = &[
    Page {
        path: "README.md",
        sections: &[
            section(
                "Install",
                NotRun(
                    "it needs a published release; tests/it/packaging.rs installs this build with the real krew",
                ),
                &[],
            ),
            section("Three commands", Anew, &[]),
            section("Set up once", There, &[]),
            section(
                "Try it",
                NotRun("it builds and starts a cluster of its own; .ci/run runs it"),
                &[],
            ),
            section(
                "More",
                There,
                &[(
                    "kubectl mtls expose httpbin --allow alice,bob",
                    "kubectl mtls issue-client bob",
                )],
            ),
        ],
    },
    Page {
        path: "docs/tutorial.md",
        sections: &[
            section("In short", Anew, &[]),
            section("Namespace and sidecar", There, &[]),
            section(
                "DNS account of a custom domain",
                Anew,
                &[(
                    "",
                    "echo AWS_ACCESS_KEY_ID=id > aws.env; echo AWS_SECRET_ACCESS_KEY=not-to-be-shown >> aws.env",
                )],
            ),
            section(
                "Server certificate, client CA, Gateway, APIRule",
                Anew,
                &[
                    (
                        "",
                        "kubectl delete dnsproviders,dnsentries --all && kubectl delete secret my-example-com-credentials",
                    ),
                    EXPOSED,
                ],
            ),
            section("Client certificate", There, &[]),
            section("Test", There, &[]),
            section("After the tutorial", There, &[]),
        ],
    },
    Page {
        path: "docs/clients.md",
        sections: &[section("", Anew, &[("", "kubectl mtls expose httpbin")])],
    },
    Page {
        path: "docs/troubleshooting.md",
        sections: &[
            section("First", Anew, &[EXPOSED]),
            section("The handshake fails", There, &[]),
            section(
                "403",
                There,
                &[("", "kubectl mtls expose httpbin --allow alice")],
            ),
            section("404", There, &[]),
            section("503", There, &[]),
            section("A browser does not offer a certificate", There, &[]),
            section("expose waits", There, &[]),
            section("status says \"not checked\"", There, &[]),
        ],
    },
    Page {
        path: GATEWAYS,
        sections: &[
            section(
                "Which ingress gateway a host gets",
                RunBy("tests/it/gateways.rs"),
                &[],
            ),
            section("The control plane", RunBy("tests/it/gateways.rs"), &[]),
            section(
                "Proxies in several namespaces",
                RunBy("tests/it/gateways.rs"),
                &[],
            ),
            section(
                "Server certificates",
                RunBy("tests/it/cert_manager.rs"),
                &[],
            ),
        ],
    },
    Page {
        path: "docs/rotation.md",
        sections: &[
            section(
                "The usual rotation",
                Anew,
                &[
                    EXPOSED,
                    (
                        "kubectl mtls ca-rotate --finish",
                        "kubectl mtls revoke-client --superseded --older-than 0s",
                    ),
                ],
            ),
            section("Going back", There, &[]),
            section("To a CA that you have", There, &[("", COMPANY_CA)]),
            section(
                "A gateway that was set up by hand, or by an earlier version",
                Anew,
                &[
                    ("", HAND_MADE_CA),
                    ("", "kubectl mtls expose httpbin --client-ca cacert.pem"),
                    (
                        "kubectl mtls ca-rotate --from-cert cacert.pem --from-key cakey.pem",
                        "kubectl mtls unexpose httpbin --gateway-too && kubectl -n kubectl-mtls delete configmap,secret --all && kubectl -n kubectl-mtls-clients delete configmap --all && kubectl mtls expose httpbin --client-ca cacert.pem",
                    ),
                ],
            ),
            section("When something is lost", Anew, &[EXPOSED, ("", LOST)]),
        ],
    },
    Page {
        path: "docs/production.md",
        sections: &[
            section("A client CA of your company", Anew, &[("", COMPANY_CA)]),
            section(
                "cert-manager as the client CA",
                Anew,
                &[("", COMPANY_CA), ("", CERT_MANAGER)],
            ),
            section(
                "Renewing a client inside the cluster",
                NotRun(PRODUCTION),
                &[],
            ),
            section("Checking everything each hour", NotRun(PRODUCTION), &[]),
            section("Metrics", NotRun(PRODUCTION), &[]),
            section("GitOps", NotRun(PRODUCTION), &[]),
            section("Backup and restore", NotRun(PRODUCTION), &[]),
        ],
    },
    Page {
        path: "docs/security.md",
        sections: &[section(
            "Who may do what",
            Anew,
            &[("", "kubectl mtls expose httpbin")],
        )],
    },
    Page {
        path: "docs/releasing.md",
        sections: &[
            section(
                "",
                NotRun("it builds for every platform; the release workflow runs it"),
                &[],
            ),
            section(
                "The same bytes",
                NotRun(
                    "it builds everything a second time; the release workflow does so for one platform",
                ),
                &[],
            ),
            section("Steps", NotRun("it checks a published release"), &[]),
        ],
    },
];

/// The authority is deleted.
const LOST: &str = r#"kubectl -n kubectl-mtls patch configmap kyma-mtls --type=merge -p '{"metadata":{"finalizers":null}}' && kubectl -n kubectl-mtls delete configmap kyma-mtls"#;
/// The Secret that cert-manager would have made.
const CERT_MANAGER: &str = "kubectl create namespace cert-manager; kubectl -n cert-manager create secret tls client-ca --cert company-ca.crt --key company-ca.key";

/// Pages without command lines for a reader to paste.
pub(super) const OTHER_PAGES: &[(&str, &str)] = &[
    ("docs/architecture.md", "it has none"),
    ("docs/comparison.md", "it has none"),
    (
        "docs/faults.md",
        "generated; tests/it/status/ makes the faults and runs the remedies that `status` prints",
    ),
];
