#include "parallel/staged_communicator.h"

#include <cstddef>
#include <exception>
#include <numeric>
#include <vector>

namespace coxswain {

namespace {

// A dense copy of a view, in memory of the host.
class Staged {
 public:
  explicit Staged(const TensorView& view) : memory_(view.bytes()), view_(memory_.data(), view.dtype, view.shape) {}
  TensorView view() const { return view_; }
  void fetch(Backend& backend, const TensorView& from) { backend.download(from, memory_.data()); }
  void deliver(Backend& backend, const TensorView& to) const { backend.upload(memory_.data(), to); }

 private:
  std::vector<std::byte> memory_;
  TensorView view_;
};

class Sending final : public Request::State {
 public:
  Sending(Backend& backend, Communicator& host, TensorView data, int to, const char* name) : staged_(data) {
    staged_.fetch(backend, data);
    transfer_ = host.send(staged_.view(), to, name);
  }
  bool ready() override { return transfer_.ready(); }
  void wait() override { transfer_.wait(); }

 private:
  Staged staged_;
  Request transfer_;  // goes first
};

class Receiving final : public Request::State {
 public:
  Receiving(Backend& backend, Communicator& host, TensorView data, int from, const char* name)
      : backend_(backend),
        data_(data),
        staged_(data),
        transfer_(host.receive(staged_.view(), from, name)),
        exceptions_(std::uncaught_exceptions()) {}
  ~Receiving() override {
    if (under_way_ && std::uncaught_exceptions() <= exceptions_) wait();
  }
  bool ready() override { return transfer_.ready(); }
  void wait() override {
    transfer_.wait();
    staged_.deliver(backend_, data_);
    under_way_ = false;
  }

 private:
  Backend& backend_;
  TensorView data_;
  Staged staged_;
  Request transfer_;
  int exceptions_;
  bool under_way_ = true;
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(Communicator& host, Backend& backend) : host_(host), backend_(backend) {}
  StagedCommunicator(std::unique_ptr<Communicator> host, Backend& backend)
      : owned_(std::move(host)), host_(*owned_), backend_(backend) {}

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  std::string transport() const override { return host_.transport() + " through memory of the host"; }
  void set_hook(CommunicationHook hook) override { host_.set_hook(std::move(hook)); }
  const CommunicationHook& hook() const override { return host_.hook(); }
  void set_coordinates(const std::string& coordinates) override { host_.set_coordinates(coordinates); }
  const std::string& coordinates() const override { return host_.coordinates(); }

  Request send(TensorView data, int to, const char* name) override {
    return Request(std::make_unique<Sending>(backend_, host_, data, to, name));
  }
  Request receive(TensorView data, int from, const char* name) override {
    return Request(std::make_unique<Receiving>(backend_, host_, data, from, name));
  }
  void all_gather(TensorView piece, TensorView out, const char* name) override {
    through_host(piece, out, [&](TensorView from, TensorView to) { host_.all_gather(from, to, name); });
  }
  void all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                       const char* name) override {
    through_host(piece, out, [&](TensorView from, TensorView to) { host_.all_gather_rows(from, to, counts, name); });
  }
  // At once: beside other work every message would go through the host by itself.
  Request begin_all_gather_rows(TensorView all, const std::vector<std::int64_t>& counts, const char* name) override {
    const auto own = counts.begin() + rank();
    all_gather_rows(all.slice(0, std::accumulate(counts.begin(), own, std::int64_t{0}), *own), all, counts, name);
    return Request();
  }
  void all_to_all(TensorView in, TensorView out, const char* name) override {
    through_host(in, out, [&](TensorView from, TensorView to) { host_.all_to_all(from, to, name); });
  }
  void broadcast(TensorView data, int root, const char* name) override {
    Staged staged(data);
    if (rank() == root) staged.fetch(backend_, data);
    host_.broadcast(staged.view(), root, name);
    if (rank() != root) staged.deliver(backend_, data);
  }

  void barrier(const char* name) override { host_.barrier(name); }
  std::int64_t all_max(std::int64_t value, const char* name) override { return host_.all_max(value, name); }
  std::int64_t all_min(std::int64_t value, const char* name) override { return host_.all_min(value, name); }
  void all_merge(std::vector<double>& values, const char* name) override { host_.all_merge(values, name); }
  std::string broadcast(const std::string& text, int root, const char* name) override {
    return host_.broadcast(text, root, name);
  }
  std::vector<std::string> all_gather(const std::string& text, const char* name) override {
    return host_.all_gather(text, name);
  }
  std::unique_ptr<Communicator> split(int color, int key, const char* name) override {
    return std::make_unique<StagedCommunicator>(host_.split(color, key, name), backend_);
  }

 private:
  template <class Move>
  void through_host(TensorView from, TensorView to, const Move& move) {
    Staged source(from), target(to);
    source.fetch(backend_, from);
    move(source.view(), target.view());
    target.deliver(backend_, to);
  }

  std::unique_ptr<Communicator> owned_;  // of a group that was split off
  Communicator& host_;
  Backend& backend_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(Communicator& host, Backend& backend) {
  return std::make_unique<StagedCommunicator>(host, backend);
}

}  // namespace coxswain
