#include "rpc/payload.h"

#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <limits>

namespace agentvm::rpc {

namespace {

void silence() {
  static const auto previous = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(previous);
}

}  // namespace

std::string serialize(const google::protobuf::MessageLite& message) {
  silence();
  return message.SerializeAsString();
}

bool deserialize(std::string_view bytes, google::protobuf::MessageLite& message) {
  silence();
  if (bytes.size() > std::numeric_limits<int>::max()) return false;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace agentvm::rpc
