#include "io/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/append_file.h"
#include "io/svg_chart.h"
#include "io/terminal.h"

namespace coxswain {

namespace {

constexpr const char* kValidation = "validation_";

std::string spoken(std::string name, bool capital = true) {
  std::replace(name.begin(), name.end(), '_', ' ');
  if (capital && !name.empty()) name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return name;
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "not finite";
  return fmt::format("{:.4g}", value);
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string key_numbers(const ReportFacts& facts, const RunHistory& history) {
  std::string html;
  const auto item = [&](const std::string& name, const std::string& value) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escape_html(name), escape_html(value));
  };
  if (facts.has_curves && !history.metrics().empty()) {
    const Series& main = history.metrics().front();
    item("Last " + spoken(main.name, false), number_text(main.last()));
    if (const Series* validation = history.find(kValidation + main.name)) {
      item("Last validation " + spoken(main.name, false), number_text(validation->last()));
    }
  }
  item("Steps",
       facts.finished ? fmt::format("{}", history.step()) : fmt::format("{} / {}", history.step(), facts.total_steps));
  if (history.tokens() > 0) item("Tokens", count_text(static_cast<double>(history.tokens())));
  item("Time in steps", duration_text(history.seconds()));
  const double rate = median(history.tokens_per_second().values);
  if (rate > 0) item("Tokens/s, median", count_text(rate));
  if (!history.gemm_share().values.empty()) {
    item("Share of GEMM rate", fmt::format("{:.0f} %", 100 * median(history.gemm_share().values)));
  }
  return fmt::format("<dl class=\"numbers\">{}</dl>", html);
}

Chart blank_chart(const RunHistory& history, const std::string& title) {
  Chart chart;
  chart.title = title;
  chart.last_step = static_cast<double>(history.step());
  for (std::size_t i = 1; i < history.sessions().size(); ++i) {
    chart.restarts.push_back(static_cast<double>(history.sessions()[i].first_step));
  }
  return chart;
}

// The first metric large, with its validation twin; each of the others, and the rates, small.
std::string charts(const RunHistory& history) {
  std::string html, small;
  const auto draw = [&](Chart chart, bool large) {
    if (!large) {
      chart.width = 450;
      chart.height = 250;
    }
    (large ? html : small) += fmt::format("<figure>{}</figure>\n", svg_chart(chart));
  };
  bool first = true;
  for (const Series& series : history.metrics()) {
    const bool twin = series.name.starts_with(kValidation);
    if (twin && history.find(series.name.substr(std::string(kValidation).size())) != nullptr) continue;
    Chart chart = blank_chart(history, spoken(series.name));
    chart.lines.push_back({series, "training", twin});
    if (const Series* validation = history.find(kValidation + series.name)) {
      chart.lines.push_back({*validation, "validation", true});
    }
    draw(chart, first);
    first = false;
  }
  if (!history.tokens_per_second().values.empty() && history.tokens() > 0) {
    Chart chart = blank_chart(history, "Tokens per second");
    chart.lines.push_back({history.tokens_per_second(), "", false});
    draw(chart, false);
  }
  if (!history.gemm_share().values.empty()) {
    Chart chart = blank_chart(history, "Share of the measured GEMM rate, %");
    Series share = history.gemm_share();
    for (double& value : share.values) value *= 100;
    chart.lines.push_back({share, "", false});
    draw(chart, false);
  }
  if (!small.empty()) html += fmt::format("<div class=\"pair\">{}</div>\n", small);
  const bool means = history.step() >= 60;
  const bool restarts = history.sessions().size() > 1;
  if (means || restarts) {
    html += fmt::format("<p class=\"note\">{}{}{}</p>\n",
                        means ? "Pale: every step. Strong: running mean over about a thirtieth of the run." : "",
                        means && restarts ? " " : "", restarts ? "Dotted lines: restarts from a checkpoint." : "");
  }
  return html;
}

std::string row(const std::string& name, const std::string& value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escape_html(name), escape_html(value));
}

std::string tables(const ReportFacts& facts, const RunHistory& history) {
  std::string rows = row("Directory", facts.directory);
  for (const auto& [name, value] : facts.facts) rows += row(spoken(name), value);
  for (const Series& series : facts.has_curves ? history.metrics() : std::vector<Series>())
    rows += row("Last " + spoken(series.name, false), number_text(series.last()));
  std::string html = fmt::format("<h2>Run</h2>\n<table>{}</table>\n", rows);
  if (history.sessions().empty()) return html;
  std::string starts;
  for (const RunSession& session : history.sessions()) {
    starts += row(fmt::format("From step {}", session.first_step), session.description);
  }
  return html + fmt::format("<h2>Starts</h2>\n<table>{}</table>\n", starts);
}

std::string status(const ReportFacts& facts, const RunHistory& history) {
  const std::size_t restarts = history.sessions().empty() ? 0 : history.sessions().size() - 1;
  std::string text = facts.finished ? "<b>Finished</b>" : "<b>Under way</b>";
  text += fmt::format(": step {} of {}", history.step(), facts.total_steps);
  if (restarts > 0) text += fmt::format(", {} restart{}", restarts, restarts == 1 ? "" : "s");
  return text;
}

}  // namespace

std::string report_html(const ReportFacts& facts, const RunHistory& history) {
  const auto folder = std::filesystem::path(facts.directory).lexically_normal();
  const std::string title =
      folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} · {}</title>\n"
      "<style>{}</style>\n</head>\n<body>\n",
      escape_html(title), escape_html(facts.phase), kReportStyle);
  html += fmt::format(
      "<header>\n<p class=\"eyebrow\">Coxswain · {}</p>\n<h1>{}</h1>\n<p class=\"status\">{}</p>\n</header>\n",
      escape_html(facts.phase), escape_html(title), status(facts, history));
  html += key_numbers(facts, history) + (facts.has_curves ? charts(history) : "") + facts.sections;
  html += tables(facts, history);
  if (!facts.deck.empty()) {
    html += fmt::format("<details>\n<summary>Deck</summary>\n<pre>{}</pre>\n</details>\n", escape_html(facts.deck));
  }
  html += "<footer>Drawn from metrics.jsonl and timing.jsonl in the run directory.</footer>\n";
  return html + fmt::format("<script>{}</script>\n</body>\n</html>\n", kReportScript);
}

void write_report(const std::filesystem::path& path, const ReportFacts& facts, const RunHistory& history) {
  replace_text_file(path, report_html(facts, history));
}

}  // namespace coxswain
