#include "data/demonstrations.h"

#include <fmt/format.h>

namespace coxswain {

namespace {

Demonstration encoded(const Record& record, const Reading& reading) {
  Conversation whole = record.prompt;
  whole.push_back({Role::assistant, record.responses.front()});
  reading.chat.check_texts(whole);
  EncodedConversation conversation = reading.chat.encode(whole, record.learned);
  if (static_cast<std::int64_t>(conversation.tokens.size()) > reading.most_tokens) {
    throw UnusableRecord(fmt::format("conversation of more than {} tokens", reading.most_tokens));
  }
  return {std::move(conversation.tokens), std::move(conversation.is_response), record.source, record.user};
}

}  // namespace

Demonstrations read_demonstrations(const Reading& reading) {
  Demonstrations out;
  read_as(RecordKind::demonstrations, reading, out.counts,
          [&](Record& record, const std::string&) { out.records.push_back(encoded(record, reading)); });
  finish_reading(out.records.size(), RecordKind::demonstrations, reading, out.counts);
  return out;
}

}  // namespace coxswain
