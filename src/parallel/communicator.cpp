#include "parallel/communicator.h"

namespace coxswain {

namespace {

class Transfers final : public Request::State {
 public:
  void add(Request request) { requests_.push_back(std::move(request)); }
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

}  // namespace coxswain
