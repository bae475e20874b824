// TRY(expr, "doing {}", what): the value of a Result, or return its error with that context.
// CO_TRY is the same inside a coroutine; its expr must not itself contain co_await (g++ 12 cannot
// await inside a statement expression): await into a variable first.
// Use one TRY per statement, never inside a braced initialiser: g++ 12 skips the destructors of
// the parts already built when a statement expression returns from there.
#pragma once

#include <fmt/format.h>

#include <string>
#include <type_traits>
#include <utility>

#include "oci/base/error.h"

namespace agentvm::detail {

inline Error with_context(Error&& error) {
  return std::move(error);
}

template <class... Args>
Error with_context(Error&& error, fmt::format_string<Args...> format, Args&&... args) {
  return std::move(error).wrap(fmt::format(format, std::forward<Args>(args)...));
}

template <class T>
decltype(auto) take(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace agentvm::detail

#define AGENTVM_TRY_IMPL(returning, expr, ...)                         \
  ({                                                                   \
    auto try_result_ = (expr);                                         \
    if (!try_result_) {                                                \
      returning std::unexpected(::agentvm::detail::with_context(       \
          std::move(try_result_).error() __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                                  \
    ::agentvm::detail::take(std::move(try_result_));                   \
  })

#define TRY(expr, ...) AGENTVM_TRY_IMPL(return, expr, __VA_ARGS__)
#define CO_TRY(expr, ...) AGENTVM_TRY_IMPL(co_return, expr, __VA_ARGS__)
