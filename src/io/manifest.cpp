#include "io/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/fingerprint.h"

namespace coxswain {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::string_view kOpening = "{\n\"manifest_hash\": \"";
constexpr std::size_t kDigits = 16;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json extents(const Shape& shape) {
  Json list = Json::array();
  for (int d = 0; d < shape.rank(); ++d) list.push_back(shape[d]);
  return list;
}

// One line for each entry, so that a person can read and compare manifests.
class Lines {
 public:
  void entry(const std::string& name, const Json& value) { line(dump(name) + ": " + dump(value)); }
  void open(const std::string& name, char bracket) { line(dump(name) + ": " + bracket), first_ = true; }
  void item(const Json& value) { line(dump(value)); }
  void close(char bracket) { text_ += fmt::format("\n{}", bracket), first_ = false; }
  std::string text_{kOpening};

 private:
  void line(const std::string& line) {
    text_ += first_ ? "\n" : ",\n";
    text_ += line;
    first_ = false;
  }
  bool first_ = false;
};

std::string hash_of(std::string text) {
  text.replace(kOpening.size(), kDigits, kDigits, '0');
  return hexadecimal(hash_bytes(text.data(), text.size()));
}

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(ExitCode::data, fmt::format("{}: {}", path, what));
}

Shape shape_of(const Json& list) {
  if (list.size() > Shape::kMaxRank) throw std::invalid_argument("a shape has too many dimensions");
  Shape shape;
  std::int64_t elements = 1;
  for (const Json& extent : list) {
    const auto value = extent.get<std::int64_t>();
    if (value < 0 || value > (std::int64_t{1} << 56) / std::max<std::int64_t>(elements, 1))
      throw std::invalid_argument(fmt::format("a shape has the extent {}", value));
    elements *= value;
    shape.append(value);
  }
  return shape;
}

DType dtype_named(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32})
    if (name == name_of(dtype)) return dtype;
  throw std::invalid_argument("unknown element type " + name);
}

// Only names of our own: no folder, no link out of the checkpoint's folder.
void check_file_name(const std::string& name) {
  const bool part = name.starts_with("part_") && name.ends_with(".h5") && name.size() >= 13 &&
                    std::all_of(name.begin() + 5, name.end() - 3, [](char c) { return c >= '0' && c <= '9'; });
  if (!part && name != kGlobalFileName) throw std::invalid_argument("unexpected file name " + name);
}

void read_pieces(const Json& json, Manifest& manifest) {
  for (const auto& [name, list] : json.items()) {
    Manifest::Tensor& tensor = manifest.tensors.at(name);
    for (const Json& item : list) {
      Manifest::Piece piece{item.at(0).get<std::int64_t>(), item.at(1).get<std::string>(), shape_of(item.at(2)),
                            shape_of(item.at(3))};
      if (piece.file < 0 || piece.file >= static_cast<std::int64_t>(manifest.files.size()))
        throw std::invalid_argument("a piece of " + name + " is in no file");
      tensor.pieces.push_back(piece);
    }
  }
  for (const auto& [name, tensor] : manifest.tensors) check_coverage(name, tensor);
}

Manifest from_json(const Json& json) {
  if (json.at("format").get<int>() != kFormat)
    throw std::invalid_argument(fmt::format("format {} is not known here; this program reads format {}",
                                            json.at("format").get<int>(), kFormat));
  Manifest manifest;
  manifest.header = {json.at("step"), json.at("tokens"),  json.at("deck"),
                     json.at("grid"), json.at("program"), json.value("best", std::int64_t{0})};
  for (const Json& file : json.at("files")) {
    manifest.files.push_back({file.at("name"), file.at("bytes"), file.at("hash")});
    check_file_name(manifest.files.back().name);
  }
  if (std::none_of(manifest.files.begin(), manifest.files.end(),
                   [](const auto& f) { return f.name == kGlobalFileName; }))
    throw std::invalid_argument(fmt::format("{} is not among its files", kGlobalFileName));
  for (const auto& [name, hash] : json.at("values").items()) manifest.values[name] = hash;
  for (const auto& [name, tensor] : json.at("tensors").items())
    manifest.tensors[name] = {dtype_named(tensor.at("dtype")),
                              shape_of(tensor.at("shape")),
                              std::stoull(tensor.at("fingerprint").get<std::string>(), nullptr, 16),
                              {}};
  read_pieces(json.at("pieces"), manifest);
  if (manifest.state() != json.at("state").get<std::string>()) throw std::invalid_argument("the state's hash differs");
  return manifest;
}

bool overlap(const Manifest::Piece& a, const Manifest::Piece& b) {
  for (int d = 0; d < a.offset.rank(); ++d)
    if (a.offset[d] >= b.offset[d] + b.count[d] || b.offset[d] >= a.offset[d] + a.count[d]) return false;
  return true;
}

}  // namespace

std::string part_name(int rank) { return fmt::format("part_{:05d}.h5", rank); }

std::string Manifest::state() const {
  std::string all;
  for (const auto& [name, tensor] : tensors)
    all +=
        fmt::format("{} {} {} {}\n", name, name_of(tensor.dtype), tensor.shape.str(), hexadecimal(tensor.fingerprint));
  for (const auto& [name, hash] : values) all += fmt::format("{} {}\n", name, hash);
  return hexadecimal(hash_bytes(all.data(), all.size()));
}

std::int64_t Manifest::bytes() const {
  std::int64_t sum = 0;
  for (const File& file : files) sum += file.bytes;
  return sum;
}

std::string Manifest::text() const {
  Lines lines;
  lines.text_ += std::string(kDigits, '0') + '"';
  lines.entry("format", kFormat);
  lines.entry("step", header.step);
  lines.entry("tokens", header.tokens);
  if (header.best > 0) lines.entry("best", header.best);
  lines.entry("program", header.program);
  lines.entry("grid", header.grid);
  lines.entry("deck", header.deck);
  lines.entry("state", state());
  lines.open("files", '[');
  for (const File& file : files) lines.item(Json{{"name", file.name}, {"bytes", file.bytes}, {"hash", file.hash}});
  lines.close(']');
  lines.open("values", '{');
  for (const auto& [name, hash] : values) lines.entry(name, hash);
  lines.close('}');
  lines.open("tensors", '{');
  for (const auto& [name, tensor] : tensors)
    lines.entry(name, Json{{"dtype", name_of(tensor.dtype)},
                           {"shape", extents(tensor.shape)},
                           {"fingerprint", hexadecimal(tensor.fingerprint)}});
  lines.close('}');
  lines.open("pieces", '{');
  for (const auto& [name, tensor] : tensors) {
    Json list = Json::array();
    for (const Piece& piece : tensor.pieces)
      list.push_back(Json::array({piece.file, piece.dataset, extents(piece.offset), extents(piece.count)}));
    lines.entry(name, list);
  }
  lines.close('}');
  std::string text = lines.text_ + "\n}\n";
  return text.replace(kOpening.size(), kDigits, hash_of(text));
}

Manifest parse_manifest(const std::string& text, const std::string& path) {
  if (text.empty()) refuse(path, "it is missing or empty");
  if (text.size() < kOpening.size() + kDigits || !text.starts_with(kOpening)) refuse(path, "it is not a manifest");
  const std::string said = text.substr(kOpening.size(), kDigits), found = hash_of(text);
  if (said != found) refuse(path, fmt::format("its hash is {}, and it says that it must be {}", found, said));
  try {
    return from_json(Json::parse(text));
  } catch (const std::exception& error) {
    refuse(path, error.what());
  }
}

void check_coverage(const std::string& name, const Manifest::Tensor& tensor) {
  std::int64_t covered = 0;
  for (const Manifest::Piece& piece : tensor.pieces) {
    bool inside = piece.offset.rank() == tensor.shape.rank() && piece.count.rank() == tensor.shape.rank();
    for (int d = 0; inside && d < tensor.shape.rank(); ++d)
      inside = piece.offset[d] >= 0 && piece.count[d] > 0 && piece.offset[d] <= tensor.shape[d] - piece.count[d];
    if (!inside)
      throw Error(ExitCode::internal, fmt::format("tensor {} of shape {} has no box of {} elements at {}", name,
                                                  tensor.shape.str(), piece.count.str(), piece.offset.str()));
    covered += piece.count.elements();
  }
  if (covered != tensor.shape.elements())
    throw Error(ExitCode::internal, fmt::format("tensor {} of shape {} was shown in boxes with {} elements; it has {}",
                                                name, tensor.shape.str(), covered, tensor.shape.elements()));
  for (std::size_t i = 0; i < tensor.pieces.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(tensor.pieces[i], tensor.pieces[j]))
        throw Error(ExitCode::internal,
                    fmt::format("tensor {} was shown twice: the boxes {} at {} and {} at {} overlap", name,
                                tensor.pieces[j].count.str(), tensor.pieces[j].offset.str(),
                                tensor.pieces[i].count.str(), tensor.pieces[i].offset.str()));
}

}  // namespace coxswain
