// Scores of queries against the keys of one head over one text, in bytes.
//
// Enters: elements of queries and keys. Leaves: rows and panels of bytes for a product S (gemm.h) of signed rows and unsigned
// columns, and the factor and start with which a sum becomes a softmax exponent (attention.h). Knows nothing of values.
// What all keys have in common adds the same to every score of a query, which softmax does not see: the keys' mean is taken
// off, so that their bytes resolve what tells them apart, and their offset of 128 needs no correction. Keys share one step,
// every query has its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../table.h"
#include "gemm.h"
#include "math.h"

namespace crumb::generic {

template <class S, class F>
class ByteScores {
 public:
  using D = typename S::Format;
  using V = typename D::Vec;
  using Element = typename F::Element;
  using Row = std::int8_t;
  static constexpr int NR = S::panel;

  static std::size_t scratch(int length, int head_size) {
    const auto bytes = static_cast<std::size_t>((length + NR - 1) / NR * NR) * static_cast<std::size_t>(head_size);
    return (bytes / sizeof(float) + static_cast<std::size_t>(head_size) + 31) / 16 * 16;
  }

  ByteScores(const AttentionJob& job, float* scratch, float factor) : size_(job.head_size), factor_(factor) {
    const auto* key = static_cast<const Element*>(job.key);
    float* mean = scratch;
    panels_ = reinterpret_cast<std::uint8_t*>(scratch + (size_ + 15) / 16 * 16);
    for (int i = 0; i < size_; i += W) {
      V sum = V::set1(0.0F);
      for (int t = 0; t < job.length; ++t) sum = sum + F::read(key + t * job.stride + i, lanes(i));
      F32::store(sum * V::set1(1.0F / static_cast<float>(job.length)), mean + i, lanes(i));
    }
    const auto centred = [&](int t, int i) {
      return F::read(key + t * job.stride + i, lanes(i)) - F32::read(mean + i, lanes(i));
    };
    V top = V::set1(0.0F);
    float longest = 0.0F;
    for (int t = 0; t < job.length; ++t) {
      V squares = V::set1(0.0F);
      for (int i = 0; i < size_; i += W) {
        const V v = centred(t, i);
        squares = fma(v, v, squares);
        top = max(top, max(v, V::set1(0.0F) - v));
      }
      const float square = reduce_add(squares);
      longest = square > longest ? square : longest;
    }
    longest_ = __builtin_sqrtf(longest);
    step_ = step(reduce_max(top));
    const V inverse = V::set1(1.0F / step_);
    for (int t = 0; t < job.length; ++t) {
      std::uint8_t bytes[kLargest + W];
      for (int i = 0; i < size_; i += W) D::store_bytes(fma(centred(t, i), inverse, V::set1(128.0F)), bytes + i);
      std::uint8_t* to = panels_ + static_cast<std::ptrdiff_t>(t / NR) * NR * size_ + t % NR * D::depth;
      for (int i = 0; i < size_; i += D::depth) __builtin_memcpy(to + i * NR, bytes + i, D::depth);
    }
    // behind the last key lie keys of 0, whose weights are finite and so can be masked
    for (int t = job.length; t % NR != 0; ++t) {
      std::uint8_t* to = panels_ + static_cast<std::ptrdiff_t>(t / NR) * NR * size_ + t % NR * D::depth;
      for (int i = 0; i < size_; i += D::depth) __builtin_memset(to + i * NR, 128, D::depth);
    }
  }

  // A query as a row; false if its scores may lie further than `bound` from 0. A sum s of bytes then stands for the exponent
  // factor s + start - kWhole, a whole number below the score but for the query's own constant.
  bool take(const Element* query, float bound, Row* to, float& factor, float& start) const {
    V squares = V::set1(0.0F);
    V top = V::set1(0.0F);
    for (int i = 0; i < size_; i += W) {
      const V v = F::read(query + i, lanes(i));
      squares = fma(v, v, squares);
      top = max(top, max(v, V::set1(0.0F) - v));
    }
    const float furthest = __builtin_sqrtf(reduce_add(squares)) * longest_ * factor_;
    if (!(furthest <= bound)) return false;
    const float own = step(reduce_max(top));
    const V inverse = V::set1(1.0F / own);
    V sum = V::set1(0.0F);
    for (int i = 0; i < size_; i += W) {
      const V v = round(F::read(query + i, lanes(i)) * inverse);
      sum = sum + v;
      D::store_signed(v, to + i, lanes(i));
    }
    factor = factor_ * own * step_;
    start = kWhole - __builtin_ceilf(furthest + factor * (D::first + 128.0F * reduce_add(sum)));
    return true;
  }

  template <class Store>
  void operator()(typename S::Session& session, const Row* rows, int count, int first_key, int keys, Store store) const {
    S::gemm(session, rows, size_, count, size_, panels_ + static_cast<std::ptrdiff_t>(first_key) * size_,
            static_cast<std::ptrdiff_t>(NR) * size_, keys, store);
  }

 private:
  using F32 = Float32<V>;
  static constexpr int W = V::width;
  static constexpr int kLargest = 256;  // head size, above which a sum would leave D's range

  int lanes(int i) const { return size_ - i < W ? size_ - i : W; }
  static float step(float top) { return top > 1.0e-30F ? top / 127.0F : 1.0F; }

  int size_;
  float factor_;
  float longest_ = 0.0F;  // |key|, centred
  float step_ = 1.0F;
  std::uint8_t* panels_;  // [token panel][head_size / depth][NR][depth]
};

}  // namespace crumb::generic
