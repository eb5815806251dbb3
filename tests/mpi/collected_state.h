// What a run would save, copied to the host, and compared between two grids element by element.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tensor/archive.h"

namespace coxswain {

// Copies what a run would save; tensors by name, whole where one rank has all of it. Of a device's memory by its
// backend.
class Collector final : public Archive {
 public:
  explicit Collector(Backend* device = nullptr) : device_(device) {}
  struct Box {
    Shape global, offset, count;
    std::vector<std::uint32_t> words;
  };
  bool reading() const override { return false; }
  bool has(const std::string&) const override { return false; }
  void value(const std::string& name, std::int64_t& count) override { counts[name] = count; }
  void value(const std::string&, double&) override {}
  void value(const std::string&, std::string&) override {}
  void value(const std::string&, std::vector<double>&) override {}
  void tensor(const Piece& piece) override {
    Box box{piece.global, piece.offset, piece.count, {}};
    box.words.resize(static_cast<std::size_t>(piece.count.elements()));
    if (device_ != nullptr)
      device_->download(piece.memory, box.words.data());
    else
      std::memcpy(box.words.data(), piece.memory.data, piece.memory.bytes());
    boxes[piece.name].push_back(std::move(box));
  }
  using Boxes = std::map<std::string, std::vector<Box>>;
  Boxes boxes;
  std::map<std::string, std::int64_t> counts;

 private:
  Backend* device_;
};

// Every element of a rank's boxes by its place in the global tensor.
inline std::map<std::int64_t, std::uint32_t> by_place(const std::vector<Collector::Box>& boxes) {
  std::map<std::int64_t, std::uint32_t> elements;
  for (const auto& box : boxes) {
    const std::int64_t row_length = box.global.elements() / box.global[0];
    const std::int64_t columns = box.count.elements() / box.count[0];
    const std::int64_t first_column = box.global.rank() > 1 ? box.offset[1] : 0;
    for (std::int64_t i = 0; i < box.count.elements(); ++i)
      elements[(box.offset[0] + i / columns) * row_length + first_column + i % columns] =
          box.words[static_cast<std::size_t>(i)];
  }
  return elements;
}

// Every element that this rank holds has the bits of the serial run.
inline void expect_same_boxes(const Collector::Boxes& mine, const Collector::Boxes& serial, const std::string& where) {
  for (const auto& [name, boxes] : mine) {
    const auto expected = by_place(serial.at(name));
    for (const auto& [place, bits] : by_place(boxes))
      ASSERT_EQ(bits, expected.at(place)) << where << " " << name << " element " << place;
  }
}

}  // namespace coxswain
