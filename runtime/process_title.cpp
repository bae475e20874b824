#include "runtime/process_title.h"

#include <algorithm>
#include <cstring>

namespace agentvm::runtime {

namespace {

// The arguments, one string behind the other as the kernel has laid them out.
char* command_line = nullptr;
std::size_t command_line_size = 0;

// The C library hands these to every constructor too.
__attribute__((constructor)) void remember_arguments(int argc, char** argv,
                                                     char** /*environment*/) {
  if (argc < 1 || argv == nullptr) return;
  command_line = argv[0];
  char* end = command_line;
  for (int i = 0; i < argc && argv[i] == end; ++i) end += std::strlen(argv[i]) + 1;
  command_line_size = static_cast<std::size_t>(end - command_line);
}

}  // namespace

void set_process_title(std::string_view title) {
  if (command_line_size == 0) return;
  const std::size_t size = std::min(title.size(), command_line_size - 1);
  char* end = std::copy_n(title.begin(), size, command_line);
  const auto breaks = [](char c) { return static_cast<unsigned char>(c) < ' '; };
  std::replace_if(command_line, end, breaks, ' ');
  std::fill(end, command_line + command_line_size, '\0');
}

void set_process_title(const std::vector<std::string>& arguments) {
  std::string title;
  for (const std::string& argument : arguments) {
    title.append(title.empty() ? "" : " ").append(argument);
  }
  set_process_title(std::string_view(title));
}

}  // namespace agentvm::runtime
