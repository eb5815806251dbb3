// Ranks as threads of one process, for tests of what only exchanges host values. Moves no tensors.
#pragma once

#include <algorithm>
#include <barrier>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "parallel/communicator.h"

namespace coxswain {

class ThreadWorld {
 public:
  // Runs the body once for each rank, and throws what the first failing rank threw.
  static void run(int size, const std::function<void(Communicator&)>& body) {
    ThreadWorld shared(size);
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        Rank communicator(shared, rank);
        try {
          body(communicator);
        } catch (...) {
          errors[static_cast<std::size_t>(rank)] = std::current_exception();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
  }

 private:
  explicit ThreadWorld(int size) : texts_(static_cast<std::size_t>(size)), barrier_(size) {}

  class Rank final : public Communicator {
   public:
    Rank(ThreadWorld& shared, int rank) : shared_(shared), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(shared_.texts_.size()); }
    std::string transport() const override { return "nothing"; }
    std::vector<std::string> all_gather(const std::string& text, const char*) override {
      shared_.texts_[static_cast<std::size_t>(rank_)] = text;
      shared_.barrier_.arrive_and_wait();
      std::vector<std::string> all = shared_.texts_;
      shared_.barrier_.arrive_and_wait();
      return all;
    }
    std::string broadcast(const std::string& text, int root, const char* name) override {
      return all_gather(text, name)[static_cast<std::size_t>(root)];
    }
    void barrier(const char* name) override { all_gather("", name); }
    std::int64_t all_max(std::int64_t value, const char* name) override { return extreme(value, name, true); }
    std::int64_t all_min(std::int64_t value, const char* name) override { return extreme(value, name, false); }

    Request send(TensorView, int, const char*) override { unsupported(); }
    Request receive(TensorView, int, const char*) override { unsupported(); }
    void all_gather(TensorView, TensorView, const char*) override { unsupported(); }
    void all_gather_rows(TensorView, TensorView, const std::vector<std::int64_t>&, const char*) override {
      unsupported();
    }
    void all_to_all(TensorView, TensorView, const char*) override { unsupported(); }
    void broadcast(TensorView, int, const char*) override { unsupported(); }
    void all_merge(std::vector<double>&, const char*) override { unsupported(); }
    std::unique_ptr<Communicator> split(int, int, const char*) override { unsupported(); }

   private:
    [[noreturn]] static void unsupported() { throw std::logic_error("threads as ranks move no tensors"); }
    std::int64_t extreme(std::int64_t value, const char* name, bool largest) {
      for (const std::string& text : all_gather(std::to_string(value), name))
        value =
            largest ? std::max<std::int64_t>(value, std::stoll(text)) : std::min<std::int64_t>(value, std::stoll(text));
      return value;
    }
    ThreadWorld& shared_;
    int rank_;
  };

  std::vector<std::string> texts_;
  std::barrier<> barrier_;
};

}  // namespace coxswain
