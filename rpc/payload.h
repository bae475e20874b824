// Protobuf messages as bytes, without the template weight: every message is a MessageLite.
#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class MessageLite;
}

namespace agentvm::rpc {

[[nodiscard]] std::string serialize(const google::protobuf::MessageLite& message);
// False when `bytes` are no such message. Protobuf's own complaints, which would let a peer write
// to our standard error, are silenced.
[[nodiscard]] bool deserialize(std::string_view bytes, google::protobuf::MessageLite& message);

}  // namespace agentvm::rpc
