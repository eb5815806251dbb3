#include "phases/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "data/reading.h"
#include "data/tokenizer_identity.h"
#include "data/unchanged.h"
#include "io/append_file.h"
#include "io/output_file.h"
#include "io/run_history.h"

namespace coxswain {

namespace {

constexpr const char* kKey = "[score] input";

// Who wrote the responses of a line: a policy where it says how they ended, and whether the last one was cut off.
struct Writer {
  explicit Writer(const nlohmann::json& line)
      : policy(line.contains("finish_reason")), cut_off(policy && line["finish_reason"] == "length") {}
  bool policy, cut_off;
};

// Candidates that nobody has ranked yet.
bool unranked(const nlohmann::json& line) {
  const auto given = [&](const char* key) { return line.contains(key) && !line[key].is_null(); };
  return given("responses") && !given("ranks") && !given("scores") && !given("best");
}

std::vector<Record> unranked_records(nlohmann::json line) {
  const nlohmann::json responses = std::move(line["responses"]);
  line.erase("responses");
  if (!responses.is_array()) throw BadRecord("\"responses\" is no array of strings");
  std::vector<Record> records = parse_records(line, RecordKind::prompts);
  for (const nlohmann::json& response : responses) {
    if (!response.is_string()) throw BadRecord("\"responses\" is no array of strings");
    records.front().responses.push_back(response.get<std::string>());
  }
  if (responses.empty()) throw UnusableRecord("no response");
  return records;
}

// A policy's response is scored as it is, whatever it says, as in PPO; else a file of them would not be scored whole.
std::vector<Record> records_in(const nlohmann::json& line, const Writer& writer) {
  if (unranked(line)) return unranked_records(line);
  if (kind_of(line) == RecordKind::comparisons) return parse_records(line, RecordKind::comparisons);
  const auto response = line.find("response");
  if (!writer.policy || response == line.end() || !response->is_string())
    return parse_records(line, RecordKind::demonstrations);
  nlohmann::json prompt = line;
  prompt.erase("response");
  std::vector<Record> records = parse_records(prompt, RecordKind::prompts);
  for (Record& record : records) record.responses = {response->get<std::string>()};
  return records;
}

// Prompt and response; one that was cut off has no stop, and is scored without one. A policy's text may have more
// tokens than it drew (bytes that were no UTF-8 have been replaced): it is seen as far as it fits.
TokenSequence encoded(const Conversation& prompt, const std::string& response, const ChatFormat& chat,
                      const Writer& writer, int most_tokens) {
  if (!writer.policy) chat.check_text(response);
  if (!writer.policy && trim(response).empty()) throw UnusableRecord("empty response");
  TokenSequence tokens = chat.encode_prompt(prompt);
  const std::size_t prompt_tokens = tokens.size();
  const TokenSequence more = chat.encode_response(response);
  tokens.insert(tokens.end(), more.begin(), more.end() - (writer.cut_off ? std::ssize(chat.stop()) : 0));
  const auto most = static_cast<std::size_t>(most_tokens);
  if (writer.policy && prompt_tokens < most) tokens.resize(std::min(tokens.size(), most));
  if (tokens.size() > most) throw UnusableRecord(fmt::format("response that ends beyond {} tokens", most_tokens));
  return tokens;
}

// With all their bits.
std::string records_of(const std::vector<double>& scores) {
  std::string records;
  for (const double score : scores) records += fmt::format("{}\n", score);
  return records;
}

}  // namespace

Score::Score(const ScorePhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      context_{grid.world(), backend, log},
      tokenizer_(make_tokenizer(config_.data)),
      model_(config_.model, grid, backend) {
  try_output(grid.world(), config.score.output, "[score] output");
  check_vocabulary(*tokenizer_, config_.model.vocabulary);
  read();
}

void Score::read() {
  const ChatFormat chat(config_.chat, *tokenizer_);
  const RecordFiles files{.paths = config_.score.input, .key = kKey, .on_bad_line = config_.data.on_bad_line};
  const Reading reading{files, chat, context_.world, context_.log, config_.batch.length};
  ReadCounts counts;
  counts.records = read_records(
      files, context_.world, context_.log, counts.dropped, [&](const nlohmann::json& json, const std::string& place) {
        const bool comparison = kind_of(json) == RecordKind::comparisons;
        const Writer writer(json);
        std::vector<TokenSequence> own;
        for (const Record& record : records_in(json, writer)) {
          chat.check_texts(record.prompt);
          for (const std::string& response : record.responses)
            own.push_back(encoded(record.prompt, response, chat, writer, config_.batch.length));
        }
        lines_.push_back({json.dump(), place, sequences_.size(), own.size(), comparison || own.size() != 1});
        std::move(own.begin(), own.end(), std::back_inserter(sequences_));
      });
  finish_reading(lines_.size(), RecordKind::demonstrations, reading, counts);
}

std::int64_t Score::total_steps() const {
  return (std::ssize(sequences_) + config_.batch.global - 1) / config_.batch.global;
}

void Score::begin() {
  go_on(load_model(initial_weights(config_.run, HeadKind::scalar), context_, [this](Archive& archive) {
    visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()});
    model_.load(archive);
  }));
}

void Score::go_on(const std::string& weights) {
  unfinished_ = std::make_unique<UnfinishedOutput>(
      context_.world, config_.run.directory + "/unfinished.jsonl",
      fmt::format("scores by {} of {}, {} at once", weights, content_hash(sequences_), config_.batch.global));
  for (const std::string& line :
       unfinished_->take(config_.batch.global, read_run_history(config_.run.directory).step()))
    scores_.push_back(std::stod(line));
  step_ = std::ssize(scores_) / config_.batch.global;
  for (std::size_t i = 0; i < scores_.size(); ++i) kept_tokens_ += std::ssize(sequences_[i]);
  if (step_ > 0) context_.log.info("goes on behind {} scores of {}", scores_.size(), sequences_.size());
}

StepReport Score::run_step() {
  const auto chunk = static_cast<std::size_t>(config_.batch.global), first = scores_.size();
  const auto sequences = std::span(sequences_).subspan(first, std::min(chunk, sequences_.size() - first));
  const std::vector<double> scores =
      score_sequences([this](const GlobalBatch& batch) { return model_.outputs(batch); }, sequences,
                      {.chunk = config_.batch.global, .micro = config_.batch.micro, .length = config_.batch.length});
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i])) continue;
    const auto line = std::find_if(lines_.begin(), lines_.end(),
                                   [&](const Line& each) { return first + i < each.first + each.count; });
    throw Error(ExitCode::diverged,
                fmt::format("{}: the score is {}: the model of [run] initialize_from = {} is broken; "
                            "use an earlier checkpoint",
                            line->place, scores[i], config_.run.initialize_from))
        .on_every_rank();
  }
  scores_.insert(scores_.end(), scores.begin(), scores.end());
  if (unfinished_) unfinished_->append(records_of(scores));
  ++step_;
  StepReport report;
  for (const TokenSequence& sequence : sequences) report.tokens += std::ssize(sequence);
  const ScoreMoments moments = moments_of(scores);
  report.metrics = {{"score", moments.mean}, {"deviation", moments.deviation}};
  return report;
}

std::string Score::with_score(const Line& line) const {
  auto json = nlohmann::ordered_json::parse(line.text);
  const auto own = std::span(scores_).subspan(line.first, line.count);
  if (line.is_list)
    json["score"] = std::vector<double>(own.begin(), own.end());
  else
    json["score"] = own.front();
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void Score::finish() {
  if (context_.world.rank() == 0) {
    std::string text;
    for (const Line& line : lines_) text += with_score(line);
    replace_text_file(config_.score.output, text);
  }
  if (unfinished_) unfinished_->remove();
}

std::string Score::summary() const {
  const ScoreMoments moments = moments_of(scores_);
  return fmt::format("{} scores of {} lines in {}: mean {:.4f}, deviation {:.4f}", scores_.size(), lines_.size(),
                     config_.score.output, moments.mean, moments.deviation);
}

}  // namespace coxswain
