// A team of threads that lives as long as one call.
//
// Enters: a number of tasks and what to do for each. Leaves: when all are done. Knows nothing of encoders. Threads take tasks
// one by one as they finish, and a round ends with its tasks, not with its threads: one that the system has not woken yet, or
// that a neighbour on the machine holds up, costs at most the task it is at. No thread outlives the call that made it: nothing
// is left to break at a fork, and calls from many Python threads share nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace crumb {

class Team {
 public:
  // task index, worker index in [0, size())
  using Task = std::function<void(std::size_t, int)>;

  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs task(0..count-1), the caller being worker 0; rethrows the first exception of any task.
  void run(std::size_t count, const Task& task);

 private:
  void work(int worker);
  bool claim(std::uint64_t& state, int worker);
  void perform(std::size_t index, int worker);

  std::vector<std::thread> workers_;
  // Round, number of tasks and next task in one word: who takes a task of a round that is over finds another word and takes
  // none. What follows is written before the word and read only by who has taken a task.
  std::atomic<std::uint64_t> state_{0};
  std::atomic<std::uint32_t> done_{0};  // tasks of this round
  std::size_t base_ = 0;                // index of the round's first task
  const Task* task_ = nullptr;
  std::atomic<bool> failed_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace crumb
