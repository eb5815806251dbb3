#include "parallel/communicator.h"

#include <algorithm>

namespace coxswain {

namespace {

class Transfers final : public Request::State {
 public:
  void add(Request request) { requests_.push_back(std::move(request)); }
  bool ready() override {
    return std::all_of(requests_.begin(), requests_.end(), [](Request& request) { return request.ready(); });
  }
  void wait() override {
    for (Request& request : requests_) request.wait();
  }

 private:
  std::vector<Request> requests_;
};

}  // namespace

Request Communicator::exchange(const std::vector<Message>& incoming, const std::vector<Message>& outgoing,
                               const char* name) {
  auto transfers = std::make_unique<Transfers>();
  for (const Message& message : incoming) transfers->add(receive(message.data, message.rank, name));
  for (const Message& message : outgoing) transfers->add(send(message.data, message.rank, name));
  return Request(std::move(transfers));
}

Request Communicator::begin_all_gather_rows(TensorView all, const std::vector<std::int64_t>& counts, const char* name) {
  std::vector<TensorView> pieces;
  std::int64_t start = 0;
  for (const std::int64_t count : counts) {
    pieces.push_back(all.slice(0, start, count));
    start += count;
  }
  const auto piece = [&](int r) { return pieces[static_cast<std::size_t>(r)]; };
  std::vector<Message> incoming, outgoing;
  for (int step = 1; step < size(); ++step) {
    const int from = (rank() + size() - step) % size(), to = (rank() + step) % size();
    if (piece(from).elements() > 0) incoming.push_back({piece(from), from});
    if (piece(rank()).elements() > 0) outgoing.push_back({piece(rank()), to});
  }
  return exchange(incoming, outgoing, name);
}

}  // namespace coxswain
