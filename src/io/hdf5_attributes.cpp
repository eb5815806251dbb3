// Texts and attributes of HDF5 files. See hdf5_file.h.
#include <fmt/format.h>

#include <algorithm>

#include "io/hdf5_file.h"
#include "io/hdf5_library.h"

namespace coxswain::hdf5 {

namespace {

constexpr const char* kBytes = "bytes";  // a string of length zero is stored as one byte

}  // namespace

void File::write_text(const std::string& name, const std::string& text) {
  const Library library;
  const Handle type = type_of(Element::text, text.size()), space = space_of(Shape{});
  Handle handle = create_handle(name, type, space, creation_properties(H5D_CONTIGUOUS));
  const std::string padded = text.empty() ? std::string(1, '\0') : text;
  checked(H5Dwrite(handle.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()), ExitCode::input_output, path_,
          "writing " + name);
  if (handle.close() < 0) fail(ExitCode::input_output, path_, "closing " + name);
  set_attribute(name, kBytes, static_cast<std::int64_t>(text.size()));
}

std::string File::read_text(const std::string& name) const {
  const Library library;
  const Dataset dataset = open_dataset(name);
  if (dataset.element() != Element::text || dataset.shape().rank() != 0)
    throw Error(ExitCode::data, fmt::format("{}: {} is not a text", path_, name));
  const Handle type =
      own<H5Tclose>(checked(H5Dget_type(dataset.handle_.id()), ExitCode::data, path_, "typing " + name));
  std::string text(H5Tget_size(type.id()), '\0');
  checked(H5Dread(dataset.handle_.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()), ExitCode::data, path_,
          "reading " + name);
  const std::int64_t bytes = int_attribute(name, kBytes);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > text.size())
    throw Error(ExitCode::data, fmt::format("{}: {} says that it has {} bytes of {}", path_, name, bytes, text.size()));
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

void File::put_attribute(const std::string& object, const std::string& name, const Handle& type, const Handle& space,
                         const void* value) {
  Handle attribute = own<H5Aclose>(checked(H5Acreate_by_name(handle_.id(), object.c_str(), name.c_str(), type.id(),
                                                             space.id(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                                           ExitCode::input_output, path_, "creating the attribute " + name));
  checked(H5Awrite(attribute.id(), type.id(), value), ExitCode::input_output, path_, "writing the attribute " + name);
  if (attribute.close() < 0) fail(ExitCode::input_output, path_, "closing the attribute " + name);
}

void File::set_attribute(const std::string& object, const std::string& name, std::int64_t value) {
  const Library library;
  put_attribute(object, name, type_of(Element::i64), space_of(Shape{}), &value);
}

void File::set_attribute(const std::string& object, const std::string& name, double value) {
  const Library library;
  put_attribute(object, name, type_of(Element::f64), space_of(Shape{}), &value);
}

void File::set_attribute(const std::string& object, const std::string& name, const std::string& value) {
  const Library library;
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  put_attribute(object, name, type_of(Element::text, value.size()), space_of(Shape{}), padded.data());
}

void File::set_attribute(const std::string& object, const std::string& name, const Shape& value) {
  const Library library;
  std::int64_t extents[Shape::kMaxRank] = {};
  for (int d = 0; d < value.rank(); ++d) extents[d] = value[d];
  put_attribute(object, name, type_of(Element::i64), space_of(Shape{value.rank()}), extents);
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  const Library library;
  return has(object) && H5Aexists_by_name(handle_.id(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

Handle File::open_attribute(const std::string& object, const std::string& name) const {
  if (!has_attribute(object, name))
    throw Error(ExitCode::data, fmt::format("{}: {} has no attribute '{}'", path_, object, name));
  return own<H5Aclose>(checked(H5Aopen_by_name(handle_.id(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                               ExitCode::data, path_, "opening the attribute " + name));
}

void File::get_attribute(const std::string& object, const std::string& name, Element element, void* value) const {
  const Library library;
  const Handle attribute = open_attribute(object, name);
  const Handle space = own<H5Sclose>(H5Aget_space(attribute.id()));
  const Handle type = own<H5Tclose>(H5Aget_type(attribute.id()));
  const std::string where = fmt::format("{}: attribute '{}' of {}", path_, name, object);
  if (element_of_type(type, where) != element || H5Sget_simple_extent_npoints(space.id()) != 1)
    throw Error(ExitCode::data, fmt::format("{} is not one value of type {}", where, name_of(element)));
  checked(H5Aread(attribute.id(), type_of(element).id(), value), ExitCode::data, path_,
          "reading the attribute " + name);
}

std::int64_t File::int_attribute(const std::string& object, const std::string& name) const {
  std::int64_t value = 0;
  get_attribute(object, name, Element::i64, &value);
  return value;
}

double File::double_attribute(const std::string& object, const std::string& name) const {
  double value = 0;
  get_attribute(object, name, Element::f64, &value);
  return value;
}

std::string File::text_attribute(const std::string& object, const std::string& name) const {
  const Library library;
  const Handle attribute = open_attribute(object, name);
  const Handle type = own<H5Tclose>(H5Aget_type(attribute.id()));
  const std::string where = fmt::format("{}: attribute '{}' of {}", path_, name, object);
  if (element_of_type(type, where) != Element::text) throw Error(ExitCode::data, where + " is not a text");
  std::string text(H5Tget_size(type.id()), '\0');
  checked(H5Aread(attribute.id(), type.id(), text.data()), ExitCode::data, path_, "reading the attribute " + name);
  text.resize(std::min(text.size(), text.find('\0')));
  return text;
}

}  // namespace coxswain::hdf5
