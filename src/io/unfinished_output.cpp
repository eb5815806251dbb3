#include "io/unfinished_output.h"

#include <algorithm>

#include "base/text.h"
#include "io/agree.h"
#include "io/disk_file.h"

namespace coxswain {

namespace {

// Whole lines, without their ends.
std::vector<std::string> whole_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace

UnfinishedOutput::UnfinishedOutput(Communicator& world, std::filesystem::path path, const std::string& of)
    : world_(world), path_(std::move(path)), of_(of) {}

std::vector<std::string> UnfinishedOutput::take(std::int64_t records_a_step, std::int64_t steps_done) {
  const std::string text = from_rank_0(world_, "unfinished output", [&] {
    create_folder(path_.parent_path());
    std::vector<std::string> lines = whole_lines(read_text_file(path_));
    if (lines.empty() || lines.front() != of_) lines = {of_};
    const std::int64_t steps = std::min(steps_done, (std::ssize(lines) - 1) / records_a_step);
    lines.resize(static_cast<std::size_t>(1 + steps * records_a_step));
    replace_text_file(path_, joined(lines));
    file_.emplace(path_);
    lines.erase(lines.begin());
    return joined(lines);
  });
  return whole_lines(text);
}

void UnfinishedOutput::append(const std::string& records) {
  from_rank_0(world_, "unfinished output", [&] {
    file_->append(records);
    file_->sync();
    return std::string();
  });
}

void UnfinishedOutput::remove() {
  from_rank_0(world_, "unfinished output", [&] {
    file_.reset();
    remove_tree(path_.string());
    return std::string();
  });
}

}  // namespace coxswain
