// The k best of a stream of scored rows.
//
// Enters: scores with rows, rows rising. Leaves: the best, in order. Order is total: higher scores first, equal ones by rising row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace crumb::scoring {

template <class Score>
struct Scored {
  Score score;
  std::int64_t row;
};

template <class Score>
bool better(const Scored<Score>& a, const Scored<Score>& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

template <class Score>
class Best {
 public:
  void start(std::int64_t k) {
    k_ = static_cast<std::size_t>(k);
    heap_.clear();
    limit_ = nothing();
    nan_row_ = -1;
  }

  // What does not exceed the worst of k cannot enter: of equal ones the earlier row stays. NaN, which compares with nothing, and
  // everything while there are fewer than k, takes the slow way.
  void offer(Score score, std::int64_t row) {
    if (!(score <= limit_)) take({score, row});
  }

  const std::vector<Scored<Score>>& found() const { return heap_; }
  std::int64_t nan_row() const { return nan_row_; }  // -1 if no score was NaN

 private:
  static constexpr Score nothing() {
    return std::is_floating_point_v<Score> ? std::numeric_limits<Score>::quiet_NaN() : std::numeric_limits<Score>::lowest();
  }

  void take(Scored<Score> item) {
    if constexpr (std::is_floating_point_v<Score>) {
      if (std::isnan(item.score)) {
        if (nan_row_ < 0) nan_row_ = item.row;
        return;
      }
    }
    if (heap_.size() == k_) {
      std::pop_heap(heap_.begin(), heap_.end(), better<Score>);
      heap_.back() = item;
    } else {
      heap_.push_back(item);
    }
    std::push_heap(heap_.begin(), heap_.end(), better<Score>);  // the worst in front
    if (heap_.size() == k_) limit_ = heap_.front().score;
  }

  std::size_t k_ = 0;
  Score limit_ = nothing();
  std::int64_t nan_row_ = -1;
  std::vector<Scored<Score>> heap_;
};

}  // namespace crumb::scoring
