#include "io/output_file.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "io/agree.h"
#include "io/append_file.h"

namespace coxswain {

void try_output(Communicator& world, const std::string& path, const char* key) {
  if (path.empty()) return;
  agree(world, key, [&] {
    if (world.rank() != 0) return;
    try {
      if (std::filesystem::is_directory(path)) throw Error(ExitCode::input_output, "it is a folder; name a file in it");
      if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty()) create_folder(folder);
      const std::string tried = path + ".try";  // beside it, as replace_text_file() does
      replace_text_file(tried, "");
      std::filesystem::remove(tried);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{} = {}: {}", key, path, error.what()));
    }
  });
}

}  // namespace coxswain
