#include "data/preferences.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "io/fingerprint.h"

namespace coxswain {

namespace {

bool all_equal(const auto& values) {
  return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end();
}

Comparison encoded(Record& record, const Reading& reading, const std::string& place, DropReport& dropped) {
  reading.chat.check_texts(record.prompt);
  Comparison out;
  out.prompt = reading.chat.encode_prompt(record.prompt);
  std::vector<std::string> why;
  for (const std::string& response : record.responses) {
    reading.chat.check_text(response);
    std::vector<std::int32_t> tokens = reading.chat.encode_response(response);
    const bool fits = static_cast<std::int64_t>(out.prompt.size() + tokens.size()) <= reading.most_tokens;
    why.push_back(fits ? "" : fmt::format("response that ends beyond {} tokens", reading.most_tokens));
    if (trim(response).empty()) why.back() = "empty response";
    if (why.back().empty()) out.responses.push_back(std::move(tokens));
  }
  leave_out_responses(record, why, place, dropped);
  out.ranks = record.ranks;
  out.labeler = record.labeler;
  out.source = record.source;
  return out;
}

}  // namespace

void leave_out_responses(Record& record, const std::vector<std::string>& why, const std::string& place,
                         DropReport& dropped) {
  Record kept = record;
  kept.responses.clear();
  kept.ranks.clear();
  for (std::size_t i = 0; i < why.size(); ++i) {
    if (!why[i].empty()) {
      dropped.add(why[i], place);
      continue;
    }
    kept.responses.push_back(record.responses[i]);
    kept.ranks.push_back(record.ranks[i]);
  }
  record = std::move(kept);
  if (record.responses.empty()) throw UnusableRecord("comparison without responses");
  if (record.responses.size() == 1) throw UnusableRecord("comparison of one response only");
  if (all_equal(record.responses)) throw UnusableRecord("comparison of the same response");
  if (all_equal(record.ranks)) throw UnusableRecord("comparison of ties only");
}

Comparisons read_comparisons(const Reading& reading) {
  Comparisons out;
  read_as(RecordKind::comparisons, reading, out.counts, [&](Record& record, const std::string& place) {
    out.records.push_back(encoded(record, reading, place, out.counts.dropped));
  });
  finish_reading(out.records.size(), RecordKind::comparisons, reading, out.counts);
  return out;
}

std::string content_hash(const std::vector<Comparison>& comparisons) {
  std::vector<std::int32_t> all;
  const auto add = [&all](const std::vector<std::int32_t>& numbers) {
    all.push_back(static_cast<std::int32_t>(numbers.size()));
    all.insert(all.end(), numbers.begin(), numbers.end());
  };
  for (const Comparison& comparison : comparisons) {
    add(comparison.prompt);
    add(comparison.ranks);
    for (const std::vector<std::int32_t>& response : comparison.responses) add(response);
  }
  return hexadecimal(hash_bytes(all.data(), all.size() * sizeof(std::int32_t)));
}

}  // namespace coxswain
