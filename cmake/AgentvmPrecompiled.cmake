# The foreign headers that almost every file reads, read once per build tree: a third of a compile.
# Files still include what they use; the preset `tidy` builds without this and shows who does not.
find_package(fmt REQUIRED)

set(agentvm_foreign_headers
  <algorithm> <array> <cerrno> <charconv> <chrono> <cstdint> <cstring> <expected> <functional>
  <map> <memory> <optional> <set> <span> <string> <string_view> <utility> <variant> <vector>
  <boost/asio/as_tuple.hpp> <boost/asio/awaitable.hpp> <boost/asio/bind_cancellation_slot.hpp>
  <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/io_context.hpp>
  <boost/asio/posix/stream_descriptor.hpp> <boost/asio/post.hpp> <boost/asio/steady_timer.hpp>
  <boost/asio/this_coro.hpp> <boost/asio/use_awaitable.hpp>
  <fmt/format.h>)

function(agentvm_precompiled name)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT "// Compiles the precompiled headers, nothing else.\n")
  add_library(${name} OBJECT "${source}")
  target_link_libraries(${name} PRIVATE agentvm_flags agentvm_asio_flags fmt::fmt-header-only)
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

agentvm_precompiled(agentvm_precompiled ${agentvm_foreign_headers})
if(AGENTVM_TESTS)
  find_package(GTest REQUIRED)
  agentvm_precompiled(agentvm_precompiled_tests
    ${agentvm_foreign_headers} <gmock/gmock.h> <gtest/gtest.h>)
  target_link_libraries(agentvm_precompiled_tests PRIVATE GTest::gmock GTest::gtest)
endif()
