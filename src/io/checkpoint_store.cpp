#include "io/checkpoint_store.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <sstream>

#include "io/agree.h"
#include "io/append_file.h"
#include "io/disk_file.h"
#include "io/fingerprint.h"

namespace coxswain {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void tell(const Communicator& world, const Say& say, const std::string& line) {
  if (world.rank() == 0 && say) say(line);
}

struct Search {
  std::optional<CheckpointReader> found;
  std::set<std::int64_t> damaged;
  std::string problems;  // of the damaged ones, one a line
};

// The first whole one of these steps, each rank alike.
Search find_whole(Communicator& world, Backend& backend, const CheckpointFolder& folder,
                  const std::vector<std::int64_t>& steps, const Say& say) {
  Search search;
  for (const std::int64_t step : steps) {
    try {
      search.found = CheckpointReader::verified(world, backend, folder.of_step(step));
      if (!search.damaged.empty())
        tell(world, say, fmt::format("CHECKPOINT FALLBACK: going back to {}", folder.of_step(step)));
      return search;
    } catch (const Error& error) {
      if (error.code() != ExitCode::data) throw;
      search.damaged.insert(step);
      search.problems += fmt::format("\n  {}: {}", step_name(step), error.what());
      tell(world, say, fmt::format("CHECKPOINT DAMAGED: {}: {}", folder.of_step(step), error.what()));
    }
  }
  return search;
}

// Steps as rank 0 sees them in this order.
std::vector<std::int64_t> agreed_steps(Communicator& world, const std::function<std::vector<std::int64_t>()>& order) {
  const std::string text = from_rank_0(world, "checkpoint list", [&] {
    std::string list;
    for (const std::int64_t step : order()) list += fmt::format("{} ", step);
    return list;
  });
  std::istringstream words(text);
  std::vector<std::int64_t> steps;
  for (std::int64_t step = 0; words >> step;) steps.push_back(step);
  return steps;
}

// The folder of checkpoints that a path to a run directory or to itself means.
CheckpointFolder folder_of(const std::string& path) {
  std::error_code error;
  const std::string inner = path + "/checkpoints";
  return CheckpointFolder(std::filesystem::is_directory(inner, error) ? inner : path);
}

bool is_checkpoint(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path + '/' + kManifestName, error);
}

[[noreturn]] void nothing_at(const std::string& path) {
  throw Error(ExitCode::data, fmt::format("{}: no checkpoint there; give a folder step_N, a folder of them, or a run "
                                          "directory",
                                          path));
}

}  // namespace

CheckpointStore::CheckpointStore(Communicator& world, Backend& backend, const std::string& path,
                                 const CheckpointConfig& config)
    : world_(world),
      backend_(backend),
      folder_(path),
      config_(config),
      say_([](const std::string& line) { fmt::print(stderr, "{}\n", line); }),
      at_stage_([](const char*) {}) {}

CheckpointStore::~CheckpointStore() {
  backend_.finish_downloads();
  task_.join();
  removal_.join();
}

void CheckpointStore::say(const std::string& line) const { tell(world_, say_, line); }

void CheckpointStore::save(const CheckpointHeader& header, const Visit& visit) {
  wait();
  started_ = Clock::now();
  header_ = header;
  const std::string temporary = folder_.temporary(header.step);
  snapshot_.clear();
  const std::string outcome = outcome_of([&] {
    from_rank_0(world_, "checkpoint folder", [&] {
      create_folder(folder_.path());
      remove_tree(temporary);
      make_folder(temporary);
      at_stage_("folder made");
      return std::string();
    });
    agree(world_, "checkpoint memory", [&] { snapshot_.plan(visit); });
    return std::string();
  });
  if (is_error(outcome)) fail(outcome);
  waited_before_ = backend_.download_wait_seconds();
  start_writing(temporary);
  snapshot_.copy(backend_);
  save_seconds_ = seconds_since(started_);
  if (config_.background) return;
  finish_save();
  times_.stall_seconds = times_.write_seconds;
}

void CheckpointStore::start_writing(const std::string& temporary) {
  stage_ = Stage::writing;
  task_.start([this, temporary] { return write_part(temporary, world_.rank(), snapshot_, at_stage_); });
}

bool CheckpointStore::poll() {
  if (removal_.finished()) tell_of_removal();
  if (stage_ == Stage::idle) return false;
  if (world_.all_min(task_.finished() ? 1 : 0, "checkpoint progress") == 0) return false;
  const std::string mine = task_.outcome();
  if (stage_ == Stage::writing) {
    const std::vector<std::string> parts = world_.all_gather(mine, "checkpoint parts");
    for (std::size_t rank = 0; rank < parts.size(); ++rank)
      if (is_error(parts[rank])) fail(parts[rank]);
    stage_ = Stage::committing;
    if (world_.rank() == 0) task_.start([this, parts] { return commit(parts); });
    return false;
  }
  const std::string outcome = world_.broadcast(mine, 0, "checkpoint commit");
  if (is_error(outcome)) fail(outcome);
  stage_ = Stage::idle;
  damaged_.erase(header_.step);  // this one is new
  newest_ = folder_.of_step(header_.step);
  times_ = {header_.step, static_cast<std::int64_t>(snapshot_.bytes()),
            save_seconds_ + backend_.download_wait_seconds() - waited_before_, seconds_since(started_)};
  unpruned_ = {header_.step, header_.best};
  if (const std::string warning = result_of(outcome); !warning.empty()) {
    say(warning);
    unpruned_.reset();
  }
  return true;
}

void CheckpointStore::finish_save() {
  while (stage_ != Stage::idle) {
    task_.join();
    poll();
  }
}

void CheckpointStore::wait() {
  finish_save();
  tell_of_removal();
}

// Rank 0, in a thread: to remove large files takes a part of the time of writing them.
void CheckpointStore::prune(std::int64_t before) {
  if (world_.rank() != 0 || !unpruned_ || unpruned_->step >= before) return;
  tell_of_removal();
  removal_.start([this, newest = *unpruned_, damaged = damaged_] {
    folder_.prune(newest.step, {config_.keep, newest.best}, damaged);
    at_stage_("old ones removed");
    return std::string();
  });
  unpruned_.reset();
}

std::string CheckpointStore::newest_before(std::int64_t step) {
  return from_rank_0(world_, "good checkpoint", [&] {
    for (const std::int64_t old : folder_.steps())
      if (old < step && !damaged_.contains(old)) return folder_.of_step(old);
    return std::string();
  });
}

void CheckpointStore::tell_of_removal() {
  const std::string outcome = removal_.outcome();
  if (outcome.empty() || !is_error(outcome)) return;
  try {
    result_of(outcome);
  } catch (const Error& error) {  // the new checkpoint is there all the same
    say(fmt::format("{} is complete, but: {}", newest_, error.what()));
  }
}

// In rank 0's thread. Returns a warning, or nothing.
std::string CheckpointStore::commit(const std::vector<std::string>& parts) {
  at_stage_("all parts written");
  const std::string temporary = folder_.temporary(header_.step);
  Manifest manifest;
  manifest.header = header_;
  for (std::size_t rank = 0; rank < parts.size(); ++rank)
    merge_part(result_of(parts[rank]), static_cast<int>(rank), manifest);
  for (const auto& [name, tensor] : manifest.tensors) check_coverage(name, tensor);
  write_global_file(temporary, manifest, snapshot_.values());
  const std::string global = temporary + '/' + kGlobalFileName;
  sync_file(global);
  const FileHash hash = hash_file(global);
  manifest.files.push_back({kGlobalFileName, hash.bytes, hexadecimal(hash.hash)});
  at_stage_("global file written");
  replace_text_file(temporary + '/' + kManifestName, manifest.text());
  at_stage_("manifest written");
  folder_.commit(header_.step);
  try {
    at_stage_("folder renamed");
    folder_.point_latest(header_.step);
    at_stage_("latest moved");
    folder_.point_best(header_.best);
    at_stage_("best moved");
  } catch (const Error& error) {  // the checkpoint is there all the same
    return fmt::format("{} is complete, but: {}", folder_.of_step(header_.step), error.what());
  }
  return {};
}

// Collective. The save is given up: nothing of it stays, everything before it does.
void CheckpointStore::fail(const std::string& outcome) {
  stage_ = Stage::idle;
  backend_.finish_downloads();
  std::int64_t needed = 0;
  for (const std::string& bytes : world_.all_gather(std::to_string(snapshot_.bytes()), "checkpoint size"))
    needed += std::stoll(bytes);
  const std::string free = from_rank_0(world_, "checkpoint removal", [&] {
    try {
      remove_tree(folder_.temporary(header_.step));
    } catch (const Error&) {  // the error that led here says more; the next start removes it
    }
    return std::to_string(free_bytes(folder_.path()));
  });
  try {
    result_of(outcome);
  } catch (const Error& error) {
    throw Error(
        error.code(),
        fmt::format("the checkpoint of step {} was not written: {}. It needs {} bytes in {}, where {} are free. "
                    "The checkpoints before it stay",
                    header_.step, error.what(), needed, folder_.path(), free))
        .on_every_rank();
  }
}

std::optional<CheckpointReader> CheckpointStore::open_newest() {
  wait();
  const std::string removed = from_rank_0(world_, "checkpoint leftovers", [&] {
    std::string names;
    for (const std::string& name : folder_.leftovers()) {
      remove_tree(folder_.path() + '/' + name);
      names += ' ' + name;
    }
    return names;
  });
  if (!removed.empty()) say(fmt::format("{}: removed what an unfinished save left:{}", folder_.path(), removed));
  const std::vector<std::int64_t> steps = agreed_steps(world_, [&] { return folder_.steps(); });
  const std::string latest = from_rank_0(world_, "latest checkpoint", [&] { return folder_.latest(); });
  if (steps.empty() && latest.empty()) return std::nullopt;
  Search search = find_whole(world_, backend_, folder_, steps, say_);
  damaged_ = search.damaged;
  if (!search.found)
    throw Error(
        ExitCode::no_checkpoint,
        fmt::format("{}: no checkpoint is whole{}. Nothing was started afresh: bring back a copy, or remove the "
                    "folder to begin again{}",
                    folder_.path(), steps.empty() ? fmt::format(": 'latest' names {}, which is not there", latest) : "",
                    search.problems));
  newest_ = search.found->folder();
  unpruned_ = {search.found->header().step, search.found->header().best};
  from_rank_0(world_, "best checkpoint", [&] {  // a kill may have come between the rename and this
    folder_.point_best(search.found->header().best);
    return std::string();
  });
  const std::string name = step_name(search.found->header().step);
  if (search.damaged.empty() && latest != name)
    say(fmt::format("{}/latest says '{}'; the newest whole checkpoint is {}", folder_.path(), latest, name));
  return std::move(search.found);
}

std::optional<CheckpointHeader> CheckpointStore::restore(const Visit& visit) {
  std::optional<CheckpointReader> reader = open_newest();
  if (!reader) return std::nullopt;
  reader->load(visit);
  return reader->header();
}

CheckpointReader open_checkpoint(Communicator& world, Backend& backend, const std::string& path, const Say& say) {
  const std::string kind = from_rank_0(
      world, "checkpoint place", [&] { return is_checkpoint(path) ? std::string() : folder_of(path).path() + '/'; });
  if (kind.empty()) return CheckpointReader::verified(world, backend, path);
  const CheckpointFolder folder(kind.substr(0, kind.size() - 1));
  const std::vector<std::int64_t> steps = agreed_steps(world, [&] {
    const std::vector<std::int64_t> order = folder.by_merit();
    if (const std::int64_t best = folder.best(); best > 0 && (order.empty() || order.front() != best))
      tell(world, say, fmt::format("{}/best names {}, which is not there", folder.path(), step_name(best)));
    return order;
  });
  Search search = find_whole(world, backend, folder, steps, say);
  if (search.found) return std::move(*search.found);
  if (search.damaged.empty()) nothing_at(path);
  throw Error(ExitCode::data, fmt::format("{}: no checkpoint there is whole{}", folder.path(), search.problems));
}

std::optional<CheckpointHeader> glance_at_newest(const std::string& folder) {
  const CheckpointFolder all(folder);
  const std::vector<std::int64_t> steps = all.steps();
  if (steps.empty()) return std::nullopt;
  const std::string newest = all.of_step(steps.front());
  try {
    const Manifest manifest = read_manifest(newest);
    for (const Manifest::File& file : manifest.files) {
      std::error_code error;
      if (std::filesystem::file_size(newest + '/' + file.name, error) != static_cast<std::uintmax_t>(file.bytes) ||
          error)
        return std::nullopt;
    }
    return manifest.header;
  } catch (const Error& error) {  // the manifest is damaged
    if (error.code() != ExitCode::data) throw;
    return std::nullopt;
  }
}

Manifest checkpoint_info(const std::string& path) {
  if (is_checkpoint(path)) return read_manifest(path);
  const CheckpointFolder folder = folder_of(path);
  for (const std::int64_t step : folder.by_merit())
    if (is_checkpoint(folder.of_step(step))) return read_manifest(folder.of_step(step));
  nothing_at(path);
}

}  // namespace coxswain
