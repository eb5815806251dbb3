// MANIFEST.json: what a checkpoint holds, and what each of its bytes must be.
//
// `tensors`, `values` and `state` do not depend on the grid: two checkpoints hold the same state if `state` is equal.
// The first entry is the XXH3 of the whole text with its own 16 digits written as zeros, so that no byte of this file
// can change unseen either.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/view.h"

namespace coxswain {

// What a checkpoint says about the run that wrote it.
struct CheckpointHeader {
  std::int64_t step = 0;
  std::int64_t tokens = 0;  // seen by the run so far
  std::string deck;         // the effective deck's text
  std::string grid;         // "tensor 2, pipeline 2, data 1": for people; nothing depends on it
  std::string program;      // name and version
  std::int64_t best = 0;    // step of the run's best weights so far, whose checkpoint stays; 0: none is better
};

struct Manifest {
  struct File {
    std::string name;
    std::int64_t bytes = 0;
    std::string hash;
  };
  struct Piece {
    std::int64_t file = 0;  // index into files
    std::string dataset;
    Shape offset, count;
  };
  struct Tensor {
    DType dtype = DType::f32;
    Shape shape;
    std::uint64_t fingerprint = 0;
    std::vector<Piece> pieces;
  };

  CheckpointHeader header;
  std::vector<File> files;
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> values;  // hash of each

  std::string state() const;  // one hash over tensors and values
  std::string text() const;
  std::int64_t bytes() const;  // of all files
};

constexpr const char* kManifestName = "MANIFEST.json";
constexpr const char* kGlobalFileName = "checkpoint.h5";
std::string part_name(int rank);  // part_00012.h5

// Throws Error(data) that says what is wrong with it; `path` is for the message.
Manifest parse_manifest(const std::string& text, const std::string& path);

// Throws Error(internal) naming the tensor unless the pieces hold each of its elements exactly once.
void check_coverage(const std::string& name, const Manifest::Tensor& tensor);

}  // namespace coxswain
