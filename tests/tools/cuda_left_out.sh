#!/usr/bin/env bash
# A build without the CUDA toolkit: it configures and says what it leaves out, its program names the reason, and a build that
# asks for CUDA without nvcc is refused with what to do.   cuda_left_out.sh FOLDER PROGRAM
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

code=0
"$program" inputs/benchmark/small.ini --device.kind=cuda --run.directory="$folder/run" >"$folder/run.txt" 2>&1 || code=$?
[ $code = 64 ] || { echo "device.kind = cuda: code $code"; cat "$folder/run.txt"; exit 1; }
expect 'this build has no CUDA backend' "$folder/run.txt"
