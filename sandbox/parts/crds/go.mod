// Only downloaded, never built: the CRDs lie in these modules, and go.sum pins them. Those of Istio and of the Kubernetes Gateway API
// lie in modules of istiod.
module kubectl-mtls/sandbox/crds

go 1.26.0

require (
	github.com/gardener/cert-management v0.27.0
	github.com/gardener/external-dns-management v0.49.0
)
