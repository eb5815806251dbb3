// run_spmd: the frame around the program on every rank. What ends a job: the body's value, an error that all ranks meet
// (agreed on, printed once) or an error on one rank (MPI_Abort at once, so that nobody waits for this rank).
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"
#include "kernels/device.h"
#include "parallel/mpi_communicator.h"
#include "parallel/mpi_support.h"
#include "parallel/node_memory.h"

namespace coxswain {

namespace {

constexpr std::chrono::seconds kAgreementLimit{10};

struct Outcome {
  int code = 0;
  bool failed = false;
  bool everywhere = false;
  std::string message;
};

Outcome run_body(Communicator& world, const std::function<int(Communicator&)>& body) {
  const auto alone = [](ExitCode code, const std::string& message) {
    return Outcome{static_cast<int>(code), true, false, message};
  };
  try {
    return Outcome{body(world), false, false, ""};
  } catch (const Error& error) {
    return Outcome{static_cast<int>(error.code()), true, error.everywhere(), error.what()};
  } catch (const std::system_error& error) {  // files and streams
    return alone(ExitCode::input_output, error.what());
  } catch (const DeviceMemoryFull& error) {
    return alone(ExitCode::internal, error.what());
  } catch (const std::bad_alloc&) {
    return alone(ExitCode::internal, "out of memory");
  } catch (const std::exception& error) {
    return alone(ExitCode::internal, error.what());
  } catch (...) {
    return alone(ExitCode::internal, "unknown exception");
  }
}

// All ranks learn the largest code, and which rank speaks for those that met an error. False if somebody did not come
// in time, which only a failed rank minds: the others may be working still.
bool agree(MPI_Comm group, int rank, const Outcome& outcome, std::array<int, 2>& agreed) {
  const std::array<int, 2> own = {outcome.failed ? rank : INT_MAX, -outcome.code};
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallreduce(own.data(), agreed.data(), 2, MPI_INT, MPI_MIN, group, &request), "MPI_Iallreduce", "end");
  // Ranks give up one after the other, so that the first one's message is the only one.
  const auto limit = kAgreementLimit + std::chrono::milliseconds(100) * std::min(rank, 50);
  const auto start = std::chrono::steady_clock::now();
  for (int done = 0; true;) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test", "end");
    if (done != 0) return true;
    if (outcome.failed && std::chrono::steady_clock::now() - start > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // leaves the core to those that work still
  }
}

// Ranks of one node that may run on the same cores share them out: each gets as many threads as it has cores to itself.
// OpenMP's threads spin while they wait, and two on one core make a step fifty times as long. OMP_NUM_THREADS is
// obeyed.
void share_cores() {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (std::getenv("OMP_NUM_THREADS") != nullptr || sched_getaffinity(0, sizeof mine, &mine) != 0) return;
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node), "MPI_Comm_split_type",
            "cores");
  int size = 1;
  MPI_Comm_size(node, &size);
  std::vector<cpu_set_t> all(static_cast<std::size_t>(size));
  const int bytes = static_cast<int>(sizeof mine);
  check_mpi(MPI_Allgather(&mine, bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, node), "MPI_Allgather", "cores");
  MPI_Comm_free(&node);
  int sharing = 0;
  for (const cpu_set_t& theirs : all) {
    cpu_set_t common;
    CPU_AND(&common, &mine, &theirs);
    sharing += CPU_COUNT(&common) > 0 ? 1 : 0;
  }
  omp_set_num_threads(std::clamp(CPU_COUNT(&mine) / std::max(sharing, 1), 1, omp_get_max_threads()));
}

// More ranks than cores: a rank that spins while it waits takes the time of the one it waits for.
void yield_where_crowded() {
  const char* const local = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  cpu_set_t cores;
  if (local == nullptr || sched_getaffinity(0, sizeof cores, &cores) != 0) return;
  if (std::atoi(local) > CPU_COUNT(&cores)) setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

// One rank that no launcher has started needs no daemon, which takes 0.1 s, and no folder of Open MPI's: without a
// daemon all such processes of a machine have the same one, and the first to end takes it away from those that begin.
void need_nothing_alone() {
  for (const char* launched : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"})
    if (std::getenv(launched) != nullptr) return;
  setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  setenv("OMPI_MCA_orte_create_session_dirs", "0", 0);
}

}  // namespace

void abort_job(const Communicator& world, const std::string& message, ExitCode code) {
  static std::atomic<int> last_resort;
  last_resort = static_cast<int>(code);
  std::signal(SIGALRM, [](int) { _exit(last_resort); });  // MPI may hang where the others do
  alarm(20);
  char host[256] = "?";
  gethostname(host, sizeof host - 1);
  const std::string place = world.coordinates().empty() ? "" : " (" + world.coordinates() + ")";
  std::fprintf(stderr, "coxswain: rank %d of %d%s on %s: %s\n", world.rank(), world.size(), place.c_str(), host,
               message.c_str());
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

int run_spmd(int argc, char** argv, const std::function<int(Communicator& world)>& body) {
  yield_where_crowded();
  need_nothing_alone();
  choose_how_messages_travel();
  int provided = 0;
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED) {
    std::fprintf(stderr, "coxswain: MPI cannot be started with MPI_THREAD_FUNNELED\n");
    return static_cast<int>(ExitCode::internal);
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  std::array<int, 2> agreed = {INT_MAX, 0};
  Outcome outcome;
  {
    share_cores();
    MPI_Comm own = MPI_COMM_NULL, ending = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &own);
    MPI_Comm_dup(MPI_COMM_WORLD, &ending);
    MpiCommunicator world(own);
    outcome = run_body(world, body);
    if (outcome.failed && !outcome.everywhere) abort_job(world, outcome.message, static_cast<ExitCode>(outcome.code));
    if (!agree(ending, world.rank(), outcome, agreed)) {
      outcome.message += "\n(not every rank met this error: the job is aborted)";
      abort_job(world, outcome.message, static_cast<ExitCode>(outcome.code));
    }
    if (agreed[0] == world.rank()) {
      std::fprintf(stderr, "coxswain: %s\n", outcome.message.c_str());
      std::fflush(nullptr);
    }
    MPI_Comm_free(&ending);
  }
  MPI_Finalize();
  return -agreed[1];
}

}  // namespace coxswain
