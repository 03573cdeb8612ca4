"""The settings of Jupyter that come into the environment with the package."""

import subprocess
import sys

import nbformat

CODE = """
from ipykernel.kernelapp import IPKernelApp
print("encrypted:", IPKernelApp.instance().curve_secretkey is not None)
"""


def test_a_kernel_starts_encrypted_and_without_a_warning(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    nbformat.write(notebook, tmp_path / "one.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    run = subprocess.run(
        [*command, "one.ipynb"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr, "is the package installed? pip install -e ."
    told = nbformat.read(tmp_path / "one.ipynb", as_version=4).cells[0].outputs[0].text
    assert told == "encrypted: True\n"
