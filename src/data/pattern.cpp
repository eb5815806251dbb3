#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <string>

#include "base/error.h"

namespace coxswain {

namespace {

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Pattern::Compiled {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_data, Free> match;
};

Pattern::Pattern(const char* expression) : compiled_(std::make_unique<Compiled>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression), PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  if (!compiled_->code) {
    throw Error(ExitCode::internal,
                fmt::format("PCRE2 refuses the pattern {} at {}: {}", expression, offset, message_of(error)));
  }
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);  // where there is none, matching is slower, not wrong
  compiled_->match.reset(pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  if (!compiled_->match) throw Error(ExitCode::internal, "PCRE2 has no memory for a match");
}

Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

std::optional<Pattern::Match> Pattern::find(std::string_view text, std::size_t position) const {
  const int found = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), position,
                                PCRE2_NO_UTF_CHECK, compiled_->match.get(), nullptr);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) throw Error(ExitCode::internal, "PCRE2 cannot search a text: " + message_of(found));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(compiled_->match.get());
  return Match{bounds[0], bounds[1]};
}

}  // namespace coxswain
