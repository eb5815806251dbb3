#include "program/run_checkpoints.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/agree.h"
#include "settings/compare.h"

namespace coxswain {

RunCheckpoints::RunCheckpoints(const ProcessGrid& grid, Backend& backend, const std::string& path,
                               const CheckpointConfig& config, std::string deck, Log& log)

    : world_(&grid.world()),
      path_(path),
      deck_(std::move(deck)),
      grid_(fmt::format("tensor {}, pipeline {}, data {}", grid.config().tensor, grid.config().pipeline,
                        grid.config().data)),
      log_(&log),
      store_(grid.world(), backend, path, config) {
  store_.set_say([&log](const std::string& line) { log.warning("{}", line); });
}

std::optional<std::int64_t> RunCheckpoints::restore(const Visit& visit) {
  std::optional<CheckpointReader> reader = store_.open_newest();
  if (!reader) {
    store_.prepare(visit);
    return std::nullopt;
  }
  check_deck(reader->header().deck);
  reader->load(visit);
  store_.prepare(visit);  // so that the first save does not wait for its memory
  return reader->header().step;
}

bool RunCheckpoints::reaches(std::int64_t step) {
  return !from_rank_0(*world_, "finished run", [&] {
            const std::optional<CheckpointHeader> newest = glance_at_newest(path_);
            if (!newest) return std::string();
            check_deck(newest->deck);
            return std::string(newest->step >= step ? "yes" : "");
          }).empty();
}

void RunCheckpoints::check_deck(const std::string& before) const {
  const DeckDifference difference = compare_decks(before, deck_);
  if (!difference.allowed())
    throw Error(ExitCode::usage,
                fmt::format("{}: the deck does not fit this run:\n  {}", path_, fmt::join(difference.refused, "\n  ")));
  for (const std::string& line : difference.changed) log_->info("changed since the checkpoint: {}", line);
}

void RunCheckpoints::save(const Place& place, const std::string& deck, const Visit& visit) {
  CheckpointHeader header;
  header.step = place.step;
  header.tokens = place.tokens;
  header.best = place.best;
  header.grid = grid_;
  header.deck = deck;
  header.program = fmt::format("coxswain {}", COXSWAIN_VERSION);
  store_.save(header, visit);
  if (!store_.saving()) note();  // written at once
}

void RunCheckpoints::poll() {
  if (store_.poll()) note();
}

void RunCheckpoints::wait() {
  const bool saving = store_.saving();
  store_.wait();
  if (saving) note();
}

void RunCheckpoints::note() {
  const SaveTimes& times = store_.last_save();
  log_->detail("checkpoint of step {}: {:.1f} MB a rank in {:.2f} s, training waited {:.3f} s", times.step,
               static_cast<double>(times.bytes) * 1e-6, times.write_seconds, times.stall_seconds);
}

}  // namespace coxswain
