#!/usr/bin/env bash
# Every script that a user starts says how with --help, ends with 0 and begins no work. On a copy without a program, where work
# would fail.   help_test.sh FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rm -rf "$1"
mkdir -p "$1/tests"
cp -r jobs tools "$1"
cp tests/run.sh "$1/tests"
cd "$1"
count=0
for script in jobs/*.sh jobs/slurm/*.sh tools/*.sh tools/*.py tests/run.sh; do
  case $script in tools/environment.sh | tools/miniature_results.py) continue ;; esac  # parts of others
  case $script in *.py) program=python3 ;; *) program=bash ;; esac
  code=0
  said=$("$program" "$script" --help 2>said.txt </dev/null) || code=$?
  if [ $code != 0 ] || [ -s said.txt ] || ! grep -q "$(basename "$script")" <<<"$said"; then
    echo "$script --help: code $code"; printf '%s\n' "$said"; cat said.txt
    exit 1
  fi
  count=$((count + 1))
done
[ "$(ls)" = "$(printf 'jobs\nsaid.txt\ntests\ntools')" ] || { echo "work has begun:"; ls; exit 1; }

code=0
said=$(python3 tools/hh_table.py nowhere 2>&1) || code=$?
[ $code = 1 ] && [[ $said = "hh_table: nowhere/"*"give the folder of a finished"* ]] ||
  { echo "hh_table.py: $code $said"; exit 1; }
code=0
said=$(bash jobs/miniature.sh 1 two 2>&1) || code=$?
[ $code = 64 ] && [[ $said = *"two is no seed"* ]] || { echo "miniature.sh: $code $said"; exit 1; }

# The key in either form takes the place of the job script's own.
echo 'echo "$*"' >jobs/slurm/pretrain.sbatch
for words in --device.kind=cpu '--device.kind cpu' --device.kind=cuda; do
  said=$(bash jobs/slurm/gpu.sbatch deck.ini ${words#--device.kind=cuda})
  [ "$said" = "deck.ini $words" ] || { echo "gpu.sbatch with $words: $said"; exit 1; }
done
echo "$count scripts say how they are used"
