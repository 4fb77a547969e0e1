// A libFuzzer target for what comes from outside to the engine: offsets and ids of a ragged batch. Any of them is refused with
// std::invalid_argument or encoded, with the same bits in company as alone; sanitizers see what is read and written. Built and run
// by run.sh fuzz.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "naive_model.h"

namespace {

using namespace crumb;

constexpr int kVocabulary = 40, kPositions = 150, kHidden = 64;

const std::vector<std::unique_ptr<Encoder>>& encoders() {
  static const tests::Model model = [] {
    Shape shape;
    shape.heads = 2;
    shape.hidden = kHidden;
    shape.ffn = 96;
    shape.layers = 1;
    shape.vocabulary = kVocabulary;
    shape.positions = kPositions;
    return tests::Model(shape, 1);
  }();
  static const std::vector<std::unique_ptr<Encoder>> all = [] {
    std::vector<std::unique_ptr<Encoder>> list;
    for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
      if ((*at)->supported()) list.push_back(std::make_unique<Encoder>(model.encoder(**at)));
    }
    return list;
  }();
  return all;
}

struct Bytes {
  const std::uint8_t* at;
  std::size_t left;

  template <class T>
  T take() {
    T value{};
    const std::size_t size = std::min(left, sizeof(T));
    std::memcpy(&value, at, size);
    at += size;
    left -= size;
    return value;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes{data, size};
  const auto& list = encoders();
  const Encoder& encoder = *list[bytes.take<std::uint8_t>() % list.size()];
  const int threads = 1 + bytes.take<std::uint8_t>() % 3;
  const std::size_t texts = bytes.take<std::uint8_t>() % 8;
  std::vector<std::int64_t> offsets{0};
  for (std::size_t i = 0; i < texts; ++i) {
    // small steps most often, so that many batches are good ones; sometimes any number at all
    const auto kind = bytes.take<std::uint8_t>();
    offsets.push_back(kind < 8 ? bytes.take<std::int64_t>() : offsets.back() + kind % (kPositions + 3));
  }
  if (bytes.take<std::uint8_t>() < 8) offsets[0] = bytes.take<std::int64_t>();
  const std::int64_t last = offsets.back();
  // as many ids as the offsets want, within reason, or another number: vectors of exactly that size, for AddressSanitizer
  const bool fits = bytes.take<std::uint8_t>() >= 8 && last >= 0 && last < 4096;
  std::vector<std::int32_t> ids(fits ? static_cast<std::size_t>(last) : bytes.take<std::uint8_t>());
  for (std::int32_t& id : ids) {
    const auto byte = bytes.take<std::uint8_t>();
    id = byte == 255 ? bytes.take<std::int32_t>() : byte % kVocabulary;
  }
  const RaggedBatch batch{ids.data(), offsets.data(), texts};
  try {
    encoder.check(batch, static_cast<std::int64_t>(ids.size()));
  } catch (const std::invalid_argument&) {
    return 0;
  }
  std::vector<float> vectors(texts * kHidden);
  encoder.encode(batch, {Pooling::mean}, nullptr, {1}, threads, vectors.data());
  for (std::size_t i = 0; i < texts; ++i) {
    const std::int64_t alone[2] = {0, batch.length(i)};
    std::vector<float> vector(kHidden);
    encoder.encode({ids.data() + offsets[i], alone, 1}, {Pooling::mean}, nullptr, {1}, 1, vector.data());
    if (std::memcmp(vector.data(), vectors.data() + i * kHidden, kHidden * sizeof(float)) != 0) std::abort();
    for (const float v : vector) {
      if (!std::isfinite(v)) std::abort();
    }
  }
  return 0;
}
