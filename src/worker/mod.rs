//! One CPython: the HTTP server, the ASGI protocols, and the seam to the bridge.
