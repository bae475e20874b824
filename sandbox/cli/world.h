// What every verb works with: where things are on this host.
#pragma once

#include <string>

#include "sandbox/catalog/catalog.h"
#include "sandbox/engine/docker.h"
#include "sandbox/store/place.h"

namespace agentvm::sandbox {

struct World {
  Place place;
  Catalog catalog;
  std::string docker_host;  // as DOCKER_HOST; "": that
  std::string data;         // agents, services, presets, guest/enter.sh
  std::string libexec;      // of other programs of ours
};

[[nodiscard]] inline Result<Docker> connect_docker(const World& world) {
  return Docker::connect(world.docker_host);
}

}  // namespace agentvm::sandbox
