# shellcheck shell=bash disable=SC2154
# The cases of requeue_test.sh, which sources this file.

# A run that nothing disturbs; it also says how long a step takes here.
job=$(submit undisturbed pretrain.sbatch 40)
wait_end "$job" 120
expect_run "$job" undisturbed 40 1
steps_a_minute=$(python3 - "$work/undisturbed/timing.jsonl" <<'PYTHON'
import json, statistics, sys
seconds = statistics.median(json.loads(line)["seconds"] for line in open(sys.argv[1]))
print(max(20, int(60 / seconds)))
PYTHON
)
echo "$steps_a_minute steps a minute"
short=$((steps_a_minute / 5 > 60 ? steps_a_minute / 5 : 60))   # about twelve seconds

# What is refused is a failed job with the program's code, and is not tried again.
job=$(submit refused pretrain.sbatch 40 -- --run.stepz=1)
wait_end "$job" 60
expect_code "$job" refused FAILED 64

# USR1 to all ranks, and to the shell in front of mpirun.
srun_job=$(submit usr1_srun pretrain.sbatch $short)
wait_lines usr1_srun 5
scancel --signal=USR1 "$srun_job"
wait_end "$srun_job" 120
expect_run "$srun_job" usr1_srun $short 2
expect_saved "$srun_job" usr1_srun
job=$(submit usr1_mpirun pretrain_mpirun.sbatch $short)
wait_lines usr1_mpirun 5
scancel --batch --signal=USR1 "$job"
wait_end "$job" 120
expect_run "$job" usr1_mpirun $short 2
expect_saved "$job" usr1_mpirun

# A job in a partition of higher priority takes both nodes.
for launcher in srun mpirun; do
  script=pretrain.sbatch
  [ $launcher = mpirun ] && script=pretrain_mpirun.sbatch
  job=$(submit preempted_$launcher $script $short)
  wait_lines preempted_$launcher 5
  urgent=$(sbatch --parsable --partition=urgent --nodes=2 --exclusive --output=/dev/null --wrap "sleep 2")
  wait_end "$urgent" 90
  wait_end "$job" 120
  expect_code "$urgent" urgent COMPLETED 0
  expect_run "$job" preempted_$launcher $short 2
done
grep -q "ended with 75" "$work/preempted_srun.out" || fail "preempted_srun: the program did not save on SIGTERM"

# The time limit: one minute, the signal 25 s before (or up to a minute before that), work for more than that.
job=$(submit limit pretrain.sbatch "$steps_a_minute" --time=1 --signal=USR1@25)
wait_end "$job" 400
expect_run "$job" limit "$steps_a_minute" 2
expect_saved "$job" limit

# Whatever happened on the way, the same steps gave the same numbers.
for name in usr1_srun usr1_mpirun preempted_srun preempted_mpirun limit; do
  cmp <(head -n 40 "$work/$name/metrics.jsonl") "$work/undisturbed/metrics.jsonl" ||
    fail "$name: other numbers than in the undisturbed run"
done
