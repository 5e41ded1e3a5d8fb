"""The gRPC frontend: `plugin` has the hooks, `frontend` serves, `client` is for programs that call a host."""
