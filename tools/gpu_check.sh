#!/usr/bin/env bash
# Checks this machine's GPUs in one command: all kernel tests against the CPU, GPT-3 175B's layer beside its floors, decoding
# at batch 1 to 64, a small training run that must leave the same bytes on one GPU and on all, and the method from pre-training
# to PPO-ptx against the CPU and on grids of up to eight ranks, which share GPUs where there are fewer (needs python3). Writes
# report.md and report.json, and ends with 0 (all right), 1 (something failed) or 4 (skipped: no GPU can be used here).
#   tools/gpu_check.sh [--output DIR]                   in the repository: builds preset `cuda` first
#   tools/gpu_check.sh --build DIR [--output DIR]       with what is built in DIR
#   share/coxswain/tools/gpu_check.sh                   in a bundle (COXSWAIN_BUNDLE), on a machine with only the driver
# --emulated runs tiny sizes on the emulated GPU of a build of preset `release`: a test of this script, of no GPU.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
usage() { sed -n '2,10s/^# \{0,1\}//p' "tools/gpu_check.sh"; }
build='' output=runs/gpu_check emulated=''
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$(cd "$2" && pwd); shift ;;
    --output) output=$2; shift ;;
    --emulated) emulated=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
  esac
  shift
done
mkdir -p "$output"
output=$(cd "$output" && pwd)
source tools/environment.sh
failures=0 fields=()

count_gpus() {
  if [ -n "$emulated" ]; then echo "${COXSWAIN_EMULATED_DEVICES:-2}"; return; fi
  if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then echo "$CUDA_VISIBLE_DEVICES" | tr , '\n' | grep -c .; return; fi
  { nvidia-smi -L 2>/dev/null || true; } | grep -c '^GPU' || true
}

# In a bundle the scripts in bin tell programs and Open MPI where their parts are; the tests need libraries only.
use_bundle() {
  local bundle
  bundle=$(cd "$root/../.." && pwd)
  program=$bundle/bin/coxswain tests=$bundle/libexec/coxswain
  [ -z "$emulated" ] || program=$bundle/bin/coxswain_emulated
  export PATH=$bundle/bin:$PATH LD_LIBRARY_PATH=$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

find_programs() {
  kind=$([ -n "$emulated" ] && echo emulated || echo cuda)
  if [ -z "$build" ] && [ ! -f CMakeLists.txt ]; then
    use_bundle
  else
    if [ -z "$build" ]; then
      build=$root/build/cuda
      cmake --preset cuda >"$output/build.txt" && cmake --build --preset cuda --parallel >>"$output/build.txt"
    fi
    program=$build/coxswain tests=$build/tests
    [ -z "$emulated" ] || program=$tests/coxswain_emulated
  fi
  [ -x "$program" ] || { echo "gpu_check: there is no program $program" >&2; exit 64; }
}

say() { printf '%s\n' "$@" | tee -a "$output/report.md"; }
field() { fields+=("\"$1\": $2"); }  # of the JSON
text() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\\"\n')"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
fail() { failures=$((failures + 1)); say "**FAILED**: $1"; }

# run NAME RANKS DECK KEYS...: the program on so many GPUs; its output in NAME.txt, its run directory is NAME
run() {
  local name=$1 ranks=$2 deck=$3 code=0 launch=()
  shift 3
  [ "$ranks" = 1 ] || launch=(mpirun -np "$ranks")
  rm -rf "${output:?}/$name"
  "${launch[@]}" "$program" "$deck" --device.kind=cuda "--run.directory=$output/$name" "$@" >"$output/$name.txt" 2>&1 || code=$?
  [ $code = 0 ] && return 0
  fail "$name ended with code $code: $(grep -m 1 '^coxswain: ' "$output/$name.txt" ||
    tail -n 3 "$output/$name.txt" | tr '\n' ' ')"
  return 1
}

kernel_tests() {
  local test name code start passed=0 all=0 rows=()
  say '' '## Kernel tests against the CPU' ''
  say '| test | result | seconds |' && say '|---|---|--:|'
  for test in "$tests/${kind}"_*_test; do
    name=$(basename "$test" _test) code=0 start=$(now)
    [ -z "$emulated" ] || case $name in emulated_reduce | emulated_rotary) ;; *) continue ;; esac
    "$test" --gtest_brief=1 >"$output/$name.txt" 2>&1 || code=$?
    all=$((all + 1))
    if [ $code = 0 ]; then passed=$((passed + 1)); else fail "$name: code $code, see $name.txt"; fi
    say "| ${name#*_} | $([ $code = 0 ] && echo passed || echo "failed ($code)") | $(since "$start") |"
    rows+=("\"${name#*_}\": $([ $code = 0 ] && echo true || echo false)")
  done
  [ $all -gt 0 ] || fail "there is no kernel test in $tests"
  field kernel_tests "{\"passed\": $passed, \"all\": $all, \"tests\": {$(IFS=,; echo "${rows[*]}")}}"
}

# Sums of the benchmark's table by part of a step, as Markdown, and the table itself.
parts_of_step() {
  awk '
    /floors measured in this run/ {
      for (i = 1; i < NF; ++i) { if ($i == "GEMM") gemm = $(i + 1); if ($i == "copy") copy = $(i + 1) }
    }
    $1 == "operation" { inside = 1; next }
    $1 == "all" { inside = 0 }
    inside && NF == 8 {
      part = $1 ~ /gradient/ ? "backward" : $1 ~ /adamw|sum_of_squares|blend/ ? "optimizer" : \
             $1 ~ /upload|download|copy|fill|^add$/ ? "other" : "forward"
      ms[part] += $3; work[part] += $3 * $5; floor[part] += $7
    }
    END {
      n = split("forward backward optimizer other", order, " ")
      for (i = 1; i <= n; ++i) {
        p = order[i]
        if (ms[p] > 0) printf "%s %.3f %.3f %.3f %.1f\n", p, ms[p], work[p] / ms[p] / 1000, floor[p], 100 * floor[p] / ms[p]
      }
      printf "floors %.1f %.1f\n", gemm, copy
    }' "$1"
}

layer_benchmark() {
  local ranks=$1 name=layer_$1 part ms rate floor share rows=() keys=("--grid.tensor=$1")
  [ -z "$emulated" ] || keys+=(--model.preset=custom --model.hidden=64 --model.heads=8 --model.vocabulary=96 --model.context=32
    --batch.length=32 --run.steps=3)
  say '' "## GPT-3 175B's layer with embedding and head, one sequence of 2048 tokens, BF16, on $ranks GPU(s)" ''
  run "$name" "$ranks" inputs/benchmark/gpt3_175b_layer.ini "${keys[@]}" || return 0
  say '| part | ms | TFLOP/s | floor, ms | share of the floor |' && say '|---|--:|--:|--:|--:|'
  while read -r part ms rate floor share; do
    if [ "$part" = floors ]; then
      copy_rate=$rate
      say '' "Floors measured in this run: cuBLASLt $ms GFLOP/s, copy $rate GB/s."
      rows+=("\"cublas_gflops\": $ms" "\"copy_gbytes\": $rate")
    else
      say "| $part | $ms | $rate | $floor | $share % |"
      rows+=("\"$part\": {\"ms\": $ms, \"tflops\": $rate, \"floor_ms\": $floor, \"share\": $share}")
    fi
  done < <(parts_of_step "$output/$name.txt")
  [ ${#rows[@]} -gt 2 ] || fail "$name: no table in its output"
  say '' '```' && sed -n '/floors measured in this run/,$p' "$output/$name.txt" | tee -a "$output/report.md" && say '```'
  field "$name" "{$(IFS=,; echo "${rows[*]}")}"
}

decoding() {
  local slots name graphs seconds rate share weights rows=() keys=() batches='1 2 4 8 16 32 64'
  local deck=inputs/benchmark/gpt3_6.7b_generate.ini
  if [ -n "$emulated" ]; then
    batches='1 2' keys=(--model.preset=custom --model.layers=1 --model.hidden=32 --model.heads=2 --model.vocabulary=64
      --model.context=16 --batch.length=16 --generate.synthetic_prompts=2 --generate.synthetic_prompt_tokens=8
      --generate.min_new_tokens=8 --generate.max_new_tokens=8)
  fi
  weights=$("$program" "$deck" --check "${keys[@]}" 2>&1 |
    awk '/^Parameters/ { gsub("[()]", ""); print 2 * $3; exit }') || weights=0
  say '' "## Decoding, GPT-3 6.7B in BF16 on one GPU, steps kept as CUDA graphs but for the last rows" ''
  say '| responses at once | seconds | new tokens/s | share of reading the weights once a token |' && say '|--:|--:|--:|--:|'
  for name in $batches 1_without_graphs "${batches##* }_without_graphs"; do
    slots=${name%%_*} graphs=yes
    [ "$name" = "$slots" ] || graphs=no
    [ -n "$emulated" ] || keys=("--generate.synthetic_prompts=$slots")
    run "decode_$name" 1 "$deck" "${keys[@]}" "--generate.slots=$slots" "--device.graphs=$graphs" || continue
    read -r seconds rate < <(decode_rate "$output/decode_$name")
    share=$(awk -v r="$rate" -v s="$slots" -v w="${weights:-0}" -v c="${copy_rate:-0}" \
      'BEGIN { printf "%.1f", (c > 0 ? 100 * (r / s) * w / (c * 1e9) : 0) }')
    say "| ${name//_/ } | $seconds | $rate | $share % |"
    rows+=("\"$name\": {\"seconds\": $seconds, \"tokens_per_second\": $rate, \"share\": $share}")
  done
  field decoding "{$(IFS=,; echo "${rows[*]}")}"
}

decode_rate() {  # seconds and tokens a second of a run's steps
  awk '{ match($0, /"seconds":[ ]*[0-9.e+-]+/); seconds += substr($0, RSTART + 10, RLENGTH - 10)
         match($0, /"tokens_per_second":[ ]*[0-9.e+-]+/); rate = substr($0, RSTART + 20, RLENGTH - 20) }
       END { printf "%.3f %.1f\n", seconds, rate }' "$1/timing.jsonl"
}

# The same run on one GPU and on the largest power of two of them: the same bytes.
law_one() {
  local gpus=$1 ranks=1 tensor=1 keys
  while [ $((ranks * 2)) -le "$gpus" ] && [ $ranks -lt 8 ]; do ranks=$((ranks * 2)); done
  [ $ranks = 1 ] || tensor=2
  keys=("--data.source=$output/tiny.h5" "--data.validation=" --run.validate_every=0 --checkpoint.every=0
    --checkpoint.at_end=no)
  if [ -n "$emulated" ]; then
    keys+=(--run.steps=2 --model.layers=1 --model.hidden=32 --batch.global=4 --batch.micro=1 --batch.length=16)
  else
    keys+=(--run.steps=20)
  fi
  say '' '## A small training run, and Law 1' ''
  "$program" inputs/tiny/tokenize.ini --device.kind=cpu "--data.output=$output/tiny.h5" \
    "--data.validation=$output/tiny_held.h5" "--run.directory=$output/tokenize" >"$output/tokenize.txt" 2>&1 ||
    { fail 'tokenize, see tokenize.txt'; return 0; }
  run tiny_1 1 inputs/tiny/pretrain.ini "${keys[@]}" || return 0
  say "One GPU: $(wc -l <"$output/tiny_1/metrics.jsonl") steps, the last: \`$(tail -n 1 "$output/tiny_1/metrics.jsonl")\`"
  if [ $ranks = 1 ]; then
    run tiny_again 1 inputs/tiny/pretrain.ini "${keys[@]}" || return 0
    compare tiny_again 'One GPU, once more'
    return 0
  fi
  keys+=("--grid.tensor=$tensor" "--grid.data=$((ranks / tensor))")
  run "tiny_$ranks" $ranks inputs/tiny/pretrain.ini "${keys[@]}" || return 0
  compare "tiny_$ranks" "$ranks GPUs, tensor $tensor x data $((ranks / tensor))"
}

compare() {
  if cmp -s "$output/tiny_1/metrics.jsonl" "$output/$1/metrics.jsonl"; then
    say "$2: the same bytes." && field law_one true
  else
    fail "$2: other numbers than on one GPU (Law 1)" && field law_one false
  fi
}

the_method() {
  local code=0 words=() real=$gpus
  [ -z "$emulated" ] || words=(generate) real=0
  say '' '## The method: against the CPU, and Law 1 on grids of up to eight ranks' ''
  if ! command -v python3 >/dev/null; then
    say 'Left out: there is no python3.'
    return 0
  fi
  COXSWAIN_GPUS=$real python3 -B tests/emulation/phases_test.py "$program" mpirun "$output" "${words[@]}" \
    >"$output/method.txt" 2>&1 || code=$?
  grep -E 'largest difference|cases' "$output/method.txt" | sed 's/^ */* /' | tee -a "$output/report.md"
  if [ $code = 0 ]; then field method true; else fail "the method ended with $code, see method.txt" && field method false; fi
}

: >"$output/report.md"
gpus=$(count_gpus)
if [ "${gpus:-0}" = 0 ]; then
  echo "gpu_check: skipped: no GPU can be used here (nvidia-smi lists none)"
  exit 4
fi
find_programs
names=emulated
[ -n "$emulated" ] ||
  names=$({ nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || echo 'no nvidia-smi'; } 2>/dev/null |
    sort | uniq -c | tr -s ' \n' ' ')
say "# GPU check" '' "$("$program" --version 2>&1 | head -n 1), $gpus GPU(s): $names, $(date -u +%Y-%m-%dT%H:%MZ)"
field machine "$(text "$names")"
field gpus "$gpus"
kernel_tests
copy_rate=0
[ -n "$emulated" ] || layer_benchmark 1
if [ "$gpus" -ge 2 ]; then
  tensor=2
  while [ $((tensor * 2)) -le "$gpus" ] && [ $tensor -lt 8 ]; do tensor=$((tensor * 2)); done
  layer_benchmark $tensor
fi
decoding
law_one "$gpus"
the_method
field failures $failures
printf '{%s}\n' "$(IFS=,; echo "${fields[*]}")" >"$output/report.json"
say '' "$([ $failures = 0 ] && echo 'All right.' || echo "$failures failures.") Written: $output/report.md, report.json"
[ $failures = 0 ] || exit 1
