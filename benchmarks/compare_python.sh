#!/usr/bin/env bash
# laurel against Python's diffusers + PyTorch: the same weights, threads and work, in turns.
#   benchmarks/compare_python.sh [--rounds 5] [--threads 2] [--output comparison.json]
# tools/python-reference makes the Python that is compared with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../tools/python-reference")
exec "$python" "$here/compare_python.py" "$@"
