"""Adds to the package what is made of the repository's proto/ when it is built: the messages' descriptions, which the
package reads at run time, and their types for type checkers. No generated code is committed, and none in the package
belongs to one version of protobuf or grpcio."""

import importlib.util
import pathlib

import setuptools
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent


def add_messages(folder):
    """Into the package at `folder`; a source distribution has them already, and no proto/ beside it."""
    spec = importlib.util.spec_from_file_location("describe", HERE / "pompc" / "describe.py")
    describe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(describe)
    if (HERE.parent / "proto").is_dir():
        describe.write(HERE.parent, pathlib.Path(folder))


class BuildWithMessages(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:  # in a checkout the package reads proto/ itself
            add_messages(pathlib.Path(self.build_lib) / "pompc")


class SourcesWithMessages(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        add_messages(pathlib.Path(base_dir) / "pompc")


setuptools.setup(cmdclass={"build_py": BuildWithMessages, "sdist": SourcesWithMessages})
