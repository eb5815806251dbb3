#!/usr/bin/env python3
"""Breaks the CUDA kernels one line at a time and runs tests/kernels/agreement_test.cpp (transfers: upload_test.cpp and
download_test.cpp; some sums and updates: reduce_test.cpp, optimizer_test.cpp) on the emulated GPU: every mutant must be
caught, by a difference from the CPU, by bits that depend on the order, or by a report of the emulation.

usage: mutants.py BUILD [WORD ...]   all mutants, or those whose file or text has a WORD; BUILD: a folder of preset `release`
       mutants.py BUILD --some       four of them, others with every commit: what continuous integration runs

COXSWAIN_FULL=1 makes --some all of them."""
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SOME = 4
# The program, and the tests of it.
TESTS = {"layers": ("agreement", "Agreement.OfLayers"), "attention": ("agreement", "Agreement.OfAttentionAndDecoding"),
         "losses": ("agreement", "Agreement.OfLosses"), "memory": ("agreement", "Agreement.OfMemoryAndUpdates"),
         "uploads": ("upload", "*"), "downloads": ("download", "*"), "updates": ("optimizer", "*"),
         "sums": ("reduce", "*"), "rows": ("decoding", "*LinearRows*")}
# file (": NAME": a header, with the source that uses it), text, what takes its first place, test that must fail.
MUTANTS = [
    ("common.cuh: value_loss", "  __syncthreads();  // the last call's values may still be read\n", "", "losses"),
    ("common.cuh: cross_entropy", "of_warps[thread / kWarp] = value;\n  __syncthreads();",
     "of_warps[thread / kWarp] = value;", "losses"),
    ("common.cuh: cross_entropy", "warp < warps; ++warp", "warp + 1 < warps; ++warp", "losses"),
    ("common.cuh: norm", "distance = kWarp / 2; distance > 0", "distance = kWarp / 2; distance > 1", "layers"),
    ("column_sums.cuh: norm", "= sums[i / width][i % width];\n  __syncthreads();", "= sums[i / width][i % width];", "layers"),
    ("column_sums.cuh: norm", "lane < kSumLanes; ++lane", "lane + 1 < kSumLanes; ++lane", "layers"),
    ("column_sums.cuh: reduce", "blockIdx.y} * rows_in_block;", "blockIdx.y} * (rows_in_block - 1);", "layers"),
    ("column_sums.cuh: norm", "{blockIdx.y} * blocks * columns + column", "{blockIdx.y} * columns + column", "layers"),
    ("column_sums.cuh: norm", "lanes[threadIdx.y * kWarp + threadIdx.x] = total;\n  __syncthreads();",
     "lanes[threadIdx.y * kWarp + threadIdx.x] = total;", "layers"),
    ("column_sums.cuh: norm", "next < last ? next : row", "next", "layers"),
    ("column_sums.cuh: norm", "if (row + i * kSumLanes < last) term.add", "term.add", "layers"),
    ("column_sums.cuh: norm", "block + i * kSumLanes < blocks ? from", "true ? from", "layers"),
    ("column_sums.cuh: norm", "if (first_column + in_block >= columns) continue;", "", "layers"),
    ("column_sums.cuh: norm", "of_sum = totals[sum];", "of_sum = totals[0];", "layers"),
    ("rows.cuh: norm", "warp < kWarps; ++warp", "warp + 1 < kWarps; ++warp", "layers"),
    ("rows.cuh: norm", "= sums[i];\n    }\n    __syncthreads();", "= sums[i];\n    }", "layers"),
    ("rows.cuh: norm", "if (column(place) < n_) body", "if (column(place) <= n_) body", "layers"),
    ("rows.cuh: norm", "if (column(place) < n_) ptx::store_wide", "ptx::store_wide", "layers"),
    ("rows.cuh: norm", "    from_ = to;\n", "", "layers"),
    ("rows.cuh: norm", "* kRowsInBlock + threadIdx.x / threads;", "* kRowsInBlock;", "layers"),
    ("norm.cu", "add_up<threads, 1>(squares)", "add_up<threads, 0>(squares)", "layers"),
    ("norm.cu", "if (op.dresidual) before = ", "before = ", "layers"),
    ("common.cuh: reduce", "i < count; i += step", "i + 1 < count; i += step", "memory"),
    ("strips.cuh: optimizer", "if (first + width <= columns) {", "if (first < columns) {", "memory"),
    ("strips.cuh: optimizer", "if (reinterpret_cast<std::uintptr_t>(view.data) % 16 != 0) return false;", "", "memory"),
    ("strips.cuh: scalar_projection", "c < n && c < first + kWidth", "c < n && c <= first + kWidth", "losses"),
    ("residual.cuh: dropout", "place == 2 ? words[2]", "place == 2 ? words[1]", "layers"),
    ("column_sums.cuh: norm", "if (threadIdx.y > 0 || column >= columns) return;", "if (threadIdx.y > 0) return;", "layers"),
    ("norm.cu", "(values[i] - mean) * (values[i] - mean)", "values[i] * values[i]", "layers"),
    ("strips.cuh: dropout", "(i - row * across) * width;", "(i - row * across + 1) * width;", "layers"),
    ("norm.cu", "op.stats[2 * row + 1] = inverse", "op.stats[2 * row + 2] = inverse", "layers"),
    ("attention.cuh: attention", "first + row < extents.t ?", "first + row <= extents.t ?", "attention"),
    ("attention.cuh: attention", "if (token >= extents.t) continue;", "if (token > extents.t) continue;", "attention"),
    ("attention.cuh: attention", "key <= query && key >= first_key", "key < query && key >= first_key", "attention"),
    ("attention.cuh: attention", "/ kAcross * kRows; }", "/ kAcross; }", "attention"),
    ("attention.cuh: attention", "(first_column() + kAcross * j) * stride", "(first_column() + j) * stride", "attention"),
    ("attention.cu", "    __syncthreads();  // the last tile's values may still be read\n", "", "attention"),
    ("attention.cu", "extents, v);\n    __syncthreads();", "extents, v);", "attention"),
    ("attention.cu", "    }\n    __syncthreads();\n    add_product", "    }\n    add_product", "attention"),
    ("attention.cu", "for (R& result : results[i]) result *= rescale;", "(void)rescale;", "attention"),
    ("attention_gradient.cu", "tiles.dout);\n      __syncthreads();", "tiles.dout);", "attention"),
    ("attention_gradient.cu", "query, key);\n      __syncthreads();", "query, key);", "attention"),
    ("attention_gradient.cu", "      __syncthreads();  // the last tile may still be read\n", "", "attention"),
    ("attention_gradient.cu", "tiles.slopes[l * kScoreStride + row]", "tiles.slopes[row * kScoreStride + l]", "attention"),
    ("flash.cuh: flash_attention", "a + lane() % 16 * kStride", "a + lane() % 8 * kStride", "attention"),
    ("flash.cuh: flash_attention", "kStride<columns> + lane() / 8 % 2 * 8;",
     "kStride<columns> + lane() / 8 % 2 * 4;", "attention"),
    ("flash.cuh: flash_attention", "lane() % 16 * kStride<columns> + lane() / 16 * 8;\n  COXSWAIN_UNROLL",
     "lane() % 16 * kStride<columns> + lane() / 8 % 2 * 8;\n  COXSWAIN_UNROLL", "attention"),
    ("flash.cuh: flash_attention", "return lane() % 4 * 2; }", "return lane() % 4; }", "attention"),
    ("flash.cuh: flash_attention", "present = token < t && column < d;", "present = token < t;", "attention"),
    ("flash.cuh: flash_attention", "weights[2 * k][1], weights[2 * k + 1][0]",
     "weights[2 * k + 1][0], weights[2 * k][1]", "attention"),
    ("flash.cuh: flash_attention", "if (first + row >= t || column >= d)",
     "if (first + row > t || column >= d)", "attention"),
    ("flash_attention.cu", "    ptx::wait_for_copies<0>();\n", "", "attention"),
    ("flash_attention.cu", "    __syncthreads();  // these keys and values are there, and the last ones are no longer read\n",
     "", "attention"),
    ("flash_attention.cu", "if (key > last_of_warp) continue;", "if (key + keys > last_of_warp) continue;", "attention"),
    ("flash_attention.cu", "pairs + turn * 2 * kTileElements;", "pairs + turn * kTileElements;", "attention"),
    ("flash_attention.cu", "column > row || column < first_key", "column >= row || column < first_key", "attention"),
    ("flash_attention.cu", "column < first_key)", "column <= first_key)", "attention"),
    ("flash_attention.cu", "first_of_warp || key < begin.highest", "first_of_warp", "attention"),
    ("flash_attention.cu", "key + keys - 1 > first_of_warp", "key > first_of_warp", "attention"),
    ("flash_attention.cu", "results[j][2 * half] *= rescale;", "", "attention"),
    ("flash_attention.cu", "begin.lowest / keys * keys", "(begin.lowest + keys - 1) / keys * keys", "attention"),
    ("flash_attention.cu", "if (key + keys < last)", "if (key + keys < last - 1)", "attention"),
    ("flash_attention_gradient.cu", "    ptx::wait_for_copies<0>();\n    __syncthreads();  // these queries are there",
     "    __syncthreads();  // these queries are there", "attention"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // these queries are there, and the last ones are no longer read\n",
     "", "attention"),
    ("flash_attention_gradient.cu", "next.store(block.facts[1 - i % 2]);", "next.store(block.facts[i % 2]);", "attention"),
    ("flash_attention_gradient.cu", "block.fact(more ? i + 1 : i)", "block.fact(i)", "attention"),
    ("flash_attention_gradient.cu", "    ptx::wait_for_copies<0>();\n    __syncthreads();  // these keys and values are there",
     "    __syncthreads();  // these keys and values are there", "attention"),
    ("flash_attention_gradient.cu",
     "    __syncthreads();  // these keys and values are there, and the last ones are no longer read\n",
     "", "attention"),
    ("flash_attention_gradient.cu", "pairs + (1 - turn) * 2 * kOther", "pairs + turn * 2 * kOther", "attention"),
    ("flash_attention_gradient.cu", "row <= query + column", "row < query + column", "attention"),
    ("flash_attention_gradient.cu", "row >= facts.first_key", "row > facts.first_key", "attention"),
    ("flash_attention_gradient.cu", "join_block(last, Greater()) + 1", "join_block(last, Greater())", "attention"),
    ("flash_attention_gradient.cu", "last_key + visible.band;", "last_key + visible.band - 1;", "attention"),
    ("flash_attention_gradient.cu", "fragment_column() + n % 2];", "fragment_column()];", "attention"),
    ("flash_attention_gradient.cu", "return op.visible.starts || op.visible.band < t || query",
     "return query", "attention"),
    ("flash_attention_gradient.cu", "group * (op.extents.a / op.extents.g) + i / tiles", "group + i / tiles", "attention"),
    ("cached_attention.cu", "* op.scale;\n  __syncthreads();", "* op.scale;", "attention"),
    ("cached_attention.cu", "  __syncthreads();\n  R maximum = kNone;", "  R maximum = kNone;", "attention"),
    ("cached_attention.cu", "distance >= kAcross", "distance > kAcross", "attention"),
    ("cached_attention.cu", "totals[i];\n  __syncthreads();", "totals[i];", "attention"),
    ("cached_attention.cu", "last = (op.count(row) - 1) / kChunk", "last = op.count(row) / kChunk", "attention"),
    ("cached_attention.cu", "weights, first, end, sums)", "weights, 0, end, sums)", "attention"),
    ("cached_attention.cu", "op.load(values + j * op.d + column", "op.load(values + j * op.d + column + 1", "attention"),
    ("cached_attention.cu", "work.wide && are_wide<T>(op.k, op.v)", "work.wide", "attention"),
    ("cached_attention.cu", "keys[j * kBlock] = pack.values[j]", "keys[j * kBlock] = pack.values[0]", "attention"),
    ("cached_attention.cu", "store_pack(values, load_pack(v))", "store_pack(values, pack)", "attention"),
    ("cached_attention.cu", "*keys = *k, *values = *v;", "*keys = *k;", "attention"),
    ("gemm.cu", "return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX",
     "return CUBLASLT_EPILOGUE_GELU_AUX", "layers"),
    ("gemm.cu", "return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT",
     "return CUBLASLT_EPILOGUE_DEFAULT", "layers"),
    ("gemm.cu", "  describe_finish(plan.description, finish);\n", "", "layers"),
    ("gemm.cu", "AUX_LD, leading_of(finish.before)", "AUX_LD, leading_of(finish.before) + 8", "layers"),
    ("linear.cu", "finish.kind = Gemm::Finish::Kind::gelu, finish.before = y", "finish.before = y", "layers"),
    ("embedding.cu", "first + lane < op.count && ", "", "layers"),
    ("embedding.cu", "last - 1 - lane", "last - lane", "layers"),
    ("embedding.cu", "op.begins[place] = found == 0", "op.begins[place] = 1", "layers"),
    ("embedding.cu", "first + __ffs(static_cast<int>(found)) - 1", "first + __ffs(static_cast<int>(found)) % 32", "layers"),
    ("cross_entropy.cu", "stats[3 * row + 2] =", "stats[3 * row + 3] =", "losses"),
    ("strips.cuh: reduce", "first + kWidth <= n)", "first < n)", "sums"),
    ("cross_entropy.cu", "if (c + i >= valid)", "if (c + i > valid)", "losses"),
    ("cross_entropy.cu", "column(s) + kWidth <= n_;", "column(s) < n_;", "losses"),
    ("cross_entropy.cu", "sum *= exp_quick(highest - higher), ", "", "losses"),
    ("cross_entropy.cu", "if (highest < of_row) sum *= exp_quick(highest - of_row);", "", "losses"),
    ("cross_entropy.cu", "first < op.columns; first += Part::kColumns",
     "first < Part::kColumns; first += Part::kColumns", "losses"),
    ("cross_entropy.cu", "if (c <= target &&", "if (c < target &&", "losses"),
    ("cross_entropy.cu", "highest == kNone ? R(0) : highest", "highest", "losses"),
    ("row_linear.cu", "at < w.k);", "true);", "attention"),
    ("row_linear.cuh: row_linear", "return first < k ? ptx::load_wide(row + first) : uint4{0, 0, 0, 0};",
     "return ptx::load_wide(row + first);", "attention"),
    ("row_linear.cuh: row_linear", "row < count ? row : count - 1", "row", "attention"),
    ("row_linear.cu", "ptx::wait_for_copies<Tile::kStages - 1>();", "", "attention"),
    ("row_linear.cu", "stage == 0 ? Tile::kStages - 1 : stage - 1", "stage", "attention"),
    ("row_linear.cu", "(Tile::kStages - 1) * kSplits, last", "Tile::kStages * kSplits, last", "attention"),
    ("row_linear.cu", "next / 2 * kSplits, next % 2", "kSplits, next % 2", "attention"),
    ("row_linear.cuh: row_linear", "x[j].z, x[j].w", "x[j].x, x[j].w", "attention"),
    ("row_linear.cu", "  __syncthreads();\n", "", "attention"),
    ("row_linear.cu", "split < kSplits", "split + 1 < kSplits", "attention"),
    ("row_linear.cu", "first_x + row >= op.x.count || ", "", "attention"),
    ("row_linear.cu", "first_w = blockIdx.x / parts_of_x * Tile", "first_w = blockIdx.x * Tile", "attention"),
    ("row_linear.cuh: row_linear", "reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && ", "", "rows"),
    ("row_linear.cuh: row_linear", "stride % kPack<T> == 0 && ", "", "rows"),
    ("row_linear.cuh: row_linear", "first + i < k ? row[first + i]", "true ? row[first + i]", "attention"),
    ("row_linear_tall.cu", "at < op.w.k);", "true);", "attention"),
    ("row_linear_tall.cu", "op.x[first_x + row + i] + at, at < op.w.k", "op.x[first_x + row + i] + at, true",
     "attention"),
    ("row_linear_tall.cu", "ptx::wait_for_copies<TallTile::kStages - 2>();\n", "", "attention"),
    ("row_linear_tall.cu", "      __syncthreads();  // the piece is there", "      // the piece is there", "attention"),
    ("row_linear_tall.cu", "  __syncthreads();  // the last piece is no longer read\n", "", "attention"),
    ("row_linear_tall.cu", "  __syncthreads();  // all results are there\n", "", "attention"),
    ("row_linear_tall.cu", "stage == 0 ? TallTile::kStages - 1 : stage - 1", "stage", "attention"),
    ("row_linear_tall.cu", "next % kSplits + 1;", "next % kSplits + 2;", "attention"),
    ("row_linear_tall.cu", "    add(sums, total);\n", "    if (split > 0) add(sums, total);\n", "attention"),
    ("row_linear_tall.cu", "piece += kSplits) {", "piece += kSplits + 1) {", "attention"),
    ("row_linear_tall.cu", "if (first_x + row < op.x.count && ", "if (", "attention"),
    ("row_linear_tall.cu", "first_w = blockIdx.x / parts_of_x * Tall", "first_w = blockIdx.x * Tall", "attention"),
    ("linear.cu", "strip_of<width>(bias, c)", "strip_of<width>(bias, 0)", "layers"),
    ("linear.cu", "values[i] = apply<kind>(values[i]);", "values[i] = apply<kind>(sum[i]);", "layers"),
    ("gemm.cu", "MIN_ALIGNMENT_A_BYTES, alignment_of(b.view)", "MIN_ALIGNMENT_A_BYTES, std::uint32_t{16}", "layers"),
    ("gemm.cu", "1.0f, accumulate ? 1.0f : 0.0f", "1.0f, 0.0f", "layers"),
    ("gemm.cu", "std::max(view.strides[0], view.shape[1])", "view.shape[1]", "layers"),
    ("residual.cuh: dropout", "static_cast<std::uint64_t>(column)", "static_cast<std::uint64_t>(column + 1)", "layers"),
    ("activation.cu", "ups[i] * apply_gradient<kind>(value)", "ups[i] * apply_gradient<kind>(ups[i])", "layers"),
    ("rotary.cu", "const Strip<T, width> first_half(low)", "const Strip<T, width> first_half(of_token)", "layers"),
    ("rotary.cu", "  __syncthreads();\n", "", "layers"),
    ("rotary.cu", "if (pair >= pairs) return;", "", "layers"),
    ("rotary.cu", "head += width", "head += width + 1", "layers"),
    ("rotary.cu", "thread % width * kStrips + thread / width", "thread", "layers"),
    ("rotary.cu", "at_packs(half) && ", "", "layers"),
    ("rotary.cu", " && at_packs(b_stride) &&\n           at_packs(t_stride)", "", "layers"),
    ("embedding.cu", "row >= 0 && row < held", "row >= 0 && row <= held", "layers"),
    ("row_linear.cu", "first += kParts * kAcross", "first += (kParts + 1) * kAcross", "attention"),
    ("row_linear.cu", "add_products(w[part], start + part * kAcross)", "add_products(w[part], start)", "attention"),
    ("row_linear.cu", "first_x + i >= op.x.count || ", "", "attention"),
    ("row_linear.cuh: row_linear", "if (bias) sum += bias[column];", "", "attention"),
    ("cross_entropy.cu", "(s * rows + r) * 3]);\n    for (std::int64_t s = 0;",
     "(s * rows + r) * 3]);\n    for (std::int64_t s = 1;", "losses"),
    ("cross_entropy.cu", "column >= 0 && column < valid ?", "column >= 0 ?", "losses"),
    ("policy_loss.cu", "i += kThreads", "i += kThreads - 1", "losses"),
    ("value_loss.cu", "clipped = join_block(clipped, Add());", "", "losses"),
    ("ranking_loss.cu", "op.scores + first, op.ranks", "op.scores, op.ranks", "losses"),
    ("scalar_projection.cu", "bias ? bias[0] + sum", "bias ? bias[blockIdx.x] + sum", "losses"),
    ("sample.cu", "key >= least && place < count", "key >= least && place <= count", "losses"),
    ("sample.cu", "if (i < warp) before += of_warps[i];", "if (i <= warp) before += of_warps[i];", "losses"),
    ("sample.cu", "  __syncthreads();  // the last call's counts may still be read\n", "", "losses"),
    ("sample.cu", "count < most && kept < op_.top_p * sum) return kMore", "false) return kMore", "losses"),
    ("sample.cu", ">= rank) next = digit", ">= rank - 1) next = digit", "losses"),
    ("sampled_rows.cuh: sample", "to[token] = kNone;\n    }\n    __syncthreads();", "to[token] = kNone;\n    }", "losses"),
    ("sampled_rows.cuh: sample", "(of_allowed * rows + row) * blocks()", "(of_allowed + row) * blocks()", "losses"),
    ("sampled_rows.cuh: sample", "i / across * rows + row", "i / across + row", "losses"),
    ("sampled_rows.cuh: sample", "exp_fast(op.logit(row, tokens.first + i) - of_all)",
     "exp_fast(allowed[i] - of_all)", "losses"),
    ("sampled_rows.cuh: sample", "(allowed[i] - of_allowed) * inverse", "allowed[i] * inverse - of_allowed", "losses"),
    ("sample.cu", "chosen[0] = block;\n    }\n    __syncthreads();", "chosen[0] = block;\n    }", "losses"),
    ("sample.cu", "* inverse));\n    __syncthreads();\n    std::int64_t token = -1;",
     "* inverse));\n    std::int64_t token = -1;", "losses"),
    ("sample.cu", "token < 0 ? likeliest : token", "token < 0 ? token : likeliest", "losses"),
    ("sample.cu", "holds(i) ? -i : -count", "holds(i) ? i : -count", "losses"),
    ("sample.cu", "(i & run) == 0);\n        }\n        __syncthreads();", "(i & run) == 0);\n        }", "losses"),
    ("sample.cu", "if (partner > i)", "if (partner >= 0)", "losses"),
    ("reduce.cu", "  length = length < block - in_block ? length : block - in_block;\n", "", "memory"),
    ("reduce.cu", "piece < pieces_in_block; ++piece", "piece + 1 < pieces_in_block; ++piece", "memory"),
    ("copy.cu", "dim = outer_count_ - 1; dim >= 0", "dim = outer_count_ - 1; dim > 0", "memory"),
    ("copy.cu", "inner_.a == dim.extent * dim.a && inner_.b", "inner_.b", "memory"),
    ("copy.cu", "outer_[dim].a * a_bytes % 16 != 0 || ", "outer_[dim].a * a_bytes < 0 || ", "memory"),
    ("copy.cu", "inner_.a == 1 && inner_.b == 1", "true", "memory"),
    ("reduce.cu", "(blocks == 1 || block % kPack<T> == 0) && ", "", "memory"),
    ("pinned_upload.cu", "cudaMemcpyHostToDevice, stream)", "cudaMemcpyHostToDevice, nullptr)", "uploads"),
    ("pinned_upload.cu", "cudaMemcpyHostToDevice, stream)", "cudaMemcpyHostToDevice, work_)", "uploads"),
    ("pinned_upload.cu", " || halves_[half_].reader != stream", "", "uploads"),
    ("pinned_upload.cu", "cudaEventRecord(last.read, last.reader)", "cudaEventRecord(last.read, work_)", "uploads"),
    ("pinned_upload.cu", 'check_cuda(cudaEventSynchronize(next.read), "cudaEventSynchronize");', "", "uploads"),
    ("pinned_upload.cu", "if (last.memory != nullptr) check_cuda(", "if (last.memory == nullptr) check_cuda(", "uploads"),
    ("pinned_upload.cu", "check_cuda(cudaStreamWaitEvent(beside_, asked_, 0), ", "check_cuda(cudaSuccess, ", "uploads"),
    ("pinned_upload.cu", "check_cuda(cudaStreamWaitEvent(work_, arrived_, 0), ", "check_cuda(cudaSuccess, ", "uploads"),
    ("pinned_upload.cu", "cudaMemcpyAsync(dst, host, bytes, cudaMemcpyHostToDevice, beside_)",
     "cudaMemcpyAsync(dst, host, bytes / 2, cudaMemcpyHostToDevice, beside_)", "uploads"),
    ("pinned_upload.cu", "(halves_[half_].memory) + filled_", "(halves_[half_].memory) + filled_ / 2", "uploads"),
    ("pinned_download.cu", "check_cuda(cudaStreamWaitEvent(stream_, asked_, 0), ", "check_cuda(cudaSuccess, ", "downloads"),
    ("pinned_download.cu", "check_cuda(cudaEventSynchronize(before.filled), ", "check_cuda(cudaSuccess, ", "downloads"),
    ("cuda_backend.cu", "  side_->follow(*stream_);\n", "", "uploads"),
    ("cuda_backend.cu", "if (side_) stream_->follow(*side_);", "", "uploads"),
    ("optimizer.cu", "rounded.store(working + first)", "rounded.store(working + first + 1)", "memory"),
    ("optimizer.cu", "    if (!(*scale >= 0)) return;\n", "", "updates"),
    ("optimizer.cu", "static_cast<float>(*scale)", "1.0f", "memory"),
    ("reduce.cu", "    __syncthreads();\n    for (std::int32_t i = 0; thread == 0",
     "    for (std::int32_t i = 0; thread == 0", "sums"),
    ("reduce.cu", "sum += piece[i];\n    __syncthreads();", "sum += piece[i];", "sums"),
    ("reduce.cu", "blockIdx.x == 0 ? 0 : ends[blockIdx.x - 1]", "0", "sums"),
    ("pinned_download.cu", "if (begun_ != nullptr) check_cuda(cudaEventSynchronize(begun_), ",
     "if (begun_ != nullptr) check_cuda(cudaSuccess, ", "downloads"),
    ("random.cu", "width < 4 ? index % 4 : 0", "width < 4 ? index % 2 : 0", "memory"),
    ("random.cu", "static_cast<unsigned>(first) / 4", "0", "memory"),
    ("random.cu", "op.global_columns % 4 == 0 && ", "", "memory"),
    ("random.cu", " && op.first_column % 4 == 0", "", "memory"),
]


def commands_of(build, target):
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", target], capture_output=True, text=True, check=True)
    return text.stdout.splitlines()


def compile_mutant(build, source, folder, output):
    entry = next(e for e in json.loads((build / "compile_commands.json").read_text())
                 if e["file"].endswith(f"kernels/cuda/{source}") and "coxswain_cuda_emulated" in e["command"])
    words = shlex.split(entry["command"])
    words[words.index("-o") + 1] = str(output)
    file = folder / "kernels/cuda" / source
    words = [str(file if file.exists() else SOURCE / "kernels/cuda" / source) if w == entry["file"] else w for w in words]
    words = ["-O1" if w == "-O3" else w for w in words]  # for time's sake
    compiler = 2 if "ccache" in words[0] else 1
    words.insert(compiler, f"-I{folder}")  # a mutated header comes first
    return subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True)


def link(build, folder, source, program):
    target = f"emulated_{program}_test"
    command = next(c for c in reversed(commands_of(build, target)) if target in c)
    command = re.sub(rf"\S*coxswain_cuda_emulated\.dir\S*/{re.escape(source)}\.o", str(folder / "mutant.o"), command)
    command = command.replace(f"-o tests/{target}", f"-o {folder}/mutant")
    return subprocess.run(command, shell=True, cwd=build, capture_output=True, text=True)


def limit_time():
    """Of the processor, not of the clock: a machine at work on other things makes no mutant caught."""
    resource.setrlimit(resource.RLIMIT_CPU, (120, 130))


def run_mutant(build, folder, name, before, after, test):
    """(whether it was caught, by what)."""
    file, _, user = name.partition(": ")
    text = (SOURCE / "kernels/cuda" / file).read_text()
    if before not in text:
        return False, "the text is not there any more: mend this list"
    shutil.rmtree(folder, ignore_errors=True)  # headers of another version's list
    target = folder / "kernels/cuda" / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace(before, after, 1))
    source = f"{user}.cu" if user else file
    program, tests = TESTS[test]
    for step in (lambda: compile_mutant(build, source, folder, folder / "mutant.o"),
                 lambda: link(build, folder, source, program)):
        ended = step()
        if ended.returncode != 0:
            return False, f"does not compile: {ended.stderr[:500]}"
    words = [folder / "mutant", "--gtest_brief=1", "--gtest_fail_fast", f"--gtest_filter={tests}"]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit_time, timeout=3600)
    except subprocess.TimeoutExpired:
        return False, "it waits for ever"
    finally:
        (folder / "mutant").unlink()
    said = ended.stdout + ended.stderr
    if ended.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return True, "no end"
    if ended.returncode == 0:
        return False, "NOT CAUGHT"
    report = re.search(r"cuda emulation.*|C\+\+ exception with description .*", said)
    return True, (report.group(0) if report else how_it_differs(said)).replace("\n", " ")


def how_it_differs(said):
    """The first failure in a few words: which case, and whether it is an order's bits or a difference from the CPU."""
    case = re.search(r"agreement_test.cpp:\d+: (.*)", said)
    bits = re.search(r"(\S.*) has other bits than in order 0", said)
    value = re.search(r"^(.* \[\d+\]: \S+, the CPU's \S+)", said, re.MULTILINE)
    failed = re.search(r"\[  FAILED  \] (\S+)", said)
    what = (f"{bits.group(1)}: other bits in another order" if bits else value.group(1) if value else
            f"{failed.group(1)} fails" if failed else "it fails")
    return f"{case.group(1)}: {what}" if case else what


def chosen(words):
    numbered = list(enumerate(MUTANTS))
    if words == ["--some"]:
        if os.environ.get("COXSWAIN_FULL"):
            return numbered
        count = subprocess.run(["git", "rev-list", "--count", "HEAD"], cwd=SOURCE, capture_output=True, text=True).stdout
        first = SOME * int(count or 0)
        return [numbered[(first + i) % len(numbered)] for i in range(SOME)]
    return [(n, m) for n, m in numbered if not words or any(word in " ".join(m) for word in words)]


def main():
    build, words = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    survived = 0
    print("| | file | was | became | caught by |\n|--:|---|---|---|---|")
    for number, mutant in chosen(words):
        caught, how = run_mutant(build, build / "tests/mutants" / str(number), *mutant)
        survived += not caught
        was, became = (" ".join(text.split())[:60] for text in mutant[1:3])
        print(f"| {number} | {mutant[0]} | `{was}` | `{became}` | {how[:160]} |", flush=True)
    print(f"\n{survived} mutants not caught")
    sys.exit(1 if survived else 0)


main()
