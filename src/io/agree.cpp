#include "io/agree.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

// "+result" or "-code message".
std::string outcome_of(const std::function<std::string()>& body) {
  try {
    return '+' + body();
  } catch (const Error& error) {
    return fmt::format("-{:03d} {}", static_cast<int>(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return fmt::format("-{:03d} out of memory", static_cast<int>(ExitCode::internal));
  } catch (const std::exception& error) {
    return fmt::format("-{:03d} {}", static_cast<int>(ExitCode::internal), error.what());
  }
}

bool is_error(const std::string& outcome) { return outcome.starts_with('-'); }

std::string result_of(const std::string& outcome) {
  if (!is_error(outcome)) return outcome.substr(1);
  throw Error(static_cast<ExitCode>(std::stoi(outcome.substr(1, 3))), outcome.substr(5)).on_every_rank();
}

void agree(Communicator& world, const char* name, const std::function<void()>& body) {
  const std::string mine = outcome_of([&] { return body(), std::string(); });
  if (world.all_max(is_error(mine) ? 1 : 0, name) == 0) return;
  const std::vector<std::string> all = world.all_gather(mine, name);
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (is_error(all[rank])) result_of(all[rank]);
}

std::string from_rank_0(Communicator& world, const char* name, const std::function<std::string()>& body) {
  const std::string mine = world.rank() == 0 ? outcome_of(body) : std::string();
  return result_of(world.broadcast(mine, 0, name));
}

}  // namespace coxswain
