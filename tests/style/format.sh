#!/usr/bin/env bash
# clang-format 14 agrees with every C++ file. Other versions format differently, so without it the test is skipped (4).
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/../..}"
format=$(command -v clang-format-14) || { echo "skipped: clang-format-14 is not installed (tools/setup.sh)"; exit 4; }
find kernels src tests \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 -r -P 2 -n 20 "$format" --dry-run --Werror --style=file
echo "clang-format agrees"
