// Intrusive first-in-first-out queues of tasks that are due and cannot start yet.
#pragma once

#include <cstddef>

namespace sonde {

class StartQueue;

// Base of whatever can wait. One queue at a time.
struct Waiter {
  Waiter* previous_waiter = nullptr;
  Waiter* next_waiter = nullptr;
  StartQueue* queue = nullptr;  // null: not waiting
};

class StartQueue {
 public:
  bool empty() const { return first_ == nullptr; }
  size_t size() const { return size_; }
  Waiter* first() const { return first_; }

  void PushBack(Waiter& waiter) {
    waiter.queue = this;
    waiter.next_waiter = nullptr;
    waiter.previous_waiter = last_;
    (last_ ? last_->next_waiter : first_) = &waiter;
    last_ = &waiter;
    ++size_;
  }

  void Remove(Waiter& waiter) {
    (waiter.previous_waiter ? waiter.previous_waiter->next_waiter : first_) = waiter.next_waiter;
    (waiter.next_waiter ? waiter.next_waiter->previous_waiter : last_) = waiter.previous_waiter;
    waiter.previous_waiter = waiter.next_waiter = nullptr;
    waiter.queue = nullptr;
    --size_;
  }

 private:
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sonde
