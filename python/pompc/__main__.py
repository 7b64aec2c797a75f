"""An actor or evaluator of a run whose environment is written in Python: python3 -m pompc --help."""

import sys


def main() -> int:
    try:
        from pompc import program
    except ImportError as error:
        needed = (error.name or "").partition(".")[0] in ("numpy", "grpc", "google")
        hint = (" (it needs NumPy, grpcio and protobuf; Debian: python3-numpy python3-grpcio python3-protobuf)"
                if needed else "")
        sys.exit(f"pompc: {error}{hint}")
    except Exception as problem:
        sys.exit(f"pompc: {' '.join(str(problem).split())}")
    return program.main(None)


if __name__ == "__main__":
    sys.exit(main())
