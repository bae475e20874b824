// A set-up as a flat table of named steps, run in order up to the first failure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "oci/base/error.h"

namespace agentvm::guest {

// How a step's name goes into its errors.
enum class StepError {
  named,     // "<name>: <error>"
  verbatim,  // the error as it is: texts that Docker matches on
};

template <class Context>
struct Step {
  std::string_view name;  // what it does, as a phrase: "mount the file systems"
  Result<void> (*run)(Context&);
  StepError error = StepError::named;
};

template <class Context>
[[nodiscard]] Result<void> run_steps(std::span<const Step<Context>> steps, Context& context) {
  for (const Step<Context>& step : steps) {
    Result<void> outcome = step.run(context);
    if (outcome) continue;
    if (step.error == StepError::verbatim) return outcome;
    return std::unexpected(std::move(outcome).error().wrap(step.name));
  }
  return {};
}

}  // namespace agentvm::guest
