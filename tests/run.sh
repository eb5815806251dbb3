#!/usr/bin/env bash
# Sets up, builds and runs all tests: `bash tests/run.sh [ctest options]`, for instance `bash tests/run.sh -R unit`.
# In continuous integration (CI is set) warnings are errors. A test that cannot run here is shown as skipped, with a reason.
set -euo pipefail
case "${1:-}" in --help | -h) sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup.sh
# Slurm starts services when it is installed on a machine that runs systemd: only in a container or a bare machine, as root.
if [ "$(id -u)" = 0 ] && [ ! -d /run/systemd/system ] && command -v apt-get >/dev/null; then
  bash tools/setup.sh --slurm || echo "tests: without Slurm"
fi
# With a CUDA toolkit, what nvcc made of the kernels is held against their budget.
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then bash tools/setup.sh --cuda; fi
source tools/environment.sh

if [ -n "${CI:-}" ]; then werror=ON; else werror=OFF; fi
cores=$(nproc)
cmake --preset release -DCOXSWAIN_WERROR=$werror
cmake --build --preset release --parallel "$cores"
exec ctest --preset release --parallel "$cores" --timeout 600 "$@"
