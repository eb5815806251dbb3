// Whether ranks of one node may read each other's memory, which decides how their large messages travel.
#pragma once

namespace coxswain {

// A child process tries to read this process's memory, as ranks of one node would. Yama, seccomp filters of containers
// or the kernel itself may forbid it.
bool may_read_other_processes();

// To be called before MPI starts. Open MPI reads large messages straight from the sender's memory where it believes
// that it may; measured three to five times as fast as through shared pages (and far more so where other programs want
// the cores, since a message then needs no turns of both sides), but where the system call fails, messages fail with
// it.
void choose_how_messages_travel();

}  // namespace coxswain
