"""Configuration: defaults, one TOML file, environment and flags become one immutable value."""
