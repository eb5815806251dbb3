// What the HDF5 classes share: the lock, checked calls, types and property lists. Included by hdf5_*.cpp alone.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>

#include "io/hdf5_file.h"

namespace coxswain::hdf5 {

std::recursive_mutex& library_mutex();

// Held during every call. HDF5 prints its errors unless told not to, thread by thread.
class Library {
 public:
  Library();

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};

// Throws with HDF5's own reason.
[[noreturn]] void fail(ExitCode code, const std::string& path, const std::string& what);
hid_t checked(hid_t result, ExitCode code, const std::string& path, const std::string& what);

template <herr_t (*Close)(hid_t)>
Handle own(hid_t id) {
  return Handle(id, [](std::int64_t handle) { return static_cast<int>(Close(handle)); });
}

Handle space_of(const Shape& shape, const std::int64_t* largest = nullptr);
void select(const Handle& space, const Shape& offset, const Shape& count, const std::string& path);
Handle type_of(Element element, std::size_t text_bytes = 0);
Element element_of_type(const Handle& type, const std::string& where);
Handle access_properties();
Handle creation_properties(H5D_layout_t layout);

}  // namespace coxswain::hdf5
