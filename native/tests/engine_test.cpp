// The engine without Python: every kernel table this CPU runs against a naive encoder in double precision, and the same bits
// whatever the batch and the threads. Built by run.sh with sanitizers, or for AArch64 and run under qemu.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "naive_model.h"

namespace {

using namespace crumb;
using tests::Model;

int passed = 0;
int failed = 0;

void check(bool good, const char* isa, const char* what, unsigned seed) {
  (good ? passed : failed) += 1;
  if (!good) std::printf("FAILED %s: %s (seed %u)\n", isa, what, seed);
}

void one_model(const Kernels& kernels, unsigned seed) {
  std::mt19937 random(seed);
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  Shape shape;
  shape.heads = draw(1, 4);
  shape.hidden = shape.heads * draw(1, std::max(2, 36 / kernels.size_multiple)) * kernels.size_multiple;
  shape.layers = draw(1, 2);
  shape.ffn = draw(1, std::max(9, 90 / kernels.size_multiple)) * kernels.size_multiple;
  shape.vocabulary = 40;
  shape.positions = 150;
  shape.activation = draw(0, 1) == 0 ? Activation::gelu : Activation::gelu_tanh;
  const Model model(shape, seed);
  const Encoder encoder = model.encoder(kernels);

  std::vector<std::int64_t> offsets{0};
  for (int n = draw(1, 5); n > 0; --n) offsets.push_back(offsets.back() + draw(1, 150));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(offsets.back()));
  for (std::int32_t& id : ids) id = draw(0, 39);
  const RaggedBatch batch{ids.data(), offsets.data(), offsets.size() - 1};
  encoder.check(batch, offsets.back());

  const auto h = static_cast<std::size_t>(shape.hidden);
  std::vector<float> rows(ids.size() * h);
  encoder.hidden_rows(batch, shape.layers, 2, rows.data());
  double difference = 0;
  double size = 0;
  for (std::size_t text = 0; text < batch.texts; ++text) {
    const auto begin = static_cast<std::size_t>(offsets[text]);
    const Model::Rows slow = model.slow(ids.data() + begin, batch.length(text));
    for (std::size_t t = 0; t < slow.size(); ++t) {
      for (std::size_t i = 0; i < h; ++i) {
        const double d = slow[t][i] - static_cast<double>(rows[(begin + t) * h + i]);
        difference += d * d;
        size += slow[t][i] * slow[t][i];
      }
    }
  }
  // Sharp attention is far harder than a trained model's
  const double share = std::sqrt(difference / size);
  const double sharp[] = {1e-5, 0.1, 0.25};
  const double smooth[] = {1e-6, 0.01, 0.03};
  const double* tolerances = seed % 2 == 0 ? sharp : smooth;
  if (share >= tolerances[static_cast<int>(kernels.precision)]) std::printf("relative difference %g\n", share);
  check(share < tolerances[static_cast<int>(kernels.precision)], kernels.name, "hidden rows differ from the naive encoder",
        seed);

  const std::vector<Pooling> poolings{Pooling::cls, Pooling::max, Pooling::mean, Pooling::mean_sqrt_len,
                                      Pooling::lasttoken};
  const std::size_t width = poolings.size() * h;
  std::vector<float> together(batch.texts * width);
  encoder.encode(batch, poolings, nullptr, {shape.layers}, 3, together.data());
  for (std::size_t text = 0; text < batch.texts; ++text) {
    const std::int64_t alone_offsets[2] = {0, batch.length(text)};
    const RaggedBatch alone{ids.data() + offsets[text], alone_offsets, 1};
    std::vector<float> vector(width);
    encoder.encode(alone, poolings, nullptr, {shape.layers}, 1, vector.data());
    check(std::memcmp(vector.data(), together.data() + text * width, width * sizeof(float)) == 0, kernels.name,
          "bits depend on the batch", seed);
  }

  std::vector<int> exits(static_cast<std::size_t>(shape.layers));
  std::iota(exits.begin(), exits.end(), 1);
  std::vector<float> all(exits.size() * together.size());
  encoder.encode(batch, poolings, nullptr, exits, 2, all.data());
  for (std::size_t i = 0; i < exits.size(); ++i) {
    encoder.encode(batch, poolings, nullptr, {exits[i]}, 3, together.data());
    check(std::memcmp(together.data(), all.data() + i * together.size(), together.size() * sizeof(float)) == 0, kernels.name,
          "bits depend on the other layers that are asked for", seed);
  }
}

template <class Call>
void throws(Call call, const char* isa, const char* what) {
  bool thrown = false;
  try {
    call();
  } catch (const std::invalid_argument&) {
    thrown = true;
  }
  check(thrown, isa, what, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const int models = argc > 1 ? std::atoi(argv[1]) : 40;
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    if (!(*at)->supported()) {
      std::printf("%s: not run by this CPU\n", (*at)->name);
      continue;
    }
    std::printf("%s\n", (*at)->name);
    for (unsigned seed = 0; seed < static_cast<unsigned>(models); ++seed) one_model(**at, seed);
  }

  Shape shape;
  shape.heads = shape.hidden = shape.ffn = shape.layers = 1;
  shape.vocabulary = shape.positions = 4;
  Model model(shape, 1);
  const Encoder encoder = model.encoder(select_kernels("portable", Precision::float32, 1));
  const std::int32_t ids[2] = {1, 4};
  const std::int64_t two[2] = {0, 2};
  const std::int64_t none[3] = {0, 0, 2};
  throws([&] { encoder.check({ids, two, 1}, 2); }, "portable", "an id outside the vocabulary");
  throws([&] { encoder.check({ids, none, 2}, 2); }, "portable", "a text without tokens");
  throws([&] { encoder.check({ids, two, 1}, 1); }, "portable", "offsets that do not end with the ids");
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    if (!(*at)->supported() || (*at)->size_multiple == 1) continue;
    Shape odd = shape;
    throws([&] { Model(odd, 1).encoder(**at); }, (*at)->name, "sizes that are no multiples of the size");
  }
  throws([] { select_kernels("none such", Precision::float32, 1); }, "none", "unknown kernels");
  model.layers[0].up.weight[0] = NAN;
  throws([&] { model.encoder(select_kernels("portable", Precision::float32, 1)); }, "portable", "a weight that is not finite");

  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
