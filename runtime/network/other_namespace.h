// Work in a network namespace that the calling process is not in.
#pragma once

#include <functional>
#include <string>

namespace agentvm::runtime {

// Does `act` in a process of its own that has joined the network namespace `path`, and waits for
// it. Nothing is done when there is no such namespace.
void in_network_namespace(const std::string& path, const std::function<void()>& act);

}  // namespace agentvm::runtime
