#include "team.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace crumb {

namespace {

// Rounds follow one another within microseconds, so waiting spins for a moment before it asks the system to sleep.
constexpr int kSpins = 2000;

// The word: 23 bits of round, 20 of count, 20 of next
constexpr int kBits = 20;
constexpr std::uint64_t kMost = (std::uint64_t{1} << kBits) - 1;
constexpr std::uint64_t kStop = ~std::uint64_t{0};  // count and next are equal here: nothing to take

std::uint64_t next_of(std::uint64_t state) { return state & kMost; }
std::uint64_t count_of(std::uint64_t state) { return state >> kBits & kMost; }
std::uint64_t next_round(std::uint64_t state, std::uint64_t count) {
  const std::uint64_t round = ((state >> 2 * kBits) + 1) & ((std::uint64_t{1} << (63 - 2 * kBits)) - 1);  // never kStop's
  return round << 2 * kBits | count << kBits;
}

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class T>
void wait_while(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(int threads) {
  workers_.reserve(static_cast<std::size_t>(threads > 1 ? threads - 1 : 0));
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error&) {
    // The system gives no more threads (a container's pids limit): the team is smaller, the answer the same.
  }
}

Team::~Team() {
  state_.store(kStop, std::memory_order_release);
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::run(std::size_t count, const Task& task) {
  task_ = &task;
  failed_.store(false, std::memory_order_relaxed);
  for (base_ = 0; base_ < count; base_ += kMost) {
    const std::uint64_t tasks = std::min<std::uint64_t>(count - base_, kMost);
    done_.store(0, std::memory_order_relaxed);
    std::uint64_t state = next_round(state_.load(std::memory_order_relaxed), tasks);
    state_.store(state, std::memory_order_release);
    if (tasks > 1) state_.notify_all();
    while (claim(state, 0)) {
    }
    for (std::uint32_t done = done_.load(std::memory_order_acquire); done != tasks;
         done = done_.load(std::memory_order_acquire)) {
      wait_while(done_, done);
    }
  }
  if (error_) {
    const std::exception_ptr error = error_;
    error_ = nullptr;
    std::rethrow_exception(error);
  }
}

void Team::work(int worker) {
  for (;;) {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    while (claim(state, worker)) {
    }
    if (state == kStop) return;
    wait_while(state_, state);
  }
}

// Takes and performs a task, `state` being the latest word seen; false where there is none to take.
bool Team::claim(std::uint64_t& state, int worker) {
  while (next_of(state) < count_of(state)) {
    if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    const std::uint64_t count = count_of(state);
    perform(base_ + next_of(state), worker);
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) done_.notify_one();
    state = state_.load(std::memory_order_acquire);
    return true;
  }
  return false;
}

void Team::perform(std::size_t index, int worker) {
  if (failed_.load(std::memory_order_relaxed)) return;
  try {
    (*task_)(index, worker);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
    failed_.store(true, std::memory_order_relaxed);
  }
}

}  // namespace crumb
