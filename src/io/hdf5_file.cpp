#include "io/hdf5_file.h"

#include <fmt/format.h>

#include <array>

#include "io/hdf5_library.h"

namespace coxswain::hdf5 {

namespace {

herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->push_back(name);
  return 0;
}

// Contiguous, compact or chunked bytes of this file itself.
void refuse_foreign_storage(const Handle& dataset, const std::string& where) {
  const Handle creation =
      own<H5Pclose>(checked(H5Dget_create_plist(dataset.id()), ExitCode::data, where, "reading its layout"));
  const H5D_layout_t layout = H5Pget_layout(creation.id());
  if (layout == H5D_VIRTUAL || H5Pget_external_count(creation.id()) != 0)
    throw Error(ExitCode::data, where + " keeps its elements in other files, which is refused");
}

}  // namespace

int Handle::close() noexcept {
  if (id_ < 0) return 0;
  const std::lock_guard<std::recursive_mutex> lock(library_mutex());
  return close_(std::exchange(id_, -1));
}

Shape Dataset::origin() const {
  Shape zero = shape_;
  for (int d = 0; d < zero.rank(); ++d) zero[d] = 0;
  return zero;
}

void Dataset::write(const Shape& offset, const Shape& count, const void* memory) {
  if (count.elements() == 0) return;
  const Library library;
  const Handle type = type_of(element_);
  const Handle memory_space = space_of(count), file_space = space_of(shape_);
  select(file_space, offset, count, path_);
  checked(H5Dwrite(handle_.id(), type.id(), memory_space.id(), file_space.id(), H5P_DEFAULT, memory),
          ExitCode::input_output, path_, "writing " + name_);
}

void Dataset::read(const Shape& offset, const Shape& count, void* memory) const {
  Shape place = count;
  for (int d = 0; d < place.rank(); ++d) place[d] = 0;
  read_into(offset, count, memory, count, place);
}

void Dataset::read_into(const Shape& offset, const Shape& count, void* memory, const Shape& extents,
                        const Shape& place) const {
  if (count.elements() == 0) return;
  const Library library;
  const Handle type = type_of(element_);
  const Handle memory_space = space_of(extents), file_space = space_of(shape_);
  select(memory_space, place, count, path_);
  select(file_space, offset, count, path_);
  checked(H5Dread(handle_.id(), type.id(), memory_space.id(), file_space.id(), H5P_DEFAULT, memory), ExitCode::data,
          path_, "reading " + name_);
}

void Dataset::append(const void* memory, std::int64_t count) {
  const Library library;
  const std::int64_t start = shape_[0];
  const auto extent = static_cast<hsize_t>(start + count);
  checked(H5Dset_extent(handle_.id(), &extent), ExitCode::input_output, path_, "extending " + name_);
  shape_ = Shape{start + count};
  write(Shape{start}, Shape{count}, memory);
}

std::int64_t Dataset::file_offset() const {
  const Library library;
  const haddr_t address = H5Dget_offset(handle_.id());
  if (address == HADDR_UNDEF) fail(ExitCode::internal, path_, "finding the place of " + name_);
  return static_cast<std::int64_t>(address);
}

File File::create(const std::string& path) {
  const Library library;
  File file;
  file.path_ = path;
  const Handle creation = own<H5Pclose>(checked(H5Pcreate(H5P_FILE_CREATE), ExitCode::internal, path, "H5Pcreate"));
  // The same contents make the same bytes at any time.
  checked(H5Pset_obj_track_times(creation.id(), false), ExitCode::internal, path, "H5Pset_obj_track_times");
  file.handle_ = own<H5Fclose>(checked(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access_properties().id()),
                                       ExitCode::input_output, path, "creating the file"));
  return file;
}

File File::open(const std::string& path) {
  const Library library;
  File file;
  file.path_ = path;
  file.handle_ = own<H5Fclose>(checked(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access_properties().id()), ExitCode::data,
                                       path, "opening as HDF5"));
  return file;
}

void File::close() {
  const Library library;
  if (handle_.close() < 0) fail(ExitCode::input_output, path_, "closing the file");
}

bool File::has(const std::string& name) const {
  const Library library;
  for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    const std::string part = name.substr(0, end);
    H5L_info_t info{};
    if (part == "/") return true;
    if (H5Lexists(handle_.id(), part.c_str(), H5P_DEFAULT) <= 0) return false;
    checked(H5Lget_info(handle_.id(), part.c_str(), &info, H5P_DEFAULT), ExitCode::data, path_, "looking up " + part);
    if (info.type != H5L_TYPE_HARD)
      throw Error(ExitCode::data, fmt::format("{}: {} is a soft or external link, which is refused", path_, part));
    if (end == std::string::npos) return true;
  }
}

std::vector<std::string> File::list(const std::string& group) const {
  const Library library;
  if (!has(group)) throw Error(ExitCode::data, fmt::format("{}: there is no group {}", path_, group));
  std::vector<std::string> names;
  checked(H5Literate_by_name(handle_.id(), group.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_name, &names,
                             H5P_DEFAULT),
          ExitCode::data, path_, "listing " + group);
  return names;
}

Handle File::create_handle(const std::string& name, const Handle& type, const Handle& space, const Handle& creation) {
  const Handle links = own<H5Pclose>(checked(H5Pcreate(H5P_LINK_CREATE), ExitCode::internal, path_, "H5Pcreate"));
  checked(H5Pset_create_intermediate_group(links.id(), 1), ExitCode::internal, path_,
          "H5Pset_create_intermediate_group");
  return own<H5Dclose>(
      checked(H5Dcreate2(handle_.id(), name.c_str(), type.id(), space.id(), links.id(), creation.id(), H5P_DEFAULT),
              ExitCode::input_output, path_, "creating " + name));
}

Dataset File::create_dataset(const std::string& name, Element element, const Shape& shape) {
  const Library library;
  Dataset dataset;
  dataset.path_ = path_, dataset.name_ = name, dataset.element_ = element, dataset.shape_ = shape;
  dataset.handle_ = create_handle(name, type_of(element), space_of(shape), creation_properties(H5D_CONTIGUOUS));
  return dataset;
}

Dataset File::create_extendible(const std::string& name, Element element, std::int64_t chunk) {
  const Library library;
  const Handle creation = creation_properties(H5D_CHUNKED);
  const auto extent = static_cast<hsize_t>(chunk);
  checked(H5Pset_chunk(creation.id(), 1, &extent), ExitCode::internal, path_, "H5Pset_chunk");
  const auto unlimited = static_cast<std::int64_t>(H5S_UNLIMITED);
  Dataset dataset;
  dataset.path_ = path_, dataset.name_ = name, dataset.element_ = element, dataset.shape_ = Shape{0};
  dataset.handle_ = create_handle(name, type_of(element), space_of(Shape{0}, &unlimited), creation);
  return dataset;
}

void File::create_virtual(const std::string& name, Element element, const Shape& shape,
                          const std::vector<VirtualSource>& sources) {
  const Library library;
  const Handle creation = creation_properties(H5D_VIRTUAL);
  const Handle space = space_of(shape);
  for (const VirtualSource& source : sources) {
    select(space, source.offset, source.count, path_);
    const Handle source_space = space_of(source.count);
    checked(H5Pset_virtual(creation.id(), space.id(), source.file.c_str(), source.dataset.c_str(), source_space.id()),
            ExitCode::input_output, path_, "mapping " + name);
  }
  checked(H5Sselect_all(space.id()), ExitCode::internal, path_, "H5Sselect_all");
  Handle handle = create_handle(name, type_of(element), space, creation);
  if (handle.close() < 0) fail(ExitCode::input_output, path_, "closing " + name);
}

Dataset File::open_dataset(const std::string& name) const {
  const Library library;
  if (!has(name)) throw Error(ExitCode::data, fmt::format("{}: there is no dataset {}", path_, name));
  Dataset dataset;
  dataset.path_ = path_, dataset.name_ = name;
  const std::string where = path_ + ": " + name;
  dataset.handle_ = own<H5Dclose>(
      checked(H5Dopen2(handle_.id(), name.c_str(), H5P_DEFAULT), ExitCode::data, path_, "opening " + name));
  refuse_foreign_storage(dataset.handle_, where);
  dataset.element_ = element_of_type(own<H5Tclose>(H5Dget_type(dataset.handle_.id())), where);
  const Handle space =
      own<H5Sclose>(checked(H5Dget_space(dataset.handle_.id()), ExitCode::data, where, "reading its shape"));
  const int rank = H5Sget_simple_extent_ndims(space.id());
  if (rank < 0 || rank > Shape::kMaxRank)
    throw Error(ExitCode::data, fmt::format("{} has {} dimensions; 0 to {} are allowed", where, rank, Shape::kMaxRank));
  std::array<hsize_t, Shape::kMaxRank> extents{};
  if (rank > 0)
    checked(H5Sget_simple_extent_dims(space.id(), extents.data(), nullptr), ExitCode::data, where, "reading its shape");
  for (int d = 0; d < rank; ++d) dataset.shape_.append(static_cast<std::int64_t>(extents[static_cast<std::size_t>(d)]));
  return dataset;
}

}  // namespace coxswain::hdf5
