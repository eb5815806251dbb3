#include "io/hdf5_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coxswain::hdf5 {

static_assert(sizeof(hid_t) == sizeof(std::int64_t));

std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

Library::Library() : lock_(library_mutex()) {
  // All files are closed where they are left. At exit HDF5 would close once more what it failed to close, and crash.
  static const bool started = [] { return H5dont_atexit() >= 0 && H5open() >= 0 && H5PLset_loading_state(0) >= 0; }();
  if (!started) throw Error(ExitCode::internal, "the HDF5 library did not start");
  thread_local const bool silent = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
  static_cast<void>(silent);
  H5Eclear2(H5E_DEFAULT);
}

static herr_t keep_first_description(unsigned, const H5E_error2_t* error, void* text) {
  auto& description = *static_cast<std::string*>(text);
  if (description.empty() && error->desc != nullptr) description = error->desc;
  return 0;
}

void fail(ExitCode code, const std::string& path, const std::string& what) {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first_description, &reason);
  throw Error(code, fmt::format("{}: {} failed{}{}", path, what, reason.empty() ? "" : ": ", reason));
}

hid_t checked(hid_t result, ExitCode code, const std::string& path, const std::string& what) {
  if (result < 0) fail(code, path, what);
  return result;
}

Handle space_of(const Shape& shape, const std::int64_t* largest) {
  std::array<hsize_t, Shape::kMaxRank> extents{}, limits{};
  for (int d = 0; d < shape.rank(); ++d) {
    extents[static_cast<std::size_t>(d)] = static_cast<hsize_t>(shape[d]);
    limits[static_cast<std::size_t>(d)] =
        largest ? static_cast<hsize_t>(largest[d]) : extents[static_cast<std::size_t>(d)];
  }
  const hid_t id =
      shape.rank() == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(shape.rank(), extents.data(), limits.data());
  return own<H5Sclose>(checked(id, ExitCode::internal, "memory", "making a dataspace of " + shape.str()));
}

void select(const Handle& space, const Shape& offset, const Shape& count, const std::string& path) {
  if (offset.rank() == 0) return;
  std::array<hsize_t, Shape::kMaxRank> start{}, extent{};
  for (int d = 0; d < offset.rank(); ++d) {
    start[static_cast<std::size_t>(d)] = static_cast<hsize_t>(offset[d]);
    extent[static_cast<std::size_t>(d)] = static_cast<hsize_t>(count[d]);
  }
  checked(H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr),
          ExitCode::internal, path, "selecting a box");
}

// The upper half of an IEEE single: h5py and h5dump read it as a float.
static Handle bf16_type() {
  Handle type = own<H5Tclose>(checked(H5Tcopy(H5T_IEEE_F32LE), ExitCode::internal, "memory", "making bf16"));
  const bool made = H5Tset_fields(type.id(), 15, 7, 8, 0, 7) >= 0 && H5Tset_precision(type.id(), 16) >= 0 &&
                    H5Tset_size(type.id(), 2) >= 0 && H5Tset_ebias(type.id(), 127) >= 0;
  if (!made) fail(ExitCode::internal, "memory", "making the type bf16");
  return type;
}

static Handle text_type(std::size_t bytes) {
  Handle type = own<H5Tclose>(checked(H5Tcopy(H5T_C_S1), ExitCode::internal, "memory", "making a string type"));
  const bool made = H5Tset_size(type.id(), std::max<std::size_t>(bytes, 1)) >= 0 &&
                    H5Tset_strpad(type.id(), H5T_STR_NULLPAD) >= 0 && H5Tset_cset(type.id(), H5T_CSET_UTF8) >= 0;
  if (!made) fail(ExitCode::internal, "memory", "making a string type");
  return type;
}

Handle type_of(Element element, std::size_t text_bytes) {
  const auto copy = [](hid_t type) {
    return own<H5Tclose>(checked(H5Tcopy(type), ExitCode::internal, "memory", "copying a type"));
  };
  switch (element) {
    case Element::u8:
      return copy(H5T_STD_U8LE);
    case Element::u16:
      return copy(H5T_STD_U16LE);
    case Element::i32:
      return copy(H5T_STD_I32LE);
    case Element::u32:
      return copy(H5T_STD_U32LE);
    case Element::i64:
      return copy(H5T_STD_I64LE);
    case Element::f32:
      return copy(H5T_IEEE_F32LE);
    case Element::f64:
      return copy(H5T_IEEE_F64LE);
    case Element::bf16:
      return bf16_type();
    case Element::text:
      return text_type(text_bytes);
  }
  throw Error(ExitCode::internal, "unknown element type");
}

Element element_of_type(const Handle& type, const std::string& where) {
  if (H5Tget_class(type.id()) == H5T_STRING && H5Tis_variable_str(type.id()) == 0) return Element::text;
  for (const Element element :
       {Element::u8, Element::u16, Element::i32, Element::u32, Element::i64, Element::f32, Element::f64, Element::bf16})
    if (H5Tequal(type.id(), type_of(element).id()) > 0) return element;
  throw Error(ExitCode::data, where + " has an element type that is not known here");
}

Handle access_properties() {
  Handle access = own<H5Pclose>(checked(H5Pcreate(H5P_FILE_ACCESS), ExitCode::internal, "memory", "H5Pcreate"));
  const bool made = H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
                    H5Pset_alignment(access.id(), 16384, 4096) >= 0 &&
                    H5Pset_sieve_buf_size(access.id(), std::size_t{1} << 20) >= 0 &&
                    H5Pset_fclose_degree(access.id(), H5F_CLOSE_SEMI) >= 0;
  if (!made) fail(ExitCode::internal, "memory", "setting file access");
  return access;
}

Handle creation_properties(H5D_layout_t layout) {
  Handle creation = own<H5Pclose>(checked(H5Pcreate(H5P_DATASET_CREATE), ExitCode::internal, "memory", "H5Pcreate"));
  bool made = H5Pset_layout(creation.id(), layout) >= 0 && H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER) >= 0;
  made = made && H5Pset_obj_track_times(creation.id(), false) >= 0;  // the same data make the same bytes at any time
  if (layout == H5D_CONTIGUOUS) made = made && H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY) >= 0;
  if (!made) fail(ExitCode::internal, "memory", "setting a dataset's layout");
  return creation;
}

Element element_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return Element::f32;
    case DType::bf16:
      return Element::bf16;
    case DType::f64:
      return Element::f64;
    case DType::i32:
      return Element::i32;
  }
  throw Error(ExitCode::internal, "unknown element type");
}

std::size_t size_of(Element element) {
  switch (element) {
    case Element::u8:
    case Element::text:
      return 1;
    case Element::u16:
    case Element::bf16:
      return 2;
    case Element::i32:
    case Element::u32:
    case Element::f32:
      return 4;
    case Element::i64:
    case Element::f64:
      return 8;
  }
  return 0;
}

const char* name_of(Element element) {
  constexpr std::array names = {"u8", "u16", "i32", "u32", "i64", "f32", "f64", "bf16", "text"};
  return names[static_cast<std::size_t>(element)];
}

}  // namespace coxswain::hdf5
