// report.html: a run on one page that needs nothing else: its numbers, curves as SVG, starts, and the deck.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "io/run_history.h"

namespace coxswain {

struct ReportFacts {
  std::string phase;
  std::string directory;
  std::int64_t total_steps = 0;
  bool finished = false;
  bool has_curves = true;                                  // false: each step is a task of its own
  std::vector<std::pair<std::string, std::string>> facts;  // model, grid, version, ...: a row each
  std::string sections = {};                               // HTML of the phase's own, under the curves
  std::string deck;                                        // the effective one
};

std::string report_html(const ReportFacts& facts, const RunHistory& history);

// Replaces the file; a reader never sees half a page.
void write_report(const std::filesystem::path& path, const ReportFacts& facts, const RunHistory& history);

extern const char* const kReportStyle;  // in report_style.cpp
extern const char* const kReportScript;

}  // namespace coxswain
