"""The packages that `auto` stands for, with the evidence in docs/lazy-imports.md."""

# Their own test suites pass with all their top-level imports deferred (scripts/lazy-proof.sh).
PACKAGES = frozenset(
    (
        "blinker",
        "click",
        "flask",
        "h11",
        "h2",
        "hpack",
        "hypercorn",
        "itsdangerous",
        "jinja2",
        "markupsafe",
        "quart",
        "starlette",
        "werkzeug",
        "wsproto",
    )
)

# Modules of them that stay as they are, with the reason.
EAGER_MODULES: dict[str, str] = {}

# Guarded imports that cannot fail: if the extension is there, the module that needs it is.
PRESENT: dict[str, frozenset[str]] = {}
