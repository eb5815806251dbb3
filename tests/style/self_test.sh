#!/usr/bin/env bash
# The style tests can fail: a tree with one violation of each rule, and what must be said about it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

expect() {  # expect TEST TEXT: TEST fails on the tree and says TEXT
  local output
  if output=$(python3 "$here/$1" "$tree" 2>&1); then
    echo "FAILED: $1 passed a tree that has: $2"; failures=1
  elif ! grep -qF -- "$2" <<<"$output"; then
    echo "FAILED: $1 does not say '$2' but:"; echo "$output"; failures=1
  fi
}

accept() {
  python3 "$here/$1" "$tree" || { echo "FAILED: $1 refuses a good tree"; failures=1; }
}

put() { mkdir -p "$tree/$(dirname "$1")"; printf '%b' "$2" >"$tree/$1"; }

put kernels/cpu/norm.cpp '#include <dnnl.hpp>\n#include "kernels/view.h"\n'
put src/io/checkpoint.cpp '#include <hdf5.h>\n#include "base/error.h"\nint f() {\n  return 1;\n}\n'
for check in layers.py lengths.py words.py; do accept $check; done

put src/tensor/tensor.h '#pragma once\n#include "model/layer.h"\n'
expect layers.py "src/tensor/tensor.h:2: tensor may not include model/layer.h"
put src/tensor/tensor.h '#include <mpi.h>\n'
expect layers.py "src/tensor/tensor.h:1: mpi.h"
put src/tensor/tensor.h '#include "tensor.h"\n'
expect layers.py "write the path"
put kernels/view.cpp '#include "base/error.h"\n'
expect layers.py "kernels may not include base/error.h"
rm "$tree/kernels/view.cpp" "$tree/src/tensor/tensor.h"

put src/io/long.cpp "namespace a {\nint f(int x) {\n$(printf 'x = 1 + x;  // {\\n%.0s' {1..60})return x;\n}\n}\n"
expect lengths.py "src/io/long.cpp:2: f has 63 lines"
put src/io/long.cpp "$(printf 'int a();\\n%.0s' {1..401})"
expect lengths.py "401 lines"
rm "$tree/src/io/long.cpp"

put src/io/words.cpp "// TO""DO later\n"
expect words.py "finish it"
put src/io/words.cpp 'class CheckpointManager {};\n'
expect words.py "CheckpointManager"
put src/io/words.cpp 'auto* p = new Thing();\n'
expect words.py "a unique_ptr owns"
rm "$tree/src/io/words.cpp"
put kernels/cuda/blend.cu '#include <cuda_runtime.h>\nvoid f() {\n  launch(stream, {1}, kernel, 1);  // Floor: none\n}\n'
expect words.py "kernels/cuda/blend.cu:1: Floor"

[ $failures = 0 ] && echo "the style tests catch what they should"
exit $failures
