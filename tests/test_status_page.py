"""The page of the status server in a real browser, with one application and with 25.

With LOWMEM_SCREENSHOTS=DIRECTORY the screens are kept there; docs/status.png is one of them.
"""

import os
import shutil
import signal
from pathlib import Path

import pytest

from harness.devtools import Page, browser
from harness.watching import StatusServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "a-token-of-this-test-long-enough"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
    pytest.mark.timeout(300),
]


def keep(page: Page, directory: Path, name: str) -> None:
    wanted = Path(os.environ.get("LOWMEM_SCREENSHOTS", directory))
    page.screenshot(wanted / f"{name}.png")
    assert (wanted / f"{name}.png").stat().st_size > 5_000


def url(status: StatusServer) -> str:
    assert status.address
    return "http://{}:{}/".format(*status.address)


def text(selector: str) -> str:
    return f"document.querySelector({selector!r}).innerText"


def fits(page: Page) -> bool:
    """Whether nothing but what scrolls by itself is wider than the screen."""
    return bool(page.run("document.documentElement.scrollWidth <= window.innerWidth"))


def test_one_application_is_shown_as_it_is_now(server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    started = server(
        *("hello:app", "--workers", "2", "--status-bind", "127.0.0.1:0"),
        *("--status-control", str(tmp_path / "token"), "--state-dir", str(tmp_path / "state")),
        *("--job", 'tidy=["true"] every 6h'),
    )
    started.stderr.wait_for_line("Application startup complete", times=2)
    for _ in range(20):
        started.get("/")
    assert CHROMIUM
    with browser(CHROMIUM, tmp_path / "profile", url(StatusServer(started))) as page:
        page.screen(1100, 1000)
        page.until("document.querySelectorAll('#workers tr').length == 4")
        page.until(f"{text('#cards')}.includes('20')")
        assert "hello:app" in page.run(text("#workers"))
        page.until("document.querySelectorAll('#memory path').length == 2")
        assert "tidy" in page.run(text("#jobs"))
        page.until("!document.querySelector('#control').hidden")
        # What happens is seen without a reload.
        started.send_signal(signal.SIGHUP)
        started.stderr.wait_for_line("Recycled worker", 60, times=2)
        page.until(f"{text('#marks')}.includes('Recycled worker')")
        keep(page, tmp_path, "status")
        # A button with the token does what it says.
        page.run(f"sessionStorage.token = {TOKEN!r}; document.querySelector('[data-order=recycle]').click()")
        started.stderr.wait_for_line("Recycled worker", 60, times=4)
        assert page.until(f"{text('#told')} == 'done'")
        light = page.run("getComputedStyle(document.body).backgroundColor")
        page.screen(360, 740, dark=True, mobile=True)
        assert page.run("getComputedStyle(document.body).backgroundColor") != light
        assert fits(page)
        keep(page, tmp_path, "status-phone")
        assert started.terminate() == 0
        # The page says so when it is left alone.
        page.until("!document.querySelector('#off').hidden")
        unexpected = [each for each in page.wrong if "ERR_" not in each]
        assert not unexpected


def test_twenty_five_applications_are_shown_and_told(serve_all, machine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    names = [f"app{number:02}" for number in range(25)]
    settings = f'status-bind = "127.0.0.1:0"\nstatus-control = "{tmp_path / "token"}"'
    started = serve_all(settings, *names, more='share = "off"')
    status = StatusServer(started)
    for name in names:
        machine.get(name)
    assert CHROMIUM
    with browser(CHROMIUM, tmp_path / "profile", url(status)) as page:
        page.screen(1100, 1400)
        page.until("document.querySelectorAll('#workers tr').length == 51")
        page.until("document.querySelectorAll('#workers .serving').length == 25")
        assert page.run("document.querySelector('#scale').hidden")
        page.until("document.querySelectorAll('#memory path').length == 25")
        keep(page, tmp_path, "status-fleet")
        stop = "document.querySelector('[data-order=\"apps/app07/stop\"]')"
        page.run(f"sessionStorage.token = {TOKEN!r}; {stop}.click()")
        page.until("document.querySelectorAll('#workers .stopped').length == 1")
        page.until("!!document.querySelector('[data-order=\"apps/app07/start\"]')")
        page.screen(360, 740, mobile=True)
        assert fits(page)
        assert not page.wrong
