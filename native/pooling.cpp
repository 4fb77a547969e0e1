#include "pooling.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace crumb {

Pooling pooling_from_name(const std::string& name) {
  if (name == "cls") return Pooling::cls;
  if (name == "max") return Pooling::max;
  if (name == "mean") return Pooling::mean;
  if (name == "mean_sqrt_len") return Pooling::mean_sqrt_len;
  if (name == "lasttoken") return Pooling::lasttoken;
  throw std::invalid_argument("unknown pooling '" + name + "'; known: cls, max, mean, mean_sqrt_len, lasttoken");
}

void pool(Pooling pooling, const float* hidden, int first, int length, int size, double* sums, float* out) {
  const auto row = [&](int t) { return hidden + static_cast<std::ptrdiff_t>(t) * size; };
  switch (pooling) {
    case Pooling::cls:
      std::copy_n(row(first), size, out);
      return;
    case Pooling::lasttoken:
      std::copy_n(row(length - 1), size, out);
      return;
    case Pooling::max:
      std::copy_n(row(first), size, out);
      for (int t = first + 1; t < length; ++t) {
        for (int i = 0; i < size; ++i) out[i] = std::max(out[i], row(t)[i]);
      }
      return;
    case Pooling::mean:
    case Pooling::mean_sqrt_len: {
      // float64 sums: 4,096 float32 additions one after the other would lose a digit
      std::fill_n(sums, size, 0.0);
      for (int t = first; t < length; ++t) {
        for (int i = 0; i < size; ++i) sums[i] += row(t)[i];
      }
      const double count = length - first;
      const double divisor = pooling == Pooling::mean ? count : std::sqrt(count);
      for (int i = 0; i < size; ++i) out[i] = static_cast<float>(sums[i] / divisor);
      return;
    }
  }
}

void normalize_rows(const float* x, std::size_t rows, std::size_t columns, float* out) {
  for (std::size_t r = 0; r < rows; ++r) {
    double sum = 0.0;
    for (std::size_t i = 0; i < columns; ++i) sum += static_cast<double>(x[r * columns + i]) * x[r * columns + i];
    const double norm = std::max(std::sqrt(sum), 1e-12);
    for (std::size_t i = 0; i < columns; ++i) out[r * columns + i] = static_cast<float>(x[r * columns + i] / norm);
  }
}

}  // namespace crumb
