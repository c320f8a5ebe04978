"""The demo's objects and data, and how it fails. That it works is shown by `make demo ONESHOT=1` itself, in CI too."""
