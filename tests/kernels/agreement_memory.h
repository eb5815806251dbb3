// Cases of copies, sums, updates and random numbers; see agreement.h.
#pragma once

#include "tests/kernels/agreement.h"

namespace coxswain::testing {

inline AgreementCase copy_case(std::int64_t rows, std::int64_t columns) {
  return both_types("copy and fill " + Shape({rows, columns}).str(), [=]<class T>(Trial& t) {
    auto wide = t.input<T>({rows, columns + 5}, 1);
    Host<T> dense({rows, columns}), gaps({rows, columns + 2}), filled({rows, columns + 1});
    Host<float> converted({rows, columns});
    t.backend.copy(wide.view().slice(1, 3, columns), dense);
    t.backend.copy(wide.view().slice(1, 1, columns), gaps.view().slice(1, 1, columns));
    t.backend.copy(wide.view().slice(1, 3, columns), converted);
    t.backend.fill(filled.view().slice(1, 0, columns), 0.5);
    t.output("dense", dense);
    t.output("with gaps", gaps);
    t.output("converted", converted);
    t.output("filled", filled);
  });
}

// Dimensions that cannot be joined, in rows of `length` elements, which `gap` elements keep apart; and turned about.
inline AgreementCase strided_case(std::int64_t length, std::int64_t gap) {
  return both_types("copy and fill of strides, " + Shape({length, gap}).str(), [=]<class T>(Trial& t) {
    auto all = t.input<T>({3, 5, length + 2 * gap}, 1);
    Host<T> dense({3, 3, length}), gaps({3, 4, length + gap}), filled({3, 5, length + gap}), turned({5, 3}),
        column({22, 3});
    Host<float> converted({3, 3, length});
    const TensorView part = all.view().slice(1, 1, 3).slice(2, gap, length);
    t.backend.copy(part, dense);
    t.backend.copy(part, gaps.view().slice(1, 0, 3).slice(2, gap, length));
    t.backend.copy(part, converted);
    t.backend.fill(filled.view().slice(1, 1, 3).slice(2, gap, length), 0.5);
    TensorView across(all.view().data, all.view().dtype, {5, 3});
    across.strides[0] = all.view().strides[1], across.strides[1] = all.view().strides[0];
    t.backend.copy(across, turned);
    auto uneven = t.input<T>({3, 10}, 2);  // its first row begins where wide loads may, the second one does not
    Host<T> even({3, 8});
    t.backend.copy(uneven.view().slice(1, 0, 8), even);
    t.backend.fill(column.view().slice(1, 0, 1), 0.5);  // begins where wide stores may
    t.output("dense", dense);
    t.output("with gaps", gaps);
    t.output("converted", converted);
    t.output("filled", filled);
    t.output("turned", turned);
    t.output("column", column);
    t.output("even", even);
  });
}

inline AgreementCase add_case(std::int64_t n) {
  return both_types("add " + std::to_string(n), [n]<class T>(Trial& t) {
    auto a = t.input<T>({n}, 1), b = t.input<T>({n}, 2);
    Host<T> sum({n});
    t.backend.add(a, b, sum);
    t.backend.add(a, b, a);
    t.output("sum", sum);
    t.output("sum in place", a);
  });
}

inline AgreementCase sums_case(std::int64_t n, std::int64_t block) {
  return {"weighted_sum, sum_of_squares, ordered_sums and blend " + std::to_string(n),
          [=](Trial& t) {
            auto x = t.input<float>({n}, 1), weight = t.input<float>({n}, 2), target = t.input<float>({n}, 3);
            Host<double> sum({1}), squares({(n + block - 1) / block});
            t.backend.weighted_sum(x, weight, sum);
            t.backend.sum_of_squares(x, block, squares);
            t.backend.blend(x, 0.3, target);
            auto places = integers({4}, {0, static_cast<std::int32_t>(squares.size() - 1), 0, 0});
            auto ends = integers({2}, {3, 4});
            Host<double> sums({2});
            t.backend.ordered_sums(squares, places, ends, sums);
            t.output("ordered_sums", sums);
            t.output("weighted_sum", sum);
            t.output("sum_of_squares", squares);
            t.output("blend", target);
          },
          {}};
}

inline AgreementCase adamw_case(std::int64_t n) {
  return {"clip and adamw " + std::to_string(n),
          [n](Trial& t) {
            auto gradient = t.input<float>({n}, 1), master = t.input<float>({n}, 2),
                 first = t.input<float>({n}, 3, 0.1);
            auto second = t.input<float>({n}, 4, 0.01);
            for (float& value : second.values()) value = std::abs(value);
            Host<bf16> working({n % 8 == 4 ? 0 : n});  // where there is none, all rows may be wide and have a tail
            Host<double> squares({1}), loss({1}), norm({1}), scale({1});
            squares[0] = 2, loss[0] = 1;
            t.backend.clip({squares, loss, 1.0, norm, scale});
            AdamWStep step;
            step.learning_rate = 1e-2f, step.weight_decay = 0.1f, step.step = 3;
            const TensorView rounded = working.size() > 0 ? working.view() : TensorView();
            t.backend.adamw({gradient, scale, master, first, second, rounded, step});
            t.output("norm", norm);
            t.output("scale", scale);
            t.output("master", master);
            t.output("moment1", first);
            t.output("moment2", second);
            if (working.size() > 0) t.output("working", working);
          },
          {}};
}

// Of a global tensor of `global` columns, from column `before` on.
inline AgreementCase normal_case(std::int64_t rows, std::int64_t columns, std::int64_t before, std::int64_t global) {
  return both_types("normal " + Shape({rows, columns, before, global}).str(), [=]<class T>(Trial& t) {
    Host<T> dst({rows, columns});
    Backend::NormalFill op;
    op.key = {5, 6};
    op.deviation = 0.02;
    op.global_columns = global, op.first_row = 2, op.first_column = before;
    op.dst = dst;
    t.backend.normal(op);
    t.output("dst", dst);
  });
}

inline std::vector<AgreementCase> memory_cases() {
  std::vector<AgreementCase> cases;
  cases.push_back(copy_case(1, 1));
  cases.push_back(copy_case(5, 67));
  cases.push_back(strided_case(7, 1));
  cases.push_back(strided_case(72, 8));  // strips of 16 bytes
  cases.push_back(sums_case(33004, 16640));
  cases.push_back(sums_case(1040, 250));
  for (const std::int64_t n : {1, 7, 1027, 1036, 1040}) {  // the last two move sixteen bytes at a time
    cases.push_back(add_case(n));
    cases.push_back(sums_case(n, 256));
    cases.push_back(adamw_case(n));
  }
  cases.push_back(normal_case(1, 1, 1, 4));
  cases.push_back(normal_case(3, 129, 1, 132));
  cases.push_back(normal_case(3, 136, 4, 144));  // 16 bytes at a time: rows and box begin at blocks of four numbers
  cases.push_back(normal_case(2, 136, 0, 139));  // rows do not
  cases.push_back(normal_case(2, 136, 1, 140));  // the box does not
  return cases;
}

}  // namespace coxswain::testing
