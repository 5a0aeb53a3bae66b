@rem kubectl asks this for completions of `kubectl mtls`
@kubectl-mtls __complete %*
