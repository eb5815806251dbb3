// Files of JSON records: JSONL (one record a line), or one top-level array of records.
//
// A record that cannot be used is named by "file:line". There are two kinds:
// * a bad one (no JSON, a missing field, a wrong type): [data] on_bad_line says whether it is fatal or left out;
// * an unusable one (too long, no response, all ties ...): always left out and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "data/config.h"
#include "data/drop_report.h"
#include "parallel/communicator.h"

namespace coxswain {

// Thrown about a record by whoever looks at it.
struct BadRecord : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct UnusableRecord : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct JsonText {
  std::string_view text;
  std::int64_t line = 0;  // that it begins in, from 1
};

// The lines that are not blank or, if the first visible character is '[', the elements of the array. Nothing is
// checked but where a record ends, so that a broken element is one bad record.
std::vector<JsonText> split_records(std::string_view text);

// Throws BadRecord with a reason of one short printable line. NaN and numbers outside a double's range are no JSON.
nlohmann::json parse_record_text(std::string_view text);

struct RecordFiles {
  std::string paths;  // separated by commas, with wildcards
  std::string key;    // of the deck, for messages: "[reward] train"
  BadLine on_bad_line = BadLine::stop;
};

using TakeRecord = std::function<void(const nlohmann::json& record, const std::string& place)>;

// Collective: every rank takes the same records in the same order. Returns how many there were, the bad and the
// unusable included. Those are added to `dropped`; bad lines are also said in the log, the first few one by one.
// Throws Error(data) that names them if on_bad_line is stop.
std::int64_t read_records(const RecordFiles& files, Communicator& world, Log& log, DropReport& dropped,
                          const TakeRecord& take);

}  // namespace coxswain
