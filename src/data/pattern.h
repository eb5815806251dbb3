// A regular expression (PCRE2, compiled to machine code where it can be) on UTF-8 text.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

namespace coxswain {

class Pattern {
 public:
  explicit Pattern(const char* expression);  // Error(internal) if PCRE2 refuses it: none comes from a user
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  struct Match {
    std::size_t begin, end;
  };
  // The first match at or after `position`. The text must be valid UTF-8. One thread at a time.
  std::optional<Match> find(std::string_view text, std::size_t position) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace coxswain
