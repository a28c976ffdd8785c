#include "data/images/contact_sheet.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace {

TEST(ContactSheet, PadsTheLastRow) {
  const at::Tensor sheet = data::contact_sheet(at::zeros({3, 3, 2, 4}), 2);
  EXPECT_EQ(sheet.sizes(), (std::vector<int64_t>{3, 4, 8}));
  EXPECT_EQ(sheet.sum().item<double>(), 3 * 2 * 4.0);
}

}  // namespace
