// exp, GELU and LayerNorm over a vector vocabulary V. No std:: functions here: a shared inline compiled with AVX-512 in one
// file could be the copy that the linker keeps for all.
#pragma once

#include <cmath>

namespace crumb::generic {

// 1.5 * 2^23: added to a number below 2^22 it leaves the nearest whole one in the last bits.
constexpr float kWhole = 12582912.0F;

// e^x. Range reduction by ln 2 in two parts, then a degree-6 polynomial for e^r, |r| <= ln(2)/2, fitted by weighted least
// squares to 3.1e-9 relative. Inputs are clamped to [-87, 88]: below, the result is about 1e-38 instead of 0.
template <class V>
static inline V exp(V x) {
  x = min(max(x, V::set1(-87.0F)), V::set1(88.0F));
  const V n = round(x * V::set1(1.44269504088896341F));
  V r = fma(n, V::set1(-0.693359375F), x);
  r = fma(n, V::set1(2.12194440e-4F), r);
  V p = V::set1(1.381459878757596e-3F);
  p = fma(p, r, V::set1(8.368715643882751e-3F));
  p = fma(p, r, V::set1(4.166838899254799e-2F));
  p = fma(p, r, V::set1(1.666652113199234e-1F));
  p = fma(p, r, V::set1(4.999999403953552e-1F));
  p = fma(p * r, r, r) + V::set1(1.0F);
  return add_exponent(p, n + V::set1(kWhole));
}

// 2^r for |r| <= 1/2, fitted by iteratively reweighted least squares of the relative error to the degree that what becomes of
// the result deserves: 6 is exact to float32 (1.9e-9), 3 to bfloat16 (7.5e-5).
template <class V, int degree>
static inline V exp2_fraction(V r) {
  static_assert(degree == 3 || degree == 6);
  V p;
  if constexpr (degree == 3) {
    p = V::set1(5.517163e-2F);
    p = fma(p, r, V::set1(0.24261114F));
    p = fma(p, r, V::set1(0.693261F));
    p = fma(p, r, V::set1(0.99992807F));
  } else {
    p = V::set1(1.53458079e-4F);
    p = fma(p, r, V::set1(1.33999316e-3F));
    p = fma(p, r, V::set1(9.61848898e-3F));
    p = fma(p, r, V::set1(5.55032878e-2F));
    p = fma(p, r, V::set1(0.240226469F));
    p = fma(p, r, V::set1(0.693147206F));
    p = fma(p, r, V::set1(1.0F));
  }
  return p;
}

// erf(x) as x P(x^2) / Q(x^2), fitted on [0, 4] to 2.1e-8 by iteratively reweighted least squares; 4.8e-7 in float32.
template <class V>
static inline V erf(V x) {
  x = min(max(x, V::set1(-4.0F)), V::set1(4.0F));
  const V t = x * x;
  V p = V::set1(1.974854967556894e-6F);
  p = fma(p, t, V::set1(2.880321117118001e-4F));
  p = fma(p, t, V::set1(4.00333758443594e-3F));
  p = fma(p, t, V::set1(5.3466543555259705e-2F));
  p = fma(p, t, V::set1(1.962420791387558e-1F));
  p = fma(p, t, V::set1(1.128378987312317F));
  V q = V::set1(3.748062954400666e-5F);
  q = fma(q, t, V::set1(1.2162801576778293e-3F));
  q = fma(q, t, V::set1(1.5443814918398857e-2F));
  q = fma(q, t, V::set1(1.1647354811429977e-1F));
  q = fma(q, t, V::set1(5.07246196269989e-1F));
  q = fma(q, t, V::set1(1.0F));
  return x * p / q;
}

// x Phi(x), exact form (Hendrycks and Gimpel, arXiv 1606.08415).
template <class V>
static inline V gelu(V x) {
  const V half = V::set1(0.5F) * x;
  return fma(half, erf(x * V::set1(0.70710678118654752F)), half);
}

// The same to 3.4e-4, for results that become bfloat16 or bytes: Phi(x) - 1/2 as x P(x^2) on [-3.75, 3.75], fitted by iteratively
// reweighted least squares with P(3.75^2) 3.75 = 1/2, so that it is x to the right and 0 to the left. No division.
template <class V>
static inline V gelu_short(V x) {
  const V c = min(max(x, V::set1(-3.75F)), V::set1(3.75F));
  const V t = c * c;
  V p = V::set1(3.3495433879447024e-8F);
  p = fma(p, t, V::set1(-2.09823046906549e-6F));
  p = fma(p, t, V::set1(5.699172169460907e-5F));
  p = fma(p, t, V::set1(-8.935679945139378e-4F));
  p = fma(p, t, V::set1(9.121585331127363e-3F));
  p = fma(p, t, V::set1(-6.526447036494301e-2F));
  p = fma(p, t, V::set1(0.3983264060357089F));
  return x * fma(c, p, V::set1(0.5F));
}

// The tanh form of the same paper, through 0.5 (1 + tanh u) = 1 / (1 + e^(-2u)).
template <class V>
static inline V gelu_tanh(V x) {
  const V cube = x * x * x;
  const V u2 = fma(V::set1(0.0713548162726009F), cube, V::set1(1.5957691216057308F) * x);  // 2 sqrt(2/pi) (x + 0.044715 x^3)
  return x / (V::set1(1.0F) + exp(V::set1(0.0F) - u2));
}

// In place, two passes over one row; lanes are summed in a fixed order, so the bits depend on the row only. Four sums at a time,
// because each would wait for its last addition otherwise.
template <class V>
static inline void layer_norm_row(float* x, int n, const float* gamma, const float* beta, float epsilon) {
  constexpr int W = V::width;
  const int whole = n / W * W;
  const auto total = [&](auto add) {
    V sums[4] = {V::set1(0.0F), V::set1(0.0F), V::set1(0.0F), V::set1(0.0F)};
    int i = 0;
    for (; i + 4 * W <= whole; i += 4 * W) {
      for (int k = 0; k < 4; ++k) sums[k] = add(sums[k], V::load(x + i + k * W));
    }
    for (; i < whole; i += W) sums[0] = add(sums[0], V::load(x + i));
    return reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
  };
  float sum = total([](V s, V v) { return s + v; });
  for (int i = whole; i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);

  const V m = V::set1(mean);
  float squares = total([m](V s, V v) { return fma(v - m, v - m, s); });
  for (int i = whole; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float variance = squares / static_cast<float>(n);

  const V scale = V::set1(1.0F / __builtin_sqrtf(variance + epsilon));
  for (int i = 0; i < whole; i += W) {
    const V y = (V::load(x + i) - m) * scale;
    fma(y, V::load(gamma + i), V::load(beta + i)).store(x + i);
  }
  if (whole < n) {
    const int rest = n - whole;
    const V y = (V::load_n(x + whole, rest) - m) * scale;
    fma(y, V::load_n(gamma + whole, rest), V::load_n(beta + whole, rest)).store_n(x + whole, rest);
  }
}

}  // namespace crumb::generic
