// Which columns of which layer stand out, so that int8 gives them three slots (kernels/table.h, Split).
//
// Enters: weights and LayerNorms as checkpoints hold them. Leaves: column numbers, fixed when the model is loaded. Needs no
// texts: what makes an activation large in every text is in the weights.
#pragma once

#include <vector>

#include "weights.h"

namespace crumb {

// Columns of the residual stream, the same for all layers.
std::vector<int> outlying_activations(const LayerNorm& embeddings, const std::vector<LayerView>& layers, int hidden);

// Input columns of a matrix [out][in] that hold weights far above the others of their row.
std::vector<int> outlying_weights(const float* weight, int out, int in);

}  // namespace crumb
