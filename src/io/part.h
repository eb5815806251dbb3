// One rank's file of a checkpoint, part_00012.h5, and what the other ranks need to know of it.
//
// HDF5 lays the contiguous datasets out and is closed; their bytes are then written at the places that HDF5 gave them
// (part_bytes.h).
#pragma once

#include <string>

#include "io/manifest.h"
#include "io/part_bytes.h"
#include "io/snapshot.h"

namespace coxswain {

// A rank's part: its file (none if it had no pieces), its pieces with fingerprints, and the hashes of its values.
// Manifest::Piece::file is 0 throughout.
std::string write_part(const std::string& folder, int rank, const Snapshot& snapshot, const StageHook& at_stage);

// Adds what write_part returned for `rank` to the manifest of all. Throws Error if ranks contradict each other.
void merge_part(const std::string& part, int rank, Manifest& manifest);

// The whole checkpoint under global names: virtual datasets over the parts, values, and the header as attributes.
void write_global_file(const std::string& folder, const Manifest& manifest, const std::map<std::string, Value>& values);

}  // namespace coxswain
