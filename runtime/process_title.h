// What ps(1), and with it `docker top`, shows of a process that stands in for something else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentvm::runtime {

// Puts `title` where the kernel reads this process's command line (proc(5), /proc/PID/cmdline): as
// much of it as the command line that it was started with had room for. Lines become one.
void set_process_title(std::string_view title);
// The arguments of the program that it stands in for.
void set_process_title(const std::vector<std::string>& arguments);

}  // namespace agentvm::runtime
