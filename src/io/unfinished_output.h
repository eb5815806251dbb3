// What a phase without checkpoints has made so far, a record a line, so that the same run goes on from there after a
// stop, a limit of time or a kill: generated responses, scores.
//
// The first line of the file says what the records are of: weights, inputs, settings. A run of something else begins
// the file anew. A line that a kill has cut is not read. Every failure is an Error(input_output) on every rank.
// Collective over the world.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/append_file.h"
#include "parallel/communicator.h"

namespace coxswain {

class UnfinishedOutput {
 public:
  // `of` is one line without its end.
  UnfinishedOutput(Communicator& world, std::filesystem::path path, const std::string& of);

  // The records of whole steps, of so many records each, on every rank; the file forgets the others. Of steps_done at
  // most, as rank 0 says: a kill may have come before the step's line of metrics.jsonl.
  std::vector<std::string> take(std::int64_t records_a_step, std::int64_t steps_done);
  void append(const std::string& records);  // those of one step, each with the end of its line; they reach the disk
  void remove();                            // the run has finished

 private:
  Communicator& world_;
  std::filesystem::path path_;
  std::string of_;
  std::optional<AppendFile> file_;  // on rank 0
};

}  // namespace coxswain
