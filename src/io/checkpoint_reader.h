// Reads a checkpoint on any grid. Nothing of it is opened as HDF5 before its manifest and the hash of each file have
// been verified; the ranks share that work.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/manifest.h"
#include "io/snapshot.h"
#include "parallel/communicator.h"

namespace coxswain {

class CheckpointReader {
 public:
  // Collective. Every file is read and hashed. Throws Error(data), on every rank, that names what differs.
  static CheckpointReader verified(Communicator& world, Backend& backend, const std::string& folder);

  const std::string& folder() const { return folder_; }
  const CheckpointHeader& header() const { return manifest_.header; }
  const Manifest& manifest() const { return manifest_; }

  // Collective. Fills all that the visitor shows. A name that is missing, a shape or a type that differs is an Error
  // with this code, on every rank.
  void load(const Visit& visit, ExitCode code = ExitCode::no_checkpoint);

 private:
  CheckpointReader(Communicator& world, Backend& backend, std::string folder, Manifest manifest)
      : world_(&world), backend_(&backend), folder_(std::move(folder)), manifest_(std::move(manifest)) {}
  Communicator* world_;
  Backend* backend_;
  std::string folder_;
  Manifest manifest_;
};

// What a checkpoint says about itself, from its manifest alone: a folder step_N.
Manifest read_manifest(const std::string& folder);

}  // namespace coxswain
