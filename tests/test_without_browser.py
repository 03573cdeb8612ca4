"""tests/browser on a machine that has no browser, or no playwright to drive one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NO_CHROMIUM = "no Chromium on this machine"
NO_PLAYWRIGHT = "playwright is not installed: pip install -r tests/requirements.txt"


@pytest.fixture(params=[NO_CHROMIUM, NO_PLAYWRIGHT])
def reason(request):
    return request.param


@pytest.fixture
def browser_tests(reason, tmp_path):
    """browser_tests(**environment) → a run of every browser test where that is so."""
    (tmp_path / "bare.py").write_text('import sys\nsys.modules["playwright"] = None\n')
    bare = ["-p", "bare"] if reason == NO_PLAYWRIGHT else []
    inherited = {name: value for name, value in os.environ.items() if name != "BROWSER_REQUIRED"}
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]

    def run(**environment):
        return subprocess.run(
            [sys.executable, "-m", "pytest", "tests/browser", "-q", "-rs", "-m", "", *bare],
            env=inherited
            | {"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}
            | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    return run


def test_every_browser_test_is_skipped_with_the_reason(browser_tests, reason):
    run = browser_tests()
    assert run.returncode == 0, run.stdout + run.stderr
    total = re.fullmatch(r"(\d+) skipped in .*", run.stdout.splitlines()[-1])
    told = re.findall(rf"^SKIPPED \[(\d+)\] .*: {re.escape(reason)}$", run.stdout, re.MULTILINE)
    assert total and sum(map(int, told)) == int(total[1]), run.stdout


def test_where_a_browser_must_be_there_the_run_fails_with_the_reason(browser_tests, reason):
    run = browser_tests(BROWSER_REQUIRED="1")
    assert run.returncode == 1
    assert f"Failed: {reason}" in run.stdout
    assert not re.search(r"\d (passed|skipped)", run.stdout)
