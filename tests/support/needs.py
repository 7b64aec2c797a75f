"""Python packages that a test needs: without one it ends as skipped, and says what to install."""

import importlib
import sys

DEBIAN = {"grpc": "python3-grpcio", "google.protobuf": "python3-protobuf", "numpy": "python3-numpy"}


def needs(*modules):
    """Ends the program as a skipped test (status 77) unless each of DEBIAN's modules that are named can be imported."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            print(f"skipped: {error} (Debian: {', '.join(DEBIAN[name] for name in modules)})")
            sys.exit(77)
