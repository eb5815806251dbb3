#!/usr/bin/env bash
# Which GPU a rank takes, on emulated ones: its number on the node where all are visible, the only one where the launcher shows
# each rank its own, and an error where a rank has none.   gpu_binding_test.sh PROGRAM FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
program=$1 folder=$2
source tools/environment.sh
rm -rf "$folder"
mkdir -p "$folder"
keys=(tests/slurm/train.ini --device.kind=cuda --run.steps=1 --model.layers=1 --model.hidden=16 --model.context=16
  --batch.length=16 --checkpoint.at_end=no)

expect() {  # name, code, GPUs, mpirun's words
  local code=0
  COXSWAIN_EMULATED_DEVICES=$3 mpirun "${@:4}" >"$folder/$1.txt" 2>&1 || code=$?
  [ $code = "$2" ] || { echo "$1: code $code instead of $2"; cat "$folder/$1.txt"; exit 1; }
  echo "$1: code $code"
}

rank=("$program" "${keys[@]}")
expect all_visible 0 2 -np 2 "${rank[@]}" "--run.directory=$folder/all"
expect too_few 64 1 -np 2 "${rank[@]}" "--run.directory=$folder/few"
grep -q 'its node has 1 GPU' "$folder/too_few.txt"
expect each_its_own 0 1 -np 1 -x CUDA_VISIBLE_DEVICES=4 "${rank[@]}" "--run.directory=$folder/own" : \
  -np 1 -x CUDA_VISIBLE_DEVICES=5 "${rank[@]}" "--run.directory=$folder/own"
expect hidden_by_slurm 0 1 -np 2 -x CUDA_VISIBLE_DEVICES=0 -x SLURM_GPUS_PER_TASK=1 "${rank[@]}" \
  "--run.directory=$folder/hidden"
