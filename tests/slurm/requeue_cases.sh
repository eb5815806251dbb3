# shellcheck shell=bash disable=SC2154
# The cases of requeue_test.sh, which sources this file. They wait more than they work: some run beside others.
endless=1000000

# The time limit: one minute, the signal 25 s before, or up to a minute before that. It has this minute beside the next cases.
limit=$(submit limit pretrain.sbatch $endless --time=1 --signal=USR1@25)
{ wait_lines limit 1; wait_requeued "$limit" limit 150; } &

# USR1 to all ranks, and to the shell in front of mpirun.
srun=$(submit usr1_srun pretrain.sbatch $endless)
mpirun=$(submit usr1_mpirun pretrain_mpirun.sbatch $endless)
wait_lines usr1_srun 5
wait_lines usr1_mpirun 5
scancel --signal=USR1 "$srun"
wait_requeued "$srun" usr1_srun 60 &
scancel --batch --signal=USR1 "$mpirun"
wait_requeued "$mpirun" usr1_mpirun 60 &

# What is refused is a failed job with the program's code, and is not tried again.
job=$(submit refused pretrain.sbatch 10 -- --run.stepz=1)
wait_end "$job" 60
expect_code "$job" refused FAILED 64

wait_end "$srun" 120
expect_run "$srun" usr1_srun 2
expect_saved "$srun" usr1_srun
wait_end "$mpirun" 120
expect_run "$mpirun" usr1_mpirun 2
expect_saved "$mpirun" usr1_mpirun

# Two ranks of a node, each of which is shown a GPU of its own, on the emulation: it has one, and a second would be missed.
if [ -x "$emulated" ]; then
  job=$(COXSWAIN=$emulated COXSWAIN_EMULATED_DEVICES=1 submit gpu gpu.sbatch 2 --nodes=1 --ntasks-per-node=2 --cpus-per-task=1 \
    -- --model.layers=1 --model.hidden=16 --model.context=16 --batch.length=16)
  wait_end "$job" 90
  expect_code "$job" gpu COMPLETED 0
fi

# A chain of two decks, the first of which loses a rank to SIGKILL: it is requeued, goes on, and the second begins after it.
sed "s#^steps = .*#steps = 400\ndirectory = $work/chain_first#" tests/slurm/train.ini >"$work/chain_first.ini"
sed "s#^steps = .*#steps = 10\ndirectory = $work/chain_second\ninitialize_from = $work/chain_first#" tests/slurm/train.ini \
  >"$work/chain_second.ini"
bash jobs/slurm/rlhf.sh --nodes=2 --ntasks-per-node=1 --time=20 --output="$work/%x.out" -- \
  "$work/chain_first.ini" "$work/chain_second.ini" >"$work/chain.txt" || fail "rlhf.sh ended with $?"
first=$(sed -n '1s/ .*//p' "$work/chain.txt")
second=$(sed -n '2s/ .*//p' "$work/chain.txt")
wait_lines chain_first 5
pkill -KILL -f -- "$program $work/chain_first.ini" || fail "chain_first: no rank to kill"
wait_end "$second" 300
expect_run "$first" chain_first 2
expect_run "$second" chain_second 1
grep -q "weights of $work/chain_first" "$work/chain_second.out" ||
  fail "chain_second did not begin with the weights of the first"

wait_end "$limit" 150
expect_run "$limit" limit 2
expect_saved "$limit" limit

# A job in a partition of higher priority takes both nodes. (Under mpirun the save may come too late: it is not asked for.)
srun=$(submit preempted_srun pretrain.sbatch $endless)
mpirun=$(submit preempted_mpirun pretrain_mpirun.sbatch $endless)
wait_lines preempted_srun 5
wait_lines preempted_mpirun 5
urgent=$(sbatch --parsable --partition=urgent --nodes=2 --exclusive --output=/dev/null --wrap "sleep 2")
wait_requeued "$srun" preempted_srun 60 &
wait_requeued "$mpirun" preempted_mpirun 60 &
wait_end "$urgent" 90
expect_code "$urgent" urgent COMPLETED 0
wait_end "$srun" 120
expect_run "$srun" preempted_srun 2
expect_saved "$srun" preempted_srun
wait_end "$mpirun" 120
expect_run "$mpirun" preempted_mpirun 2

# Whatever happened on the way, the same steps gave the same numbers as in a run that nothing disturbed.
longest=0
for name in usr1_srun usr1_mpirun preempted_srun preempted_mpirun; do
  steps=$(lines "$work/$name/metrics.jsonl")
  [ "$steps" -gt "$longest" ] && longest=$steps
done
job=$(submit undisturbed pretrain.sbatch "$longest")
wait_end "$job" 240
expect_run "$job" undisturbed 1
for name in usr1_srun usr1_mpirun preempted_srun preempted_mpirun; do
  cmp "$work/$name/metrics.jsonl" <(head -n "$(lines "$work/$name/metrics.jsonl")" "$work/undisturbed/metrics.jsonl") ||
    fail "$name: other numbers than in the undisturbed run"
done
