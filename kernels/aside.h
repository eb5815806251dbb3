// The scope of work that goes on beside what is asked for later.
#pragma once

#include "kernels/backend.h"

namespace coxswain {

// What is asked for while it lives goes on aside: see Backend::join_aside.
class Aside {
 public:
  explicit Aside(Backend& backend) : backend_(backend) {
    backend_.begin_aside();
    backend_.aside_ = true;
  }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside() {
    backend_.aside_ = false;
    backend_.end_aside();
  }

 private:
  Backend& backend_;
};

}  // namespace coxswain
