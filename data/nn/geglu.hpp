#pragma once

#include <ATen/core/Tensor.h>

namespace nn {

// GEGLU (Shazeer 2020, eq. 6): value * gelu(gate), with the exact GELU. both: [..., 2 F], first the
// values, then the gates -> [..., F]
at::Tensor geglu(const at::Tensor& both);

}  // namespace nn
