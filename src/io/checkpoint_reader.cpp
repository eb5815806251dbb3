#include "io/checkpoint_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "io/agree.h"
#include "io/disk_file.h"
#include "io/fingerprint.h"
#include "io/hdf5_file.h"

namespace coxswain {

namespace {

// What a file's bytes say against the manifest; empty if they agree.
std::string difference(const std::string& path, const Manifest::File& file) {
  try {
    const FileHash found = hash_file(path);
    if (found.bytes != file.bytes) return fmt::format("{}: {} bytes instead of {}", path, found.bytes, file.bytes);
    if (hexadecimal(found.hash) != file.hash)
      return fmt::format("{}: hash {} instead of {}", path, hexadecimal(found.hash), file.hash);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

// One that cannot be read is a damaged one.
std::string manifest_text(const std::string& path) {
  constexpr std::int64_t kMost = std::int64_t{4} << 30;
  try {
    return read_regular_file(path, kMost);
  } catch (const Error& error) {
    throw Error(ExitCode::data, error.what());
  }
}

class Loader : public Archive {
 public:
  Loader(const std::string& folder, const Manifest& manifest, Backend& backend, ExitCode code)
      : folder_(folder), manifest_(manifest), backend_(backend), code_(code) {}

  bool reading() const override { return true; }
  bool has(const std::string& name) const override {
    return manifest_.tensors.contains(plain(name)) || manifest_.values.contains(plain(name));
  }
  // An error that only this rank meets (its box of a tensor is not there) waits for finish(): the visitor may have to
  // work together with the other ranks once its tensors are read.
  void tensor(const Piece& piece) override;
  void finish() const {
    if (failure_) throw *failure_;
  }
  void value(const std::string& name, std::int64_t& value) override { scalar(name, hdf5::Element::i64, &value); }
  void value(const std::string& name, double& value) override { scalar(name, hdf5::Element::f64, &value); }
  void value(const std::string& name, std::string& value) override {
    if (open_value(name, hdf5::Element::text).shape().rank() != 0) refuse(name, "it is not one text");
    value = file(kGlobalFileName).read_text('/' + plain(name));
  }
  void value(const std::string& name, std::vector<double>& value) override {
    const hdf5::Dataset dataset = open_value(name, hdf5::Element::f64);
    if (dataset.shape().rank() != 1) refuse(name, "it is not a list of numbers");
    value.resize(static_cast<std::size_t>(dataset.shape().elements()));
    dataset.read(value.data());
  }

 private:
  static std::string plain(const std::string& name) { return name.starts_with('/') ? name.substr(1) : name; }

  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw Error(code_, fmt::format("{}: {}: {}. Does the deck describe the run that wrote it?", folder_, name, what));
  }

  const hdf5::File& file(const std::string& name) {
    constexpr std::size_t kOpenFiles = 64;
    const auto known = files_.find(name);
    if (known != files_.end()) return known->second;
    if (files_.size() >= kOpenFiles) files_.clear();
    return files_.emplace(name, hdf5::File::open(folder_ + '/' + name)).first->second;
  }

  hdf5::Dataset open_value(const std::string& name, hdf5::Element element) {
    if (!manifest_.values.contains(plain(name))) refuse(name, "the checkpoint has no such value");
    hdf5::Dataset dataset = file(kGlobalFileName).open_dataset('/' + plain(name));
    if (dataset.element() != element)
      refuse(name, fmt::format("it is {}, not {}", hdf5::name_of(dataset.element()), hdf5::name_of(element)));
    return dataset;
  }

  void scalar(const std::string& name, hdf5::Element element, void* value) {
    const hdf5::Dataset dataset = open_value(name, element);
    if (dataset.shape().rank() != 0) refuse(name, "it is not one number");
    dataset.read(value);
  }

  void read(const Piece& piece);
  std::int64_t read_overlap(const Piece& wanted, const Manifest::Piece& stored, DType dtype);

  const std::string& folder_;
  const Manifest& manifest_;
  Backend& backend_;
  ExitCode code_;
  std::map<std::string, hdf5::File> files_;
  std::vector<std::byte> memory_;
  std::optional<Error> failure_;
};

// Returns how many elements the two boxes share.
std::int64_t Loader::read_overlap(const Piece& wanted, const Manifest::Piece& stored, DType dtype) {
  Shape from = wanted.offset, place = wanted.offset, count = wanted.count;
  for (int d = 0; d < count.rank(); ++d) {
    const std::int64_t first = std::max(wanted.offset[d], stored.offset[d]);
    const std::int64_t last = std::min(wanted.offset[d] + wanted.count[d], stored.offset[d] + stored.count[d]);
    if (first >= last) return 0;
    from[d] = first - stored.offset[d];
    place[d] = first - wanted.offset[d];
    count[d] = last - first;
  }
  const hdf5::File& part = file(manifest_.files[static_cast<std::size_t>(stored.file)].name);
  const hdf5::Dataset dataset = part.open_dataset(stored.dataset);
  const bool one = count.rank() == 0;
  const Shape expected = one ? Shape{1} : stored.count;
  if (dataset.element() != hdf5::element_of(dtype) || !(dataset.shape() == expected))
    refuse(wanted.name,
           fmt::format("{}{} is {} {}, not {} {}", part.path(), stored.dataset, hdf5::name_of(dataset.element()),
                       dataset.shape().str(), name_of(dtype), expected.str()));
  if (one)
    dataset.read(memory_.data());
  else
    dataset.read_into(from, count, memory_.data(), wanted.count, place);
  return count.elements();
}

void Loader::tensor(const Piece& piece) {
  try {
    read(piece);
  } catch (const Error& error) {
    if (!failure_) failure_ = error;
    backend_.fill(piece.memory, 0.0);
  }
}

void Loader::read(const Piece& piece) {
  const auto known = manifest_.tensors.find(plain(piece.name));
  if (known == manifest_.tensors.end()) refuse(piece.name, "the checkpoint has no such tensor");
  const Manifest::Tensor& tensor = known->second;
  if (!(tensor.shape == piece.global))
    refuse(piece.name, fmt::format("its shape is {}, not {}", tensor.shape.str(), piece.global.str()));
  if (tensor.dtype != piece.memory.dtype)
    refuse(piece.name, fmt::format("its type is {}, not {}", name_of(tensor.dtype), name_of(piece.memory.dtype)));
  if (piece.memory.elements() != piece.count.elements() || !piece.memory.is_dense())
    throw Error(ExitCode::internal, fmt::format("{}: memory of shape {} cannot hold the box {}", piece.name,
                                                piece.memory.shape.str(), piece.count.str()));
  if (piece.count.elements() == 0) return;
  if (memory_.size() < piece.memory.bytes()) memory_.resize(piece.memory.bytes());
  std::int64_t found = 0;
  for (const Manifest::Piece& stored : tensor.pieces) found += read_overlap(piece, stored, tensor.dtype);
  if (found != piece.count.elements())
    refuse(piece.name, fmt::format("the box {} at {} is not all there", piece.count.str(), piece.offset.str()));
  backend_.upload(memory_.data(), piece.memory);
}

}  // namespace

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + '/' + kManifestName;
  return parse_manifest(manifest_text(path), path);
}

CheckpointReader CheckpointReader::verified(Communicator& world, Backend& backend, const std::string& folder) {
  const std::string path = folder + '/' + kManifestName;
  const std::string text = from_rank_0(world, "checkpoint manifest", [&] { return manifest_text(path); });
  CheckpointReader reader(world, backend, folder, parse_manifest(text, path));
  const auto& files = reader.manifest_.files;
  std::string mine;
  for (std::size_t i = static_cast<std::size_t>(world.rank()); i < files.size();
       i += static_cast<std::size_t>(world.size())) {
    const std::string problem = difference(folder + '/' + files[i].name, files[i]);
    if (!problem.empty()) mine += (mine.empty() ? "" : "; ") + problem;
  }
  if (world.all_max(mine.empty() ? 0 : 1, "checkpoint verification") == 0) return reader;
  std::string all;
  for (const std::string& problem : world.all_gather(mine, "checkpoint damage"))
    if (!problem.empty()) all += (all.empty() ? "" : "; ") + problem;
  throw Error(ExitCode::data, all).on_every_rank();
}

void CheckpointReader::load(const Visit& visit, ExitCode code) {
  agree(*world_, "checkpoint load", [&] {
    Loader loader(folder_, manifest_, *backend_, code);
    visit(loader);
    loader.finish();
  });
}

}  // namespace coxswain
