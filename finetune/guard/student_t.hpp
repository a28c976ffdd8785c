#pragma once

namespace guard {

// P(T <= t) for Student's t with `freedom` > 0 degrees of freedom, in [0, 1].
double student_t_probability(double t, double freedom);

// The t with P(T <= t) = probability, by bisection to 1e-10 relative. probability: in (0, 1).
double student_t_quantile(double probability, double freedom);

}  // namespace guard
