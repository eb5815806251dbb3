// What the readers of prompts, demonstrations and comparisons share: where from, how, and what was left out.
#pragma once

#include <functional>
#include <string>

#include "base/log.h"
#include "data/conversation.h"
#include "data/json_lines.h"
#include "data/record.h"
#include "parallel/communicator.h"

namespace coxswain {

struct Reading {
  RecordFiles files;
  const ChatFormat& chat;
  Communicator& world;
  Log& log;
  int most_tokens = 0;  // of a record; longer ones are left out, and of a comparison the responses that are too long
};

struct ReadCounts {
  std::int64_t records = 0;  // in the files, a line with several instances counted as one
  DropReport dropped;
};

// Parses each record as this kind and hands it on with its place; `take` may throw BadRecord or UnusableRecord.
using TakeParsed = std::function<void(Record& record, const std::string& place)>;
void read_as(RecordKind kind, const Reading& reading, ReadCounts& counts, const TakeParsed& take);

// Says in the log what was left out. Throws Error(data) if nothing is left.
void finish_reading(std::size_t usable, RecordKind kind, const Reading& reading, const ReadCounts& counts);

}  // namespace coxswain
