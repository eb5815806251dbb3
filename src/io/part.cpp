#include "io/part.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "io/fingerprint.h"
#include "io/hdf5_file.h"
#include "io/part_bytes.h"

namespace coxswain {

namespace {

using Json = nlohmann::json;

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

}  // namespace

std::string write_part(const std::string& folder, int rank, const Snapshot& snapshot, const StageHook& at_stage) {
  Json part = {{"pieces", Json::array()}, {"values", Json::object()}};
  for (const auto& [name, value] : snapshot.values()) part["values"][name] = hexadecimal(hash_value(value));
  if (snapshot.boxes().empty()) return part.dump();
  const std::string path = folder + '/' + part_name(rank);
  const std::vector<PlacedBox> boxes = lay_out(path, snapshot);
  at_stage("part laid out");
  const PartBytes written = write_part_bytes(path, boxes, snapshot, at_stage);
  at_stage("part synced");
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Snapshot::Box& box = *boxes[i].box;
    part["pieces"].push_back({box.name, name_of(box.dtype), extents(box.global), extents(box.offset),
                              extents(box.count), boxes[i].dataset, written.fingerprints[i]});
  }
  part["file"] = {part_name(rank), written.file.bytes, hexadecimal(written.file.hash)};
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
