#include "finetune/guard/student_t.hpp"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

// Tables of Student's t.
TEST(StudentT, HasTheQuantilesOfTheTables) {
  EXPECT_NEAR(guard::student_t_quantile(0.95, 1), 6.3137515147, 1e-8);
  EXPECT_NEAR(guard::student_t_quantile(0.975, 10), 2.2281388520, 1e-9);
  EXPECT_NEAR(guard::student_t_quantile(0.995, 15), 2.9467128835, 1e-9);
  EXPECT_NEAR(guard::student_t_quantile(0.975, 1e7), 1.9599643, 1e-5);  // the normal's
}

TEST(StudentT, IsCauchyWithOneDegreeOfFreedomAndInvertsItself) {
  for (const double t : {-30.0, -1.0, 0.0, 0.5, 4.0})
    EXPECT_NEAR(guard::student_t_probability(t, 1), 0.5 + std::atan(t) / M_PI, 1e-13) << t;
  for (const double p : {0.001, 0.3, 0.5, 0.9, 0.99999})
    EXPECT_NEAR(guard::student_t_probability(guard::student_t_quantile(p, 7), 7), p, 1e-9) << p;
  EXPECT_DOUBLE_EQ(guard::student_t_quantile(0.02, 5), -guard::student_t_quantile(0.98, 5));
}

TEST(StudentT, RefusesWhatIsNoProbability) {
  EXPECT_THROW(guard::student_t_quantile(1, 5), c10::Error);
  EXPECT_THROW(guard::student_t_quantile(0, 5), c10::Error);
  EXPECT_THROW(guard::student_t_probability(1, 0), c10::Error);
}

}  // namespace
