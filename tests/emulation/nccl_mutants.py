#!/usr/bin/env python3
"""Breaks the communicator on NCCL, what lets rows travel over it beside products, and the pipeline, a line at a time, and
runs their tests on emulated GPUs: every mutant must be caught.

usage: nccl_mutants.py BUILD [WORD ...]   BUILD: a folder built with preset `release`; WORD: only mutants whose text has one
"""
import mutating

CHANNEL, COMMUNICATOR = "src/parallel/nccl_channel.cpp", "src/parallel/nccl_communicator.cpp"
PIPELINE = "src/train/pipeline.cpp"
ROWS, SCATTER = "src/model/tensor_parallel.cpp", "src/parallel/row_scatter.cpp"
# file, text, what takes its first place.
MUTANTS = [
    (CHANNEL, 'check_cuda(cudaStreamWaitEvent(stream_, ready.get(), 0), "cudaStreamWaitEvent");', ""),
    (CHANNEL, 'check_cuda(cudaEventRecord(ready_.get(), backend_.stream()), "cudaEventRecord");', ""),
    (CHANNEL, 'check_cuda(cudaStreamWaitEvent(backend_.stream(), flight.done.get(), 0), "cudaStreamWaitEvent");',
     "(void)flight;"),
    (CHANNEL, "cudaEventRecord(flights_.back().done.get(), stream_)",
     "cudaEventRecord(flights_.back().done.get(), backend_.stream())"),
    (CHANNEL, "if (waited_ || std::uncaught_exceptions() > exceptions_) return;", "return;"),
    (CHANNEL, "landed_ + flights_.size() - 1", "landed_ + flights_.size() - 2"),
    (CHANNEL, "if (ticket < landed_) return;", "if (ticket <= landed_) return;"),
    (CHANNEL, "!flights_.empty() && cudaEventQuery(flights_.front().done.get()) == cudaSuccess", "!flights_.empty()"),
    (CHANNEL, "  const ncclResult_t ended = ncclGroupEnd();\n", "  const ncclResult_t ended = ncclSuccess;\n"),
    (CHANNEL, "check_cuda(cudaEventRecord(ready_.get(), channel_.backend_.stream()), \"cudaEventRecord\");", ""),
    (CHANNEL, "    if (std::uncaught_exceptions() > exceptions_) return;\n", "    return;\n"),
    (CHANNEL, "channel_.run_after(ready_, name_.c_str(), std::exchange(operation_, nullptr)).wait();",
     "static std::vector<Request> dropped;\n"
     "    dropped.push_back(channel_.run_after(ready_, name_.c_str(), std::exchange(operation_, nullptr)));"),
    (CHANNEL, "channel_.run_after(ready_,", "channel_.run("),  # not beside other work
    (COMMUNICATOR, "return channel.run_when_awaited(name, receipt_of(data));", "return channel.run(name, receipt_of(data));"),
    (PIPELINE, "    transfer.request.wait();\n",
     "    static std::vector<Request> late;\n    late.push_back(std::move(transfer.request));\n"
     "    if (late.size() > 1) late[late.size() - 2].wait();\n"),
    (PIPELINE, "    expected_.reset();\n", ""),
    (PIPELINE, "transfer.tensor = context.tensor({", "transfer.tensor = context.tensor({1 + "),
    (COMMUNICATOR, "return ncclSend(data.data, data.bytes(), ncclUint8, 1, pair, stream);",
     "return ncclSend(data.data, data.bytes(), ncclUint8, 0, pair, stream);"),
    (COMMUNICATOR, "return ncclRecv(memory, bytes, ncclUint8, 0, pair, stream);",
     "return ncclRecv(memory, bytes, ncclUint8, 1, pair, stream);"),
    (COMMUNICATOR, "ncclUint8, from, all, stream)", "ncclUint8, (from + 1) % size(), all, stream)"),
    (COMMUNICATOR, "ncclUint8, to, all, stream)", "ncclUint8, (to + 1) % size(), all, stream)"),
    (COMMUNICATOR, "if (known == route) return *channel;",
     "if (known.from == route.from && known.to == route.to) return *channel;"),
    (COMMUNICATOR, "ncclUint8, root, all, stream)", "ncclUint8, 0, all, stream)"),
    (COMMUNICATOR, "static_cast<int>(r) == rank() ? piece.data : place;", "place;"),
    (COMMUNICATOR, "static_cast<std::size_t>(of.rows.starts[r]) * of.rows.bytes",
     "static_cast<std::size_t>(of.rows.starts[r] + 1) * of.rows.bytes"),
    (COMMUNICATOR, "ncclSend(piece(in, r)", "ncclSend(piece(in, rank())"),
    (COMMUNICATOR, "ncclRecv(piece(out, r), bytes", "ncclRecv(piece(out, r), bytes - 4"),
    (COMMUNICATOR, "ncclAllGather(piece.data, out.data,", "ncclAllGather(out.data, out.data,"),
    (COMMUNICATOR, "if (size() == 1) return backend_.copy(in.flat(), out.flat());", "if (size() == 1) return;"),
    (ROWS, "if (step > 0) arrivals_[static_cast<std::size_t>(step - 1)].wait();", ""),
    (ROWS, "arrivals_[static_cast<std::size_t>(step - 1)].wait()",
     "arrivals_[static_cast<std::size_t>(step > 1 ? step - 2 : 0)].wait()"),
    (ROWS, "for (Request& arrival : arrivals_) arrival.wait();", ""),
    (ROWS, "context.backend.copy(local_rows, rows_of(rank));", ""),
    (ROWS, "(rank + step) % size, to = (rank + size - step) % size", "(rank + size - step) % size, to = (rank + step) % size"),
    (ROWS, "cut_ = context.cuts_rows(", "cut_ = size > 1 && context.cuts_rows("),
    (ROWS, "compute(context_.cuts_rows(", "compute(context_.grid.tensor().size() > 1 && context_.cuts_rows("),
    (ROWS, "blocks_of(context_, step % size, rows)", "blocks_of(context_, (step + 1) % size, rows)"),
    (SCATTER, "for (Request& request : under_way_) request.wait();", ""),
    (SCATTER, "rows_of(to, partials_[", "rows_of(rank, partials_["),
    (SCATTER, "const auto own = reduce_local(backend_, partials_.slice(1, to * rows, rows), first_leaf, leaves_);",
     "const auto own = covering_nodes(first_leaf, first_leaf + static_cast<int>(partials_.shape[0]), leaves_); (void)rows;"),
]


def tests_of(file):
    if file == PIPELINE:
        return [("emulated_training_test", 2)]
    return [("emulated_nccl_test" if "nccl" in file else "emulated_row_transfers_test", ranks) for ranks in (1, 2, 4)]


mutating.main("nccl_mutants", MUTANTS, tests_of, places=1)
