#include "encoder.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "team.h"

namespace crumb {

namespace {

constexpr int kGroupBlocks = 2;  // texts are encoded together up to this many blocks of rows
constexpr int kLongRows = 1024;  // from here on all threads share one text
constexpr int kLonelyRows = 6;  // below this a second thread costs more than it brings

// What runs side by side, a group a thread, and what all threads run together.
struct Plan {
  std::vector<Group> alone;
  std::vector<Group> shared;
};

Plan plan(const RaggedBatch& batch, int threads, int most_rows) {
  std::vector<Group> groups;
  for (std::size_t i = 0; i < batch.texts; ++i) {
    const int length = batch.length(i);
    if (groups.empty() || groups.back().rows + length > most_rows) groups.push_back({i, i, 0});
    groups.back().last = i + 1;
    groups.back().rows += length;
  }
  // Too few groups to keep every thread busy, or a text so long that the others would wait for it: share its rows.
  const bool few = groups.size() < 2 * static_cast<std::size_t>(threads);
  Plan result;
  for (const Group& group : groups) {
    const bool share = threads > 1 && group.rows >= kLonelyRows && (few || group.rows >= kLongRows);
    (share ? result.shared : result.alone).push_back(group);
  }
  return result;
}

}  // namespace

void Encoder::check(const RaggedBatch& batch, std::int64_t total) const {
  const Shape& shape = weights_.shape();
  if (batch.offsets[0] != 0 || batch.offsets[batch.texts] != total) {
    throw std::invalid_argument("offsets must begin with 0 and end with the number of ids, " + std::to_string(total));
  }
  for (std::size_t i = 0; i < batch.texts; ++i) {
    const std::int64_t length = batch.offsets[i + 1] - batch.offsets[i];
    if (length < 1) throw std::invalid_argument("text " + std::to_string(i) + " has no tokens");
    if (length > shape.positions) {
      throw std::invalid_argument("text " + std::to_string(i) + " has " + std::to_string(length) + " tokens, but there are " +
                                  std::to_string(shape.positions) + " position rows");
    }
    if (batch.offsets[i + 1] > total) throw std::invalid_argument("offsets point behind the ids");
  }
  for (std::int64_t i = 0; i < total; ++i) {
    if (batch.ids[i] < 0 || batch.ids[i] >= shape.vocabulary) {
      throw std::invalid_argument("token id " + std::to_string(batch.ids[i]) + " at " + std::to_string(i) +
                                  " is outside the vocabulary of " + std::to_string(shape.vocabulary));
    }
  }
}

void Encoder::encode(const RaggedBatch& batch, const std::vector<Pooling>& poolings, const std::int32_t* first_pooled,
                     const std::vector<int>& exits, int threads, float* out) const {
  const std::size_t matrix = batch.texts * poolings.size() * static_cast<std::size_t>(weights_.shape().hidden);
  const Plan work = plan(batch, threads, kGroupBlocks * kernels_.block_rows);
  Team team(work.shared.empty() ? std::min(threads, static_cast<int>(work.alone.size())) : threads);
  const auto workers = static_cast<std::size_t>(team.size());
  const auto forward = [&](const Group& group, Rows& rows, std::vector<Bench>& benches, const Parallel& parallel) {
    Forward pass(kernels_, weights_, batch, group, rows, benches, parallel);
    float* to = out;
    std::size_t next = 0;
    pass.run(exits.back(), [&](int layers) {
      if (layers != exits[next]) return;
      pass.pool_into(poolings, first_pooled, to);
      to += matrix;
      ++next;
    });
  };

  if (!work.shared.empty()) {
    Rows rows;
    std::vector<Bench> benches(workers);
    const Parallel by_team = [&](std::size_t count, const Task& task) { team.run(count, task); };
    for (const Group& group : work.shared) forward(group, rows, benches, by_team);
  }

  struct Desk {
    Rows rows;
    std::vector<Bench> bench{1};
  };
  std::vector<Desk> desks(workers);
  const Parallel serial = [](std::size_t count, const Task& task) {
    for (std::size_t i = 0; i < count; ++i) task(i, 0);
  };
  team.run(work.alone.size(), [&](std::size_t i, int worker) {
    Desk& desk = desks[static_cast<std::size_t>(worker)];
    forward(work.alone[i], desk.rows, desk.bench, serial);
  });
}

void Encoder::hidden_rows(const RaggedBatch& batch, int layers, int threads, float* out) const {
  const auto hidden = static_cast<std::size_t>(weights_.shape().hidden);
  Team team(threads);
  Rows rows;
  std::vector<Bench> benches(static_cast<std::size_t>(team.size()));
  const Parallel by_team = [&](std::size_t count, const Task& task) { team.run(count, task); };
  for (std::size_t i = 0; i < batch.texts; ++i) {
    const Group group{i, i + 1, batch.length(i)};
    Forward pass(kernels_, weights_, batch, group, rows, benches, by_team);
    pass.run(layers);
    std::copy_n(pass.hidden_rows(), static_cast<std::size_t>(group.rows) * hidden,
                out + static_cast<std::size_t>(batch.offsets[i]) * hidden);
  }
}

}  // namespace crumb
