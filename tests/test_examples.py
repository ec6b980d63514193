"""The notebooks run from top to bottom, show their figures, and are committed without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STEPS = "20"


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def execute(name: str, folder: Path) -> Any:
    """The notebook, executed in ``folder`` by the interpreter that runs this test."""
    notebook = read(name)
    # Without kernel folders python3 is the running interpreter, whatever kernels the user has.
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": str(folder)}})
    return client.execute()


def figures(notebook: Any) -> int:
    """How many PNG images the cells show."""
    return sum(
        len(output.get("data", {}).get("image/png", "")) > 1000
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


def printed(notebook: Any) -> str:
    return "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.ipynb")))
def test_no_outputs_are_committed(name):
    for cell in read(name).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_blobs(tmp_path, monkeypatch):
    monkeypatch.setenv("FLIPGRAD_EXAMPLE_STEPS", STEPS)
    notebook = execute("blobs", tmp_path)
    assert figures(notebook) == 6
    assert printed(notebook).count("accuracy on the target") == 3


def test_mnist(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("FLIPGRAD_EXAMPLE_STEPS", STEPS)
    monkeypatch.setenv("FLIPGRAD_DATA", str(real_data))
    notebook = execute("mnist", tmp_path)
    assert figures(notebook) == 4
    assert printed(notebook).count(", target ") == 2


def test_own_arrays(tmp_path):
    notebook = execute("own_arrays", tmp_path)
    assert figures(notebook) == 1
    assert printed(notebook).count("accuracy on the target") == 4


def test_own_folders(tmp_path):
    notebook = execute("own_folders", tmp_path)
    assert figures(notebook) == 1
    assert (tmp_path / "run" / "done").exists()
