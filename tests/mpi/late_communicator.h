// A group whose messages land as late as they may: what they will overwrite is no number until they are waited for, and
// they are not ready before they have been asked several times. Whoever looks too early sees it.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parallel/communicator.h"

namespace coxswain {

class LateCommunicator final : public Communicator {
 public:
  explicit LateCommunicator(Communicator& group) : group_(group) {}
  explicit LateCommunicator(std::unique_ptr<Communicator> group) : owned_(std::move(group)), group_(*owned_) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  std::string transport() const override { return group_.transport(); }
  void open(const std::vector<Route>& routes) override { group_.open(routes); }
  Request send(TensorView data, int to, const char* name) override { return group_.send(data, to, name); }
  Request receive(TensorView data, int from, const char* name) override {
    auto late = std::make_unique<Late>();
    return Request(receive(data, from, name, std::move(late)));
  }
  Request exchange(const std::vector<Message>& incoming, const std::vector<Message>& outgoing,
                   const char* name) override {
    auto late = std::make_unique<Late>();
    for (const auto& [data, from] : incoming) late = receive(data, from, name, std::move(late));
    for (const auto& [data, to] : outgoing) late->transfers.push_back(group_.send(data, to, name));
    return Request(std::move(late));
  }
  void all_gather(TensorView piece, TensorView out, const char* name) override { group_.all_gather(piece, out, name); }
  void all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                       const char* name) override {
    group_.all_gather_rows(piece, out, counts, name);
  }
  void all_to_all(TensorView in, TensorView out, const char* name) override { group_.all_to_all(in, out, name); }
  void broadcast(TensorView data, int root, const char* name) override { group_.broadcast(data, root, name); }
  void barrier(const char* name) override { group_.barrier(name); }
  std::int64_t all_max(std::int64_t value, const char* name) override { return group_.all_max(value, name); }
  std::int64_t all_min(std::int64_t value, const char* name) override { return group_.all_min(value, name); }
  void all_merge(std::vector<double>& values, const char* name) override { group_.all_merge(values, name); }
  std::string broadcast(const std::string& text, int root, const char* name) override {
    return group_.broadcast(text, root, name);
  }
  std::vector<std::string> all_gather(const std::string& text, const char* name) override {
    return group_.all_gather(text, name);
  }
  std::unique_ptr<Communicator> split(int color, int key, const char* name) override {
    return std::make_unique<LateCommunicator>(group_.split(color, key, name));
  }

 private:
  struct Landing {
    TensorView data;
    std::vector<std::byte> bytes;
  };
  struct Late final : Request::State {
    ~Late() override { wait(); }
    bool ready() override {
      ++asked;
      return asked > 3;
    }
    void wait() override {
      for (Request& transfer : transfers) transfer.wait();
      for (const Landing& landing : landings)
        std::memcpy(landing.data.data, landing.bytes.data(), landing.bytes.size());
      transfers.clear();
      landings.clear();
    }
    std::vector<Landing> landings;
    std::vector<Request> transfers;
    int asked = 0;
  };

  std::unique_ptr<Late> receive(TensorView data, int from, const char* name, std::unique_ptr<Late> late) {
    std::memset(data.data, 0xff, data.bytes());  // of any type, no number
    late->landings.push_back({data, std::vector<std::byte>(data.bytes())});
    const TensorView apart(late->landings.back().bytes.data(), data.dtype, data.shape);
    late->transfers.push_back(group_.receive(apart, from, name));
    return late;
  }

  std::unique_ptr<Communicator> owned_;
  Communicator& group_;
};

}  // namespace coxswain
