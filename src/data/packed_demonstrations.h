// Demonstrations as training sequences of one length: as many in a row as fit, each a document of its own, to which
// attention and positions are confined. So the loss of a packed sequence is that of its demonstrations one by one.
//
//   tokens            p p r r s | p r s | (filled up)       p: prompt, r: response, s: its stop
//   targets           p r r s   |   r s
//   weights           0 1 1 1   |   1 1                     1: the target is a token of a response that is learned
//   positions         0 1 2 3   |   0 1
//   document_start    0 0 0 0   |   4 4
//
// Epoch by epoch, each in a random order of its own: sequence i of the run is the same whoever asks, on any grid and
// after any restart. In the epoch's order each demonstration goes into the first of the last few sequences that has
// room for it, or else into a new one. None is cut, left out or seen twice in an epoch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/demonstrations.h"
#include "model/micro_batch.h"
#include "tensor/archive.h"

namespace coxswain {

class PackedDemonstrations {
 public:
  struct Options {
    int length = 0;       // t
    bool packing = true;  // false: one demonstration a sequence
    bool shuffle = true;  // false: every epoch in the order of the files
    std::uint64_t seed = 0;
  };
  // None may have more than length + 1 tokens.
  PackedDemonstrations(std::vector<Demonstration> demonstrations, const Options& options);

  int length() const { return options_.length; }
  std::int64_t demonstrations() const { return static_cast<std::int64_t>(demonstrations_.size()); }
  std::int64_t sequences(int epochs);                             // of the first so many epochs together
  std::int64_t learned_tokens(std::int64_t sequence);             // the sum of its weights
  void write(std::int64_t sequence, MicroBatch& batch, int row);  // into a batch with documents
  std::string describe();                                         // for the log
  // What a cursor is a cursor of: other data is an Error(data) that names the key.
  void visit(Archive& archive, const std::string& name, const std::string& key);

 private:
  struct Epoch {
    std::int64_t number = -1;
    std::vector<std::int32_t> order;   // demonstrations
    std::vector<std::int64_t> starts;  // of each sequence in `order`, and its end
    std::int64_t sequences() const { return static_cast<std::int64_t>(starts.size()) - 1; }
  };
  struct Range {
    std::int64_t first = 0, end = 0;  // in epoch_.order
  };
  Epoch plan(std::int64_t number) const;
  Range locate(std::int64_t sequence);  // makes epoch_ the one that has it
  const Demonstration& at(std::int64_t place) const;

  std::vector<Demonstration> demonstrations_;
  Options options_;
  std::string content_hash_;
  std::vector<std::int64_t> begins_ = {0};  // first sequence of each epoch so far, and of the next one
  Epoch epoch_;                             // the one that was asked for last
};

// A batch of sequences that have no tokens yet: no weights, every sequence one document.
MicroBatch blank_documents(int sequences, int length);

}  // namespace coxswain
