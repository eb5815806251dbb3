#include "io/checkpoint_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/text.h"
#include "io/append_file.h"
#include "io/disk_file.h"

namespace coxswain {

namespace {

constexpr std::string_view kPrefix = "step_";
constexpr std::string_view kTemporary = ".tmp";

// The step of "step_00000120", or -1.
std::int64_t step_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + 8 || name.size() > kPrefix.size() + 18) return -1;
  const std::string digits = name.substr(kPrefix.size());
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) return -1;
  const std::int64_t step = std::stoll(digits);
  return step_name(step) == name ? step : -1;
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return names;
  std::filesystem::directory_iterator entries(path, error);
  // An unreadable folder must not look like an empty one: that would be a silent fresh start.
  if (error) throw Error(ExitCode::input_output, fmt::format("cannot list {}: {}", path, error.message()));
  for (const auto& entry : entries) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string step_name(std::int64_t step) { return fmt::format("{}{:08d}", kPrefix, step); }

std::vector<std::int64_t> CheckpointFolder::steps() const {
  std::vector<std::int64_t> steps;
  for (const std::string& name : names_in(path_))
    if (step_of(name) >= 0) steps.push_back(step_of(name));
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

std::vector<std::string> CheckpointFolder::leftovers() const {
  std::vector<std::string> names;
  for (const std::string& name : names_in(path_))
    if (name.ends_with(kTemporary) && (name.starts_with(kPrefix) || name == "latest.tmp" || name == "best.tmp"))
      names.push_back(name);
  return names;
}

std::string CheckpointFolder::latest() const { return trim(read_text_file(path_ + "/latest")); }

std::int64_t CheckpointFolder::best() const {
  return std::max<std::int64_t>(0, step_of(trim(read_text_file(path_ + "/best"))));
}

std::vector<std::int64_t> CheckpointFolder::by_merit() const {
  std::vector<std::int64_t> steps = this->steps();
  const auto found = std::find(steps.begin(), steps.end(), best());
  if (found != steps.end()) std::rotate(steps.begin(), found, found + 1);
  return steps;
}

void CheckpointFolder::commit(std::int64_t step) const {
  sync_folder(temporary(step));
  replace_folder(temporary(step), of_step(step));
  sync_folder(path_);
}

void CheckpointFolder::point_latest(std::int64_t step) const {
  replace_text_file(path_ + "/latest", step_name(step) + '\n');
  sync_folder(path_);
}

void CheckpointFolder::point_best(std::int64_t step) const {
  if (step == best()) return;
  if (step > 0) {
    replace_text_file(path_ + "/best", step_name(step) + '\n');
  } else {
    remove_tree(path_ + "/best");
  }
  sync_folder(path_);
}

void CheckpointFolder::prune(std::int64_t step, const Kept& kept, const std::set<std::int64_t>& damaged) const {
  int newest = 0;
  for (const std::int64_t old : steps()) {
    if (old > step) continue;
    if (!damaged.contains(old)) {
      const bool is_new = kept.newest == 0 || newest < kept.newest;
      ++newest;
      if (is_new || old == kept.best) continue;
    }
    // Under another name first, so that one which is half removed is never mistaken for a damaged one.
    remove_tree(temporary(old));
    replace_folder(of_step(old), temporary(old));
    remove_tree(temporary(old));
  }
}

}  // namespace coxswain
