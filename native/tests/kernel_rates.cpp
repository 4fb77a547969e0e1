// How near every step comes to what its instruction can do: rates of one thread, printed as a Markdown table.
// Shapes are those of MiniLM-L6 (hidden 384, FFN 1536, 12 heads). Built by run.sh rates.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "../buffer.h"
#include "../weights.h"

namespace {

using namespace crumb;

constexpr int kHidden = 384;
constexpr int kFfn = 1536;
constexpr int kHeads = 12;

// Multiply-adds a second: the best of several runs of about 20 ms, so that a neighbour on the machine does not count.
double rate(double work, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int repeat = 0; repeat < 15; ++repeat) {
    int calls = 0;
    const auto begin = Clock::now();
    double seconds = 0;
    do {
      run();
      ++calls;
      seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    } while (seconds < 0.02);
    best = std::max(best, work * calls / seconds);
  }
  return best;
}

void measure(const Kernels& kernels) {
  const int block = kernels.block_rows;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto floats = [&](std::size_t n, float scale) {
    std::vector<float> values(n);
    for (float& v : values) v = scale * normal(random);
    return values;
  };
  const auto matrix = [&](int out, int in) { return floats(static_cast<std::size_t>(out) * static_cast<std::size_t>(in), 0.05F); };
  const auto square = matrix(kHidden, kHidden);
  const auto up = matrix(kFfn, kHidden);
  const auto down = matrix(kHidden, kFfn);
  const auto bias = floats(kFfn, 0.1F);
  const std::vector<float> ones(kHidden, 1.0F);
  const std::vector<float> zeros(kHidden, 0.0F);
  Shape shape;
  shape.vocabulary = shape.positions = 1;
  shape.hidden = kHidden;
  shape.heads = kHeads;
  shape.ffn = kFfn;
  shape.layers = 1;
  const LayerNorm norm{ones.data(), zeros.data(), 1e-12F};
  const LayerView view{{square.data(), bias.data()}, {square.data(), bias.data()}, {square.data(), bias.data()},
                       {square.data(), bias.data()}, {up.data(), bias.data()}, {down.data(), bias.data()},
                       ones.data(), zeros.data(), ones.data(), zeros.data()};
  const Weights weights(shape, {zeros.data(), zeros.data(), zeros.data(), norm, kHidden}, {view}, kernels);
  const PackedLayer& layer = weights.layer(0);

  auto x = floats(static_cast<std::size_t>(block) * kHidden, 1.0F);
  const auto element = static_cast<std::size_t>(kernels.element);
  const auto zeroed = [](std::size_t bytes) {
    auto buffer = make_buffer<std::byte>(bytes);
    std::fill_n(buffer.get(), bytes, std::byte{0});
    return buffer;
  };
  const auto wide = zeroed(static_cast<std::size_t>(block) * kFfn * element);
  const auto stage = zeroed(static_cast<std::size_t>(block) * static_cast<std::size_t>(std::max(kernels.operand_stride(layer.down), kernels.operand_stride(layer.qkv))));
  const auto from_x = [&](const PackedLinear& w) -> Operand {
    if (kernels.operand_of_x == nullptr) return {x.data(), kHidden * 4};
    kernels.operand_of_x(w, x.data(), block, stage.get());
    return {stage.get(), kernels.operand_stride(w)};
  };
  const auto from_elements = [&](const PackedLinear& w) -> Operand {
    if (kernels.operand_of_elements == nullptr) return {wide.get(), w.in * static_cast<std::ptrdiff_t>(element)};
    kernels.operand_of_elements(w, wide.get(), block, stage.get());
    return {stage.get(), kernels.operand_stride(w)};
  };

  const double peak = rate(1, [&] { kernels.peak(20000); }) * static_cast<double>(kernels.peak(20000));
  std::printf("| %s | %.0f |", kernels.name, peak / 1e9);
  const auto show = [&](double work, const std::function<void()>& run) {
    std::printf(" %.0f %% |", 100 * rate(work, run) / peak);
    std::fflush(stdout);
  };
  const auto work = [block](int in, int out) { return static_cast<double>(block) * in * out; };
  const Operand input = from_x(layer.qkv);
  const auto out = zeroed(static_cast<std::size_t>(block) * 3 * kHidden * element);
  show(work(kHidden, 3 * kHidden), [&] { kernels.linear(layer.qkv, input, block, out.get(), 3 * kHidden); });
  show(work(kHidden, 3 * kHidden), [&] { kernels.linear(layer.qkv, from_x(layer.qkv), block, out.get(), 3 * kHidden); });
  show(work(kHidden, kHidden), [&] {
    kernels.linear_add(layer.output, from_elements(layer.output), block, x.data(), kHidden);
    kernels.layer_norm(layer.attention_norm, x.data(), block, kHidden);
  });
  show(work(kHidden, kFfn), [&] {
    kernels.linear_activation(layer.up, from_x(layer.up), block, wide.get(), kFfn, Activation::gelu);
  });
  show(work(kFfn, kHidden), [&] {
    kernels.linear_add(layer.down, from_elements(layer.down), block, x.data(), kHidden);
    kernels.layer_norm(layer.ffn_norm, x.data(), block, kHidden);
  });
  for (const int length : {128, 4096}) {
    const auto rows = static_cast<std::size_t>(length);
    const auto qkv = zeroed(rows * 3 * kHidden * element);
    const auto context = zeroed(rows * kHidden * element);
    for (int r = 0; r < length; r += block) {
      kernels.linear(layer.qkv, from_x(layer.qkv), std::min(block, length - r),
                     qkv.get() + static_cast<std::size_t>(r) * 3 * kHidden * element, 3 * kHidden);
    }
    const auto scratch = make_buffer<float>(kernels.attention_scratch(length, kHidden / kHeads));
    AttentionJob job;
    job.query = qkv.get();
    job.key = qkv.get() + kHidden * element;
    job.value = qkv.get() + 2 * kHidden * element;
    job.stride = 3 * kHidden;
    job.out = context.get();
    job.out_stride = kHidden;
    job.length = length;
    job.query_end = length;
    job.head_size = kHidden / kHeads;
    job.scale = 1.0F / std::sqrt(static_cast<float>(job.head_size));
    job.scratch = scratch.get();
    show(2.0 * length * length * job.head_size, [&] { kernels.attention(job); });
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("| kernels | peak, G multiply-adds/s | QKV | with operand | output + LayerNorm | up + GELU | down + LayerNorm |"
              " attention 128 | attention 4096 |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || std::string(argv[i]) == (*at)->name;
    if (wanted && (*at)->supported()) measure(**at);
  }
  return 0;
}
