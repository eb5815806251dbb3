#!/usr/bin/env bash
# A build without the CUDA toolkit: it configures and says what it leaves out, its program names the reason, and a build that
# asks for CUDA without nvcc is refused with what to do. The same of NCCL in a build with the toolkit, where there is one.
# cuda_left_out.sh FOLDER PROGRAM
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$1 program=$2
rm -rf "$folder"
mkdir -p "$folder"

expect() {  # text file
  grep -qF -- "$1" "$2" || { echo "expected: $1"; cat "$2"; exit 1; }
  echo "said: $(grep -F -- "$1" "$2" | head -n 1)"
}

without_cuda() { env PATH=/usr/bin:/bin CUDACXX= cmake -S . -B "$folder/$1" -G Ninja "${@:2}" >"$folder/$1.txt" 2>&1; }

without_cuda plain -DCOXSWAIN_TESTS=OFF
expect 'Without the CUDA backend: device.kind = cuda will be refused' "$folder/plain.txt"
! grep -q 'kernels/cuda/.*\.cu\b' "$folder/plain/build.ninja" || { echo "a CUDA source is built without the toolkit"; exit 1; }
if without_cuda asked -DCOXSWAIN_TESTS=OFF -DCOXSWAIN_CUDA=ON -DCMAKE_CUDA_COMPILER=/nowhere/nvcc; then
  echo "a build that asks for CUDA without nvcc is not refused"
  exit 1
fi
expect 'CUDA compiler (nvcc) is missing' "$folder/asked.txt"

if [ -x /usr/local/cuda/bin/nvcc ]; then
  without_cuda no_nccl -DCOXSWAIN_TESTS=OFF -DCOXSWAIN_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90a -DNCCL__nccl_INCLUDE_DIR= ||
    { cat "$folder/no_nccl.txt"; exit 1; }
  expect 'Without NCCL: between GPUs tensors travel through memory of the host' "$folder/no_nccl.txt"
  grep -q 'src/parallel/nccl_left_out.cpp' "$folder/no_nccl/build.ninja" || { echo "nothing stands in for NCCL"; exit 1; }
  ! grep -q 'nccl_channel\|libnccl' "$folder/no_nccl/build.ninja" || { echo "a source wants NCCL without it"; exit 1; }
fi

code=0
"$program" inputs/benchmark/small.ini --check --device.communication=nccl >"$folder/nccl.txt" 2>&1 || code=$?
[ $code = 64 ] || { echo "device.communication = nccl: code $code"; cat "$folder/nccl.txt"; exit 1; }
expect 'this build has no NCCL; use staged or auto' "$folder/nccl.txt"
code=0
"$program" inputs/benchmark/small.ini --device.kind=cuda --run.directory="$folder/run" >"$folder/run.txt" 2>&1 || code=$?
[ $code = 64 ] || { echo "device.kind = cuda: code $code"; cat "$folder/run.txt"; exit 1; }
expect 'this build has no CUDA backend' "$folder/run.txt"
