"""A real JupyterLab on loopback and a real Chromium; without them these tests are skipped."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import pytest

# The notebook is the current one, and its kernel answers.
READY = """
    window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady
    && jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "idle"
    && jupyterapp.shell.currentWidget.sessionContext.session.kernel.connectionStatus === "connected"
"""


def find_chromium() -> str | None:
    """Path of a browser of Chromium's kind on PATH."""
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


def request(address: str, method: str = "GET"):
    """What a server answers within a minute, as data."""
    with urllib.request.urlopen(
        urllib.request.Request(address, method=method), timeout=60
    ) as answer:
        return json.loads(answer.read() or "null")


@pytest.fixture(scope="session", autouse=True)
def executable() -> str:
    """The browser. Before anything else is made: without one every test here is skipped.

    Where a browser must be there, as in .ci/run, they fail instead.
    """
    unavailable = pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip
    if find_spec("playwright") is None:
        unavailable("playwright is not installed: pip install -r tests/requirements.txt")
    found = find_chromium()
    if found is None:
        unavailable("no Chromium on this machine")
    return found


@pytest.fixture(scope="session")
def browser(executable):
    import playwright.sync_api as playwright

    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Address of a JupyterLab of its own: loopback, token, empty settings; and its folder."""
    home = tmp_path_factory.mktemp("jupyter")
    work = tmp_path_factory.mktemp("work")
    token = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {
        f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")
    } | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "w"),
    }
    for plugin, settings in {
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
        "notebook-extension/tracker": '{"windowingMode": "none"}',  # every cell is on the page
    }.items():
        file = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={token}"]
    command += ["--expose-app-in-browser", f"--ServerApp.root_dir={work}"]
    environment = os.environ | folders | {"LECTURE_NOVEL": "story", "LECTURE_STEPS": "100"}
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 180  # a machine may be busy
    while True:
        try:
            urllib.request.urlopen(f"{address}/api?token={token}", timeout=10).close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < end, (home / "log").read_text()
            time.sleep(0.1)
    yield address, token, work
    server.terminate()
    server.wait(20)


@pytest.fixture
def open_notebook(browser, lab):
    """open_notebook(cells, name) → page of a fresh notebook, kernel idle.

    `cells` are sources of code cells, or a whole notebook.
    """
    address, token, work = lab
    pages = []

    def open_cells(cells, name):
        import nbformat

        notebook = cells
        if isinstance(cells, list):
            notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, work / f"{name}.ipynb")
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        pages.append(page)
        page.goto(f"{address}/lab/workspaces/{name}/tree/{name}.ipynb?token={token}")
        page.wait_for_function(READY, timeout=60_000)
        return page

    yield open_cells
    for page in pages:
        page.close()
    for kernel in request(f"{address}/api/kernels?token={token}"):
        request(f"{address}/api/kernels/{kernel['id']}?token={token}", "DELETE")
