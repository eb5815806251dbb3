#!/usr/bin/env bash
# tools/gpu_check.sh on two emulated GPUs, in tiny sizes: it ends with 0 and writes what it promises; it says so and ends with 4
# where there is no GPU, and with 1 where something fails.   gpu_check_test.sh BUILD FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$1 folder=$2
rm -rf "$folder"
mkdir -p "$folder"

check() {  # expected code, words...
  local code=0
  "${@:2}" >"$folder/said.txt" 2>&1 || code=$?
  [ $code = "$1" ] || { echo "code $code instead of $1:"; cat "$folder/said.txt"; exit 1; }
}
expect() { grep -qE -- "$1" "$2" || { echo "$2 lacks: $1"; cat "$2"; exit 1; }; }

export COXSWAIN_EMULATED_DEVICES=2
check 0 tools/gpu_check.sh --build "$build" --emulated --output "$folder/right"
for line in '^\| reduce \| passed' '^\| forward \| [0-9.]+ \|' '^\| backward \| [0-9.]+ \|' '^\| optimizer \| [0-9.]+ \|' \
  'cuBLASLt [0-9.]+ GFLOP/s, copy [0-9.]+ GB/s' '^\| 2 \| [0-9.]+ \| [0-9.]+ \|' 'tensor 2 x data 1: the same bytes' \
  '^\* generate: largest difference between CPU and GPU' '^\* [0-9]+ cases, [0-9]+ jobs, 0 failures' \
  '^All right'; do
  expect "$line" "$folder/right/report.md"
done
python3 - "$folder/right/report.json" <<'CHECK'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["gpus"] == 2 and report["failures"] == 0 and report["law_one"] is True, report
assert report["method"] is True, report
assert report["kernel_tests"]["passed"] == report["kernel_tests"]["all"] == 2, report
assert {"forward", "backward", "optimizer", "cublas_gflops", "copy_gbytes"} <= report["layer_2"].keys(), report
for name in ("1", "2", "1_without_graphs", "2_without_graphs"):
    assert report["decoding"][name]["tokens_per_second"] > 0, report
CHECK

COXSWAIN_EMULATED_DEVICES=0 check 4 tools/gpu_check.sh --build "$build" --emulated --output "$folder/none"
expect 'skipped: no GPU can be used here' "$folder/said.txt"

# A program that fails, and one whose numbers depend on the number of GPUs.
mkdir -p "$folder/wrong/tests"
cat >"$folder/wrong/tests/coxswain_emulated" <<PROGRAM
#!/usr/bin/env bash
case " \$* " in *benchmark*) echo "coxswain: broken on purpose"; exit 70 ;; esac
exec "$build/tests/coxswain_emulated" "\$@" --run.seed=\${OMPI_COMM_WORLD_SIZE:-1}
PROGRAM
chmod +x "$folder/wrong/tests/coxswain_emulated"
check 1 tools/gpu_check.sh --build "$folder/wrong" --emulated --output "$folder/failed"
expect 'FAILED.*: layer_2 ended with code 70: coxswain: broken on purpose' "$folder/failed/report.md"
expect 'FAILED.*: there is no kernel test' "$folder/failed/report.md"
expect 'FAILED.*: other numbers than on one GPU \(Law 1\)' "$folder/failed/report.md"
expect 'FAILED.*: the method ended with' "$folder/failed/report.md"
expect '"law_one": false.*"failures": [1-9]' "$folder/failed/report.json"
echo "gpu_check: the report is whole; no GPU, a broken program and other numbers are told"
