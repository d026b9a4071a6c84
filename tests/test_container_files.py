"""The Dockerfile and what goes to its builder, without an engine; `make docker-test` builds and runs the images."""

import json
import re
import subprocess

import pytest

from harness import command_line
from harness.server import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", "")


def test_what_the_example_imports_is_compiled_while_root_can_write_it() -> None:
    _, _, example = DOCKERFILE.partition(" AS example")
    assert re.search(
        r"^USER root$.*^RUN python -c 'import app'$.*^USER app$", example, re.MULTILINE | re.DOTALL
    )


def test_what_is_copied_from_the_tree_goes_to_the_builder() -> None:
    sent = {
        line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert {"examples/requirements.txt", "examples/quart_app"} <= {*copied}
    assert {path.rstrip("/") for path in copied} - {"."} <= sent
    missing = [path for path in sent if "*" not in path and not (REPOSITORY / path).exists()]
    assert missing == []


def test_a_tree_that_was_sent_has_all_that_the_wheel_is_built_of() -> None:
    """What MANIFEST.in puts into the source distribution is what the builder needs, too."""
    sent = {
        line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    needed = {
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "pyproject.toml",
        "src",
        "crates",
        "benches/micro",
        "python",
        ".cargo",
    }
    assert needed <= sent


@pytest.mark.skipif(len(command_line()) != 1, reason="the server under test is no single executable")
def test_the_health_check_is_a_command_of_the_server() -> None:
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(check)
    assert program == "lowmem-serve"
    ended = subprocess.run([*command_line(), *arguments, "--help"], capture_output=True)
    assert ended.returncode == 0
