// A team of threads that lives as long as one call.
//
// Enters: a number of tasks and what to do for each. Leaves: when all are done. Knows nothing of encoders. Threads take tasks
// one by one as they finish, so a slow neighbour on the machine costs one task and not half the work. No thread outlives
// the call that made it: nothing is left to break at a fork, and calls from many Python threads share nothing.
#pragma once

#include <atomic>
#include <cstddef>
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
  void drain(int worker);

  std::vector<std::thread> workers_;
  std::atomic<unsigned> round_{0};  // a new value starts a round
  std::atomic<int> busy_{0};        // workers that have not finished this round
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> stop_{false};
  std::size_t count_ = 0;
  const Task* task_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace crumb
