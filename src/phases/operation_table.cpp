#include "phases/operation_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace coxswain {

double MachineRates::floor(const OperationCost& cost) const {
  return std::max(flops > 0 ? cost.flops / flops : 0, bytes > 0 ? cost.bytes / bytes : 0);
}

double product_rate(Backend& backend, DType type) {
  constexpr std::int64_t kSize = 1024;
  const double seconds = backend.library_product_seconds(LinearProduct::forward, type, kSize, kSize, kSize);
  return seconds > 0 ? 2.0 * kSize * kSize * kSize / seconds : 0;
}

std::string operation_table(std::vector<TimedOperation> operations, double steps, double step_seconds) {
  std::sort(operations.begin(), operations.end(),
            [](const TimedOperation& a, const TimedOperation& b) { return a.cost.seconds > b.cost.seconds; });
  std::string table = fmt::format("{:<26} {:>8} {:>10} {:>7} {:>9} {:>9} {:>10} {:>7}\n", "operation", "calls", "ms",
                                  "% step", "GFLOP/s", "GB/s", "floor ms", "% floor");
  double sum = 0, floors = 0;
  for (const auto& [name, cost, floor] : operations) {
    const double seconds = std::max(cost.seconds, 1e-12);
    sum += seconds / steps, floors += floor / steps;
    table += fmt::format("{:<26} {:>8.0f} {:>10.2f} {:>7.1f} {:>9.1f} {:>9.1f} {:>10.2f} {:>7.0f}\n", name,
                         static_cast<double>(cost.calls) / steps, 1e3 * seconds / steps,
                         100 * seconds / steps / step_seconds, cost.flops / seconds * 1e-9, cost.bytes / seconds * 1e-9,
                         1e3 * floor / steps, 100 * floor / seconds);
  }
  return table + fmt::format("{:<26} {:>8} {:>10.2f} {:>7.1f} {:>9} {:>9} {:>10.2f} {:>7.0f}\n", "all operations", "",
                             1e3 * sum, 100 * sum / step_seconds, "", "", 1e3 * floors,
                             100 * floors / std::max(sum, 1e-12));
}

}  // namespace coxswain
