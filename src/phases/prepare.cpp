#include "phases/prepare.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.h"
#include "base/text.h"
#include "data/input_files.h"
#include "io/agree.h"
#include "io/append_file.h"
#include "io/disk_file.h"
#include "io/output_file.h"

namespace coxswain {

namespace {

constexpr const char* kInputKey = "[prepare] input";

void write_whole(const std::string& path, const std::string& text) {
  DiskFile file = DiskFile::create(path);
  file.write(0, std::as_bytes(std::span(text)));
  file.sync();
  file.close();
}

nlohmann::ordered_json drops_json(const DropReport& report) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const DropReport::Entry& one : report.entries()) {
    all.push_back({{"reason", one.reason}, {"count", one.count}, {"first", one.examples}});
  }
  return all;
}

}  // namespace

Prepare::Prepare(const PreparePhaseConfig& config, Communicator& world, Log& log)
    : config_(config),
      world_(&world),
      log_(&log),
      alone_(world.split(world.rank(), 0, "prepare")),
      tokenizer_(make_tokenizer(config_.data)),
      chat_(config_.chat, *tokenizer_),
      cleaning_(config_.prepare, config_.seed, chat_),
      kind_(config_.prepare.kind) {
  const PrepareConfig& prepare = config_.prepare;
  outputs_[0].path = prepare.output;
  outputs_[1].path = prepare.validation_share > 0 ? prepare.validation : "";
  outputs_[2].path = prepare.test_share > 0 ? prepare.test : "";
  const std::string names = from_rank_0(world, "prepare start", [&] {
    std::vector<std::string> files;
    for (const std::string& pattern : parse_paths(prepare.input)) {
      for (const std::string& path : matching_files(pattern, kInputKey)) files.push_back(path);
    }
    return fmt::format("{}", fmt::join(files, "\n"));
  });
  files_ = split(names, '\n');
  const char* const keys[] = {"[prepare] output", "[prepare] validation", "[prepare] test"};
  for (std::size_t part = 0; part < outputs_.size(); ++part) try_output(world, outputs_[part].path, keys[part]);
  try_output(world, prepare.report_path(), "[prepare] report");
}

StepReport Prepare::run_step() {
  const std::string& path = files_[static_cast<std::size_t>(step_)];
  const std::string counts = from_rank_0(*world_, "prepare a file", [&] {
    read_file(path);
    return fmt::format("{} {}", kept(), dropped_.total());
  });
  const auto kept = std::stoll(counts), dropped = std::stoll(counts.substr(counts.find(' ')));
  ++step_;
  StepReport report;
  report.metrics = {{"records", static_cast<double>(kept + dropped)},
                    {"kept", static_cast<double>(kept)},
                    {"dropped", static_cast<double>(dropped)}};
  report.note = path;
  return report;
}

void Prepare::read_file(const std::string& path) {
  const RecordFiles files{.paths = path, .key = kInputKey, .on_bad_line = config_.data.on_bad_line};
  const auto take_one = [&](Record& record, const std::string& place) {
    Output& output = outputs_[static_cast<std::size_t>(cleaning_.clean(record, place))];
    output.lines += to_json_line(record) + "\n";
    ++output.records;
  };
  read_records(files, *alone_, *log_, dropped_, [&](const nlohmann::json& line, const std::string& place) {
    std::vector<Record> records = parse_records(line, kind_);
    if (kind_ == RecordKind::automatic) kind_ = kind_of(line);
    for (Record& record : records) {
      // Of a line with several records each goes its own way.
      try {
        take_one(record, place);
      } catch (const UnusableRecord& why) {
        dropped_.add(why.what(), place);
      }
    }
  });
}

std::int64_t Prepare::kept() const {
  std::int64_t sum = 0;
  for (const Output& output : outputs_) sum += output.records;
  return sum;
}

std::string Prepare::report_text() const {
  nlohmann::ordered_json report;
  report["inputs"] = files_;
  report["kind"] = kind_name(kind_);
  report["records"] = kept() + dropped_.total();
  for (std::size_t part = 0; part < outputs_.size(); ++part) {
    if (outputs_[part].path.empty()) continue;
    report["kept"][kSplitNames[part]] = {{"path", outputs_[part].path}, {"records", outputs_[part].records}};
  }
  report["users"] = cleaning_.users();
  report["shortened_prompts"] = cleaning_.shortened();
  report["dropped"] = drops_json(dropped_);
  report["dropped_responses"] = drops_json(cleaning_.dropped_responses());
  for (const PersonalKind kind : kPersonalKinds) {
    report["personal_data"][personal_name(kind)] = cleaning_.personal()[static_cast<std::size_t>(kind)];
  }
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string Prepare::table() const {
  std::string text = fmt::format("{} of {} {} kept", kept(), kept() + dropped_.total(), kind_name(kind_));
  if (cleaning_.users() > 0) text += fmt::format(", of {} users", cleaning_.users());
  for (std::size_t part = 0; part < outputs_.size(); ++part) {
    const Output& output = outputs_[part];
    if (!output.path.empty()) text += fmt::format("\n{:>8}  {}: {}", output.records, kSplitNames[part], output.path);
  }
  if (dropped_.total() > 0) text += fmt::format("\n{} left out:\n{}", dropped_.total(), dropped_.str());
  const DropReport& responses = cleaning_.dropped_responses();
  if (responses.total() > 0) {
    text += fmt::format("\n{} responses left out of their comparisons:\n{}", responses.total(), responses.str());
  }
  if (cleaning_.shortened() > 0) text += fmt::format("\n{} prompts lost their oldest turns", cleaning_.shortened());
  if (config_.prepare.personal_data == PersonalDataRule::mask) {
    text += "\nmasked:";
    for (const PersonalKind kind : kPersonalKinds) {
      text += fmt::format("\n{:>8}  {}", cleaning_.personal()[static_cast<std::size_t>(kind)], personal_name(kind));
    }
  }
  return text + fmt::format("\nreport: {}", config_.prepare.report_path());
}

// All are on the disk before the first takes its place.
void Prepare::write_all() const {
  std::vector<std::pair<std::string, std::string>> files;
  for (const Output& output : outputs_) {
    if (!output.path.empty()) files.emplace_back(output.path, output.lines);
  }
  files.emplace_back(config_.prepare.report_path(), report_text());
  try {
    for (const auto& [path, text] : files) write_whole(path + ".tmp", text);
    for (const auto& [path, text] : files) commit_file(path + ".tmp", path);
  } catch (const Error&) {
    std::error_code ignored;
    for (const auto& [path, text] : files) std::filesystem::remove(path + ".tmp", ignored);
    throw;
  }
}

void Prepare::finish() {
  summary_ = from_rank_0(*world_, "prepare end", [&] {
    const std::string text = table();
    if (outputs_[0].records == 0) {
      throw Error(ExitCode::data, fmt::format("{} = {}: nothing is left to train on, and nothing was written\n{}",
                                              kInputKey, config_.prepare.input, text));
    }
    write_all();
    return text;
  });
}

}  // namespace coxswain
