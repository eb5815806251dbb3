#include "io/part.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "io/disk_file.h"
#include "io/fingerprint.h"
#include "io/hdf5_file.h"

namespace coxswain {

namespace {

using Json = nlohmann::json;

struct PlacedBox {
  const Snapshot::Box* box = nullptr;
  std::string dataset;
  std::int64_t place = 0;  // in the file
};

std::vector<std::int64_t> extents(const Shape& shape) {
  std::vector<std::int64_t> list;
  for (int d = 0; d < shape.rank(); ++d) list.push_back(shape[d]);
  return list;
}

Shape shape_of(const Json& list) {
  Shape shape;
  for (const Json& extent : list) shape.append(extent.get<std::int64_t>());
  return shape;
}

// "/model/x" if the rank holds one box of it, else "/model/x/piece_0000" and so on.
std::vector<PlacedBox> lay_out(const std::string& path, const Snapshot& snapshot) {
  std::map<std::string, int> total, seen;
  for (const Snapshot::Box& box : snapshot.boxes()) ++total[box.name];
  std::vector<PlacedBox> placed;
  hdf5::File file = hdf5::File::create(path);
  for (const Snapshot::Box& box : snapshot.boxes()) {
    std::string name = '/' + box.name;
    if (total[box.name] > 1) name += fmt::format("/piece_{:04d}", seen[box.name]++);
    // Virtual datasets have at least one dimension, and so have their sources.
    const Shape shape = box.count.rank() == 0 ? Shape{1} : box.count;
    const hdf5::Dataset dataset = file.create_dataset(name, hdf5::element_of(box.dtype), shape);
    placed.push_back({&box, name, box.bytes == 0 ? 0 : dataset.file_offset()});
    if (box.global.rank() == 0) continue;
    file.set_attribute(name, "global_shape", box.global);
    file.set_attribute(name, "offset", box.offset);
  }
  file.close();
  return placed;
}

class RunningHash {
 public:
  RunningHash() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void update(const void* memory, std::int64_t bytes) {
    XXH3_64bits_update(state_.get(), memory, static_cast<std::size_t>(bytes));
  }
  std::uint64_t digest() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// HDF5's own bytes between the datasets are read back; the datasets' come from memory.
FileHash write_boxes(const std::string& path, std::vector<PlacedBox> boxes, const Snapshot& snapshot) {
  std::sort(boxes.begin(), boxes.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
  constexpr std::int64_t kBlock = std::int64_t{4} << 20;
  DiskFile file = DiskFile::modify(path);
  const std::int64_t bytes = file.size();
  file.reserve(bytes);
  RunningHash hash;
  std::vector<char> gap;
  std::int64_t at = 0;
  const auto hash_gap = [&](std::int64_t end) {
    gap.resize(static_cast<std::size_t>(end - at));
    file.read(at, std::as_writable_bytes(std::span(gap)));
    hash.update(gap.data(), end - at);
    at = end;
  };
  for (const PlacedBox& placed : boxes) {
    if (placed.box->bytes == 0) continue;
    hash_gap(placed.place);
    const std::byte* memory = snapshot.memory(*placed.box);
    const auto size = static_cast<std::int64_t>(placed.box->bytes);
    for (std::int64_t done = 0; done < size; done += kBlock) {
      const std::int64_t block = std::min(kBlock, size - done);
      hash.update(memory + done, block);
      file.write(placed.place + done, {memory + done, static_cast<std::size_t>(block)});
      file.send(placed.place + done, block);
    }
    at += size;
  }
  hash_gap(bytes);
  file.close();
  return {bytes, hash.digest()};
}

}  // namespace

std::string write_part(const std::string& folder, int rank, const Snapshot& snapshot, const StageHook& at_stage) {
  Json part = {{"pieces", Json::array()}, {"values", Json::object()}};
  for (const auto& [name, value] : snapshot.values()) part["values"][name] = hexadecimal(hash_value(value));
  if (snapshot.boxes().empty()) return part.dump();
  const std::string path = folder + '/' + part_name(rank);
  const std::vector<PlacedBox> boxes = lay_out(path, snapshot);
  at_stage("part laid out");
  // A second thread computes the fingerprints meanwhile: both need the memory's bytes once, and a processor.
  std::future<std::vector<std::uint64_t>> fingerprints = std::async(std::launch::async, [&snapshot] {
    std::vector<std::uint64_t> list;
    for (const Snapshot::Box& box : snapshot.boxes())
      list.push_back(fingerprint(box.dtype, snapshot.memory(box), box.global, box.offset, box.count));
    return list;
  });
  const FileHash hash = write_boxes(path, boxes, snapshot);
  at_stage("part written");
  const std::vector<std::uint64_t> list = fingerprints.get();
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Snapshot::Box& box = *boxes[i].box;
    part["pieces"].push_back({box.name, name_of(box.dtype), extents(box.global), extents(box.offset),
                              extents(box.count), boxes[i].dataset, list[i]});
  }
  // While the disk works on what it was sent, see whether the file holds what memory held.
  const FileHash found = hash_file(path);
  if (found.bytes != hash.bytes || found.hash != hash.hash)
    throw Error(ExitCode::input_output, fmt::format("{} does not hold what was written to it: hash {} instead of {}",
                                                    path, hexadecimal(found.hash), hexadecimal(hash.hash)));
  sync_file(path);
  at_stage("part synced");
  part["file"] = {part_name(rank), hash.bytes, hexadecimal(hash.hash)};
  return part.dump();
}

void merge_part(const std::string& text, int rank, Manifest& manifest) {
  const Json part = Json::parse(text);
  for (const auto& [name, hash] : part.at("values").items()) {
    const auto known = manifest.values.find(name);
    if (rank == 0)
      manifest.values[name] = hash.get<std::string>();
    else if (known == manifest.values.end() || known->second != hash.get<std::string>())
      throw Error(
          ExitCode::replicas_disagree,
          fmt::format("the value '{}' differs between rank 0 and rank {}: no checkpoint is written", name, rank));
  }
  if (part.contains("file")) {
    const Json& file = part.at("file");
    manifest.files.push_back({file.at(0), file.at(1), file.at(2)});
  }
  const auto index = static_cast<std::int64_t>(manifest.files.size()) - 1;
  for (const Json& piece : part.at("pieces")) {
    const std::string name = piece.at(0), dtype = piece.at(1);
    const Shape shape = shape_of(piece.at(2));
    const auto [place, is_new] = manifest.tensors.try_emplace(name);
    Manifest::Tensor& tensor = place->second;
    if (is_new) {
      tensor.shape = shape;
      for (const DType type : {DType::f32, DType::bf16, DType::f64, DType::i32})
        if (dtype == name_of(type)) tensor.dtype = type;
    }
    if (dtype != name_of(tensor.dtype) || !(shape == tensor.shape))
      throw Error(ExitCode::internal, fmt::format("tensor {} is {} {} on one rank and {} {} on rank {}", name,
                                                  name_of(tensor.dtype), tensor.shape.str(), dtype, shape.str(), rank));
    tensor.fingerprint += piece.at(6).get<std::uint64_t>();
    if (shape.elements() != 0)
      tensor.pieces.push_back({index, piece.at(5), shape_of(piece.at(3)), shape_of(piece.at(4))});
  }
}

void write_global_file(const std::string& folder, const Manifest& manifest,
                       const std::map<std::string, Value>& values) {
  hdf5::File file = hdf5::File::create(folder + '/' + kGlobalFileName);
  file.set_attribute("/", "step", manifest.header.step);
  file.set_attribute("/", "tokens", manifest.header.tokens);
  file.set_attribute("/", "grid", manifest.header.grid);
  file.set_attribute("/", "program", manifest.header.program);
  file.set_attribute("/", "state", manifest.state());
  file.set_attribute("/", "deck", manifest.header.deck);
  for (const auto& [name, tensor] : manifest.tensors) {
    const hdf5::Element element = hdf5::element_of(tensor.dtype);
    const bool scalar = tensor.shape.rank() == 0;
    std::vector<hdf5::VirtualSource> sources;
    for (const Manifest::Piece& piece : tensor.pieces)
      sources.push_back({manifest.files[static_cast<std::size_t>(piece.file)].name, piece.dataset,
                         scalar ? Shape{0} : piece.offset, scalar ? Shape{1} : piece.count});
    file.create_virtual('/' + name, element, scalar ? Shape{1} : tensor.shape, sources);
  }
  for (const auto& [name, value] : values) {
    const std::string path = '/' + name;
    if (const auto* integer = std::get_if<std::int64_t>(&value))
      file.create_dataset(path, hdf5::Element::i64, Shape{}).write(integer);
    else if (const auto* real = std::get_if<double>(&value))
      file.create_dataset(path, hdf5::Element::f64, Shape{}).write(real);
    else if (const auto* list = std::get_if<std::vector<double>>(&value))
      file.create_dataset(path, hdf5::Element::f64, Shape{static_cast<std::int64_t>(list->size())}).write(list->data());
    else
      file.write_text(path, std::get<std::string>(value));
  }
  file.close();
}

}  // namespace coxswain
