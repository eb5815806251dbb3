// HDF5 files, each call checked. The only place, with its .cpp, that includes HDF5.
//
// Handles close themselves; `File::close()` reports what a destructor could not. One lock serialises all calls, because
// an HDF5 library need not be thread-safe and checkpoints are written in the background.
// Files are made with H5Pset_libver_bounds(V110, V110): with it a flipped bit in metadata is found, not misread.
// Nothing outside the file itself is ever opened through these classes: soft and external links, external storage and
// plugins are refused (virtual datasets can be created, and are left to other programs to read).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/view.h"

namespace coxswain::hdf5 {

enum class Element { u8, u16, i32, u32, i64, f32, f64, bf16, text };

Element element_of(DType dtype);
std::size_t size_of(Element element);  // bytes
const char* name_of(Element element);

// An HDF5 identifier with its owner.
class Handle {
 public:
  Handle() = default;
  Handle(std::int64_t id, int (*close)(std::int64_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { close(); }
  std::int64_t id() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  int close() noexcept;  // negative if HDF5 said so

 private:
  std::int64_t id_ = -1;
  int (*close_)(std::int64_t) = nullptr;
};

class Dataset {
 public:
  Element element() const { return element_; }
  const Shape& shape() const { return shape_; }
  const std::string& name() const { return name_; }

  // Dense memory of `count` elements at `offset`; the element type is the dataset's own, never converted.
  void write(const Shape& offset, const Shape& count, const void* memory);
  void read(const Shape& offset, const Shape& count, void* memory) const;
  // The same into a box at `place` of dense memory of shape `extents`.
  void read_into(const Shape& offset, const Shape& count, void* memory, const Shape& extents, const Shape& place) const;
  void write(const void* memory) { write(origin(), shape_, memory); }
  void read(void* memory) const { read(origin(), shape_, memory); }
  void append(const void* memory, std::int64_t count);  // extendible datasets of one dimension

  // Where the elements of a contiguous dataset begin in the file: they can be written there without HDF5.
  std::int64_t file_offset() const;

 private:
  friend class File;
  Shape origin() const;
  Handle handle_;
  std::string path_, name_;
  Element element_ = Element::u8;
  Shape shape_;
};

// One box of a virtual dataset and the whole dataset, in another file, that holds it.
struct VirtualSource {
  std::string file;  // relative to the folder of the virtual dataset's file
  std::string dataset;
  Shape offset, count;
};

class File {
 public:
  static File create(const std::string& path);  // replaces a file of that name
  static File open(const std::string& path);    // for reading
  File() = default;
  void close();  // throws if anything could not be written
  const std::string& path() const { return path_; }

  bool has(const std::string& name) const;  // a dataset or group that is reached by hard links alone
  std::vector<std::string> list(const std::string& group) const;

  // Groups on the way are made. Contiguous, space taken at once, not filled.
  Dataset create_dataset(const std::string& name, Element element, const Shape& shape);
  Dataset create_extendible(const std::string& name, Element element, std::int64_t chunk);  // [0], for append()
  void create_virtual(const std::string& name, Element element, const Shape& shape,
                      const std::vector<VirtualSource>& sources);
  Dataset open_dataset(const std::string& name) const;

  // A text is a string of fixed length; any bytes are allowed.
  void write_text(const std::string& name, const std::string& text);
  std::string read_text(const std::string& name) const;

  // Attributes of a dataset or group ("/" for the file itself).
  void set_attribute(const std::string& object, const std::string& name, std::int64_t value);
  void set_attribute(const std::string& object, const std::string& name, double value);
  void set_attribute(const std::string& object, const std::string& name, const std::string& value);
  void set_attribute(const std::string& object, const std::string& name, const Shape& value);
  bool has_attribute(const std::string& object, const std::string& name) const;
  std::int64_t int_attribute(const std::string& object, const std::string& name) const;
  double double_attribute(const std::string& object, const std::string& name) const;
  std::string text_attribute(const std::string& object, const std::string& name) const;

 private:
  void put_attribute(const std::string& object, const std::string& name, const Handle& type, const Handle& space,
                     const void* value);
  void get_attribute(const std::string& object, const std::string& name, Element element, void* value) const;
  Handle open_attribute(const std::string& object, const std::string& name) const;
  Handle create_handle(const std::string& name, const Handle& type, const Handle& space, const Handle& creation);
  Handle handle_;
  std::string path_;
};

}  // namespace coxswain::hdf5
