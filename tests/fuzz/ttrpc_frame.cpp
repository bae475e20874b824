// ttrpc's framing: the same bytes give the same frames however they are cut, and every frame that
// parses encodes to the bytes it came from.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/frame.h"

namespace {

using namespace agentvm;

struct Parsed {
  std::vector<rpc::Frame> frames;
  bool refused = false;
};

Parsed parse(std::string_view bytes, std::size_t piece) {
  Parsed parsed;
  rpc::FrameParser parser;
  for (std::size_t at = 0; at < bytes.size() && !parsed.refused; at += piece) {
    parser.feed(bytes.substr(at, piece));
    for (;;) {
      auto frame = parser.next();
      if (!frame) parsed.refused = true;
      if (!frame || !*frame) break;
      parsed.frames.push_back(std::move(**frame));
    }
  }
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Parsed whole = parse(bytes, size);
  const Parsed cut = parse(bytes, 1 + data[0] % 16);
  if (whole.frames != cut.frames || whole.refused != cut.refused) std::abort();
  std::string again;
  for (const auto& frame : whole.frames) again += *rpc::encode_frame(frame);
  if (!bytes.starts_with(again)) std::abort();
  return 0;
}
