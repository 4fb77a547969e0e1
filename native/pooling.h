// Hidden rows of one text in, one vector out. Knows nothing of prompts or normalisation.
#pragma once

#include <string>
#include <vector>

namespace crumb {

enum class Pooling { cls, max, mean, mean_sqrt_len, lasttoken };

// Throws std::invalid_argument for a name that is none of the five.
Pooling pooling_from_name(const std::string& name);

// Pools rows [first, length) of hidden[length][size] into out[size]; cls takes row `first`. `sums` is scratch of `size`.
void pool(Pooling pooling, const float* hidden, int first, int length, int size, double* sums, float* out);

// x / |x|_2 for every row; a row of zeros stays one, as in torch.nn.functional.normalize.
void normalize_rows(const float* x, std::size_t rows, std::size_t columns, float* out);

}  // namespace crumb
