# Compiler settings and the libraries every room may use.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(agentvm_flags INTERFACE)
target_compile_options(agentvm_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wswitch-enum -Werror
  -fno-plt -ffunction-sections -fdata-sections -fstack-protector-strong)
target_link_options(agentvm_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now)
target_include_directories(agentvm_flags INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(agentvm_flags INTERFACE _FORTIFY_SOURCE=2)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # Wrong with optimisation: about std::string (GCC bug 105651), about an optional that is tested
    # before it is read, about copies into a vector that was resized before.
    target_compile_options(agentvm_flags INTERFACE
      -Wno-restrict -Wno-mismatched-new-delete -Wno-maybe-uninitialized -Wno-array-bounds
      -Wno-stringop-overflow -Wno-stringop-overread -Wno-free-nonheap-object)
  endif()
endif()
if(AGENTVM_SANITIZE)
  target_compile_options(agentvm_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(agentvm_flags INTERFACE -fsanitize=address,undefined)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# Asio is compiled once (oci/base/asio_impl.cpp), not in every file that includes it.
add_library(agentvm_asio_flags INTERFACE)
target_compile_definitions(agentvm_asio_flags INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_THREADS)
target_link_libraries(agentvm_asio_flags INTERFACE Threads::Threads)
