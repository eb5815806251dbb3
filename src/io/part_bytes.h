// The bytes of a part's datasets, from memory to the disk, without HDF5: every status is the operating system's own
// (HDF5 can report success on a full disk) and no lock is held meanwhile.
//
// Three threads go over the bytes one behind the other, so that a save takes as long as the disk does: the first hashes
// a block in memory and writes it, the second reads it back while it is hot and hashes what the file holds, the third
// computes the tensors' fingerprints. The file's hash is the one of memory; the one that was read must equal it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/disk_file.h"
#include "io/snapshot.h"

namespace coxswain {

// Called when a stage of a save is done; tests stop there.
using StageHook = std::function<void(const char* stage)>;

struct PlacedBox {
  const Snapshot::Box* box = nullptr;
  std::string dataset;
  std::int64_t place = 0;  // in the file
};

struct PartBytes {
  FileHash file;
  std::vector<std::uint64_t> fingerprints;  // of each box
};

// `path` has all of HDF5's own bytes, and its full size. On return everything is on the disk. Error(input_output) if
// the file does not hold what was written to it.
PartBytes write_part_bytes(const std::string& path, const std::vector<PlacedBox>& boxes, const Snapshot& snapshot,
                           const StageHook& at_stage);

}  // namespace coxswain
