"""The deployment files of examples/deploy, and what docs say of them."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import RawClient, run
from harness.server import REPOSITORY
from harness.watching import StatusServer

yaml = pytest.importorskip("yaml")

DEPLOY = REPOSITORY / "examples" / "deploy"
UNITS = sorted(DEPLOY.glob("app*.s*"))


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def section(unit: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit.read_text())
    return dict(parser[name])


def checks(arguments: list[str], cwd: Path) -> dict[str, str]:
    """The settings that flags come to, once this server has found nothing wrong with them."""
    ended = run("config", *arguments, env={"LOWMEM_APP": "main:app"}, cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr, ended.stderr
    return dict(re.findall(r"^([a-z-]+) = (\S+)", ended.stdout, re.MULTILINE))


def seconds(text: object) -> float:
    return float(str(text).rstrip("s"))


def stop_time(settings: dict[str, str]) -> float:
    return float(settings.get("drain-delay", "0").strip('"')) + 8


def test_the_compose_file_starts_the_server_and_gives_it_time_to_stop(tmp_path: Path) -> None:
    (compose,) = documents("compose.yaml")
    app = compose["services"]["app"]
    settings = checks(app["command"], tmp_path)
    assert seconds(app["stop_grace_period"]) > stop_time(settings)
    assert app["healthcheck"]["test"] == ["CMD", "lowmem-serve", "health"]
    known = {
        *("image", "command", "restart", "mem_limit", "stop_grace_period", "read_only", "tmpfs", "cap_drop"),
        *("security_opt", "healthcheck", "ports", "volumes", "depends_on"),
    }
    assert all(set(service) <= known for service in compose["services"].values())


def test_the_kubernetes_manifest_is_whole(tmp_path: Path) -> None:
    kinds = {document["kind"]: document for document in documents("kubernetes.yaml")}
    assert set(kinds) == {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    deployment = kinds["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    settings = checks(container["args"], tmp_path)
    assert pod["terminationGracePeriodSeconds"] > stop_time(settings)
    assert deployment["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "app"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings["port"] == str(ports["http"])
    assert settings["status-bind"].strip('"').endswith(f":{ports['status']}")
    assert kinds["Service"]["spec"]["ports"][0]["targetPort"] in ports
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {probe["path"] for probe in probes.values()} == {"/startupz", "/readyz", "/livez"}
    assert all(probe["port"] == "status" for probe in probes.values())


def test_the_probes_answer_as_the_manifest_asks(server) -> None:
    started = server("hello:app", "--status-bind", "127.0.0.1:0")
    address = StatusServer(started).address
    assert address
    with RawClient(address) as client:
        for path in ("/startupz", "/readyz", "/livez"):
            assert client.get(path).status == 200


@pytest.mark.parametrize("unit", [u for u in UNITS if u.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_starts_the_server_and_gives_it_time_to_stop(unit: Path, tmp_path: Path) -> None:
    service = section(unit, "Service")
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/bin/lowmem-serve")
    settings = checks(arguments, tmp_path)
    assert seconds(service["TimeoutStopSec"]) > stop_time(settings)
    assert service["Type"] == "notify" and service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    # The socket is in the directory that the unit makes.
    assert settings["uds"].strip('"').startswith(f"/run/{service['RuntimeDirectory']}/")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    name = unit.name.replace("@.", "@site.")
    text = re.sub(r"/srv/\S+/lowmem-serve", "/bin/true", unit.read_text())
    text = re.sub(r"WorkingDirectory=.*", "WorkingDirectory=/", text)
    (tmp_path / name).write_text(text)
    if unit.suffix == ".socket":
        (tmp_path / "app.service").write_text("[Service]\nExecStart=/bin/true\n")
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = [line for line in ended.stderr.splitlines() if str(tmp_path) in line or "Unknown" in line]
    assert not told, told
