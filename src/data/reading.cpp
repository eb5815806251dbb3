#include "data/reading.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace coxswain {

void read_as(RecordKind kind, const Reading& reading, ReadCounts& counts, const TakeParsed& take) {
  counts.records += read_records(reading.files, reading.world, reading.log, counts.dropped,
                                 [&](const nlohmann::json& line, const std::string& place) {
                                   for (Record& record : parse_records(line, kind)) take(record, place);
                                 });
}

void finish_reading(std::size_t usable, RecordKind kind, const Reading& reading, const ReadCounts& counts) {
  const std::string where = fmt::format("{} = {}", reading.files.key, reading.files.paths);
  const std::string dropped = counts.dropped.total() > 0
                                  ? fmt::format(" of {} records, left out:\n{}", counts.records, counts.dropped.str())
                                  : std::string();
  if (usable == 0)
    throw Error(ExitCode::data, fmt::format("{}: no usable {} in it{}", where, kind_name(kind), dropped));
  if (!dropped.empty()) reading.log.info("{}: {} {}{}", where, usable, kind_name(kind), dropped);
}

}  // namespace coxswain
