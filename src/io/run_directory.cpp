#include "io/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "io/agree.h"
#include "io/append_file.h"

namespace coxswain {

namespace {

constexpr auto kPatience = std::chrono::seconds(20);  // for the ranks of a job that was killed to end

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string identity() {
  const char* job = std::getenv("SLURM_JOB_ID");
  return fmt::format("host {} process {} job {}", host_name(), ::getpid(), job != nullptr ? job : "none");
}

// Whether the owner's rank 0 may still live. A process on another host cannot be asked.
bool may_live(const std::string& owner) {
  std::istringstream words(owner);
  std::string skip, host;
  pid_t process = 0;
  words >> skip >> host >> skip >> process;
  return !words || host != host_name() || process <= 0 || ::kill(process, 0) == 0 || errno == EPERM;
}

// 0, or the errno.
int try_lock(int descriptor, int kind) {
  int result = 0;
  do result = ::flock(descriptor, kind | LOCK_NB);
  while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace

RunDirectory::RunDirectory(const std::string& path, Communicator& world) : path_(path), world_(world) {
  const auto on_error = [this](const auto& body) {
    try {
      body();
    } catch (...) {
      if (lock_ >= 0) ::close(lock_);
      throw;
    }
  };
  on_error([&] {
    const std::string warning = from_rank_0(world_, "run directory", [&] {
      own();
      return std::string(unlockable_ ? "x" : "");
    });
    unlockable_ = !warning.empty();
    agree(world_, "run directory lock", [&] { share(); });
  });
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

void RunDirectory::own() {
  create_folder(path_);
  const std::string name = file("lock");
  lock_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0)
    throw Error(ExitCode::input_output, fmt::format("cannot open {}: {}; choose a run.directory that you can write",
                                                    name, std::strerror(errno)));
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  for (int error = 0; (error = try_lock(lock_, LOCK_EX)) != 0;) {
    if (error != EWOULDBLOCK) {
      unlockable_ = true;
      fmt::print(stderr, "{}: this file system has no locks ({}); see to it that one job at a time runs here\n", path_,
                 std::strerror(error));
      return;
    }
    const std::string owner = trim(read_text_file(name));
    if (may_live(owner) || std::chrono::steady_clock::now() > give_up)
      throw Error(ExitCode::usage, fmt::format("{} belongs to another run: {}. Wait for it, or set run.directory",
                                               path_, owner.empty() ? "one that has just started" : owner));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const std::string text = identity() + '\n';
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw Error(ExitCode::input_output, fmt::format("cannot write {}: {}", name, std::strerror(errno)));
}

void RunDirectory::share() {
  if (unlockable_) return;
  const std::string name = file("lock");
  if (lock_ < 0) lock_ = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock_ < 0)
    throw Error(ExitCode::input_output,
                fmt::format("cannot open {}: {}. Do all nodes see this directory?", name, std::strerror(errno)));
  // Rank 0 holds it alone until it is here itself; another job that slips in meanwhile wins, and this one refuses.
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  int error = 0;
  while ((error = try_lock(lock_, LOCK_SH)) == EWOULDBLOCK && std::chrono::steady_clock::now() < give_up)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (error != 0)
    throw Error(ExitCode::usage, fmt::format("{} belongs to another run: {}", path_, trim(read_text_file(name))));
}

void RunDirectory::write_deck(const std::string& text) {
  from_rank_0(world_, "deck", [&] {
    replace_text_file(file("deck.ini"), text);
    return std::string();
  });
}

}  // namespace coxswain
