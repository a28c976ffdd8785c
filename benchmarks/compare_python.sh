#!/bin/bash
# laurel against Python's diffusers + PyTorch: the same weights, threads and work, in turns.
#   benchmarks/compare_python.sh [--rounds 5] [--threads 2] [--output comparison.json]
# Makes a virtual environment of its own from PyPI (several GB, once); LAUREL_PYTHON=<python> takes another one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=${LAUREL_PYTHON:-}
if [ -z "$python" ]; then
  venv=${LAUREL_VENV:-$root/.deps/compare-venv}
  python=$venv/bin/python
  if ! [ -x "$python" ] || ! "$python" -c 'import diffusers, peft, torch, transformers' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q torch==2.11.0 diffusers==0.42.1 transformers==5.23.0 peft==0.21.0 accelerate safetensors
  fi
fi
exec "$python" "$here/compare_python.py" "$@"
