#!/usr/bin/env python3
"""Breaks the communicator on NCCL one line at a time and runs its test on emulated GPUs: every mutant must be caught.

usage: nccl_mutants.py BUILD [WORD ...]   BUILD: a folder built with preset `release`; WORD: only mutants whose text has one
"""
import mutating

CHANNEL, COMMUNICATOR = "src/parallel/nccl_channel.cpp", "src/parallel/nccl_communicator.cpp"
# file, text, what takes its first place.
MUTANTS = [
    (CHANNEL, 'check_cuda(cudaStreamWaitEvent(stream_, ready_.get(), 0), "cudaStreamWaitEvent");', ""),
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
    (COMMUNICATOR, "return ncclSend(data.data, data.bytes(), ncclUint8, 1, pair, stream);",
     "return ncclSend(data.data, data.bytes(), ncclUint8, 0, pair, stream);"),
    (COMMUNICATOR, "return ncclRecv(data.data, data.bytes(), ncclUint8, 0, pair, stream);",
     "return ncclRecv(data.data, data.bytes(), ncclUint8, 1, pair, stream);"),
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
]

mutating.main("nccl_mutants", MUTANTS, lambda file: [("emulated_nccl_test", ranks) for ranks in (1, 2, 4)], places=1)
