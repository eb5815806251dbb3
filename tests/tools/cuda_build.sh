#!/usr/bin/env bash
# cuda_build.sh build FOLDER [RELEASE]  compiles the CUDA backend and what calls it as preset `cuda` does, and links a test for
#                                       a GPU; what does not see CUDA is taken from RELEASE, a build of preset `release`
# cuda_build.sh budget FOLDER           holds the kernels against kernels/cuda/budget.json
# For one architecture, sm_90a; COXSWAIN_FULL=1 takes all that the preset has (the other two take a minute of one core each).
# 4: skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$2

if ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
  echo "skipped: no CUDA compiler (nvcc) in PATH or /usr/local/cuda: the CUDA kernels were not compiled for a GPU"
  exit 4
fi
case $1 in
  build)
    architectures=90a launcher=${CMAKE_CXX_COMPILER_LAUNCHER:-}
    [ -n "${3:-}" ] && launcher="bash;$PWD/tests/tools/compiled_already.sh;$3"
    [ -n "${COXSWAIN_FULL:-}" ] && architectures='80;90a;100' launcher=
    cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCOXSWAIN_CUDA=ON -DCOXSWAIN_WERROR=ON \
      "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher" "-DCMAKE_CUDA_ARCHITECTURES=$architectures" >"$folder.log" 2>&1 ||
      { cat "$folder.log"; exit 1; }
    cmake --build "$folder" --parallel 2 --target coxswain_parallel cuda_agreement_test
    # It starts on a machine without a driver and says so: neither that nor CUDA's run-time library is linked.
    if ldd "$folder/tests/cuda_agreement_test" | grep -E 'libcuda(rt)?\.so|not found'; then exit 1; fi
    ended=0
    "$folder/tests/cuda_agreement_test" --gtest_brief=1 || ended=$?
    [ $ended = 0 ] || [ $ended = 4 ] || exit 1  # where the machine has a GPU, why not
    ;;
  budget) python3 -B tools/kernel_report "$folder" --check ;;
esac
