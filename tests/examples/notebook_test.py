#!/usr/bin/env python3
"""examples/notebook.ipynb runs from its first cell to its last.
Usage: notebook_test.py FOLDER_OF_BINARIES"""

import contextlib
import importlib.util
import os
import pathlib
import signal
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MISSING = [name for name in ("nbclient", "ipykernel", "matplotlib", "pandas", "grpc", "google.protobuf", "numpy")
           if importlib.util.find_spec(name.partition(".")[0]) is None]
if MISSING:
    print(f"skipped: {', '.join(MISSING)} not installed (pip install nbclient ipykernel matplotlib pandas ./python)")
    sys.exit(77)

import nbformat
from nbclient import NotebookClient

BINARIES = pathlib.Path()
SECONDS = 600


def end_started(folder):
    """Where a cell failed, what it started still runs: the processes whose TMPDIR is the test's own folder."""
    for environment in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


class NotebookTest(unittest.TestCase):
    def test_every_cell_runs_and_shows_what_it_should(self):
        notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
        self.assertEqual([cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs], [],
                         "outputs are not committed")
        before = dict(os.environ)
        self.addCleanup(os.environ.update, before)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.environ.update(POMPC_BIN_DIR=str(BINARIES), NOTEBOOK_ROWS="2500", TMPDIR=folder.name,
                          PYTHONPATH=os.pathsep.join([str(ROOT / "python"), before.get("PYTHONPATH", "")]))
        client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3",
                                resources={"metadata": {"path": str(ROOT / "examples")}})
        try:
            client.execute()
        finally:
            end_started(folder.name)
        text = "\n".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code"
                         for output in cell.outputs)
        for words in ("TRAINING", "'observations': (256, 4, 5)", "the best return was", "a plan took", "the policy's actions"):
            self.assertIn(words, text)
        self.assertIn("image/png", notebook.cells[-1].outputs[-1].data)


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
