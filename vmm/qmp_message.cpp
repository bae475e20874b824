#include "vmm/qmp_message.h"

#include <array>
#include <utility>

#include "oci/base/json_reader.h"
#include "oci/base/try.h"

namespace agentvm::vmm {

namespace {

constexpr JsonLimits kLimits{.bytes = kQmpLineLimit, .depth = 16, .values = 8192};

constexpr std::pair<std::string_view, QmpEventKind> kEvents[] = {
    {"SHUTDOWN", QmpEventKind::shutdown},
    {"RESET", QmpEventKind::reset},
    {"STOP", QmpEventKind::stop},
    {"RESUME", QmpEventKind::resume},
    {"POWERDOWN", QmpEventKind::powerdown},
    {"GUEST_PANICKED", QmpEventKind::guest_panicked},
    {"DEVICE_DELETED", QmpEventKind::device_deleted},
    {"DEVICE_UNPLUG_GUEST_ERROR", QmpEventKind::device_unplug_guest_error},
    {"MIGRATION", QmpEventKind::migration},
    {"BLOCK_IO_ERROR", QmpEventKind::block_io_error},
};

constexpr std::pair<std::string_view, QmpRunState> kRunStates[] = {
    {"running", QmpRunState::running},
    {"paused", QmpRunState::paused},
    {"prelaunch", QmpRunState::prelaunch},
    {"inmigrate", QmpRunState::inmigrate},
    {"postmigrate", QmpRunState::postmigrate},
    {"shutdown", QmpRunState::shutdown},
    {"guest-panicked", QmpRunState::guest_panicked},
    {"internal-error", QmpRunState::internal_error},
};

template <class E, std::size_t N>
E lookup(const std::pair<std::string_view, E> (&words)[N], std::string_view word) {
  for (const auto& [name, value] : words) {
    if (name == word) return value;
  }
  return E::other;
}

Result<QmpMessage> parse_greeting(JsonValue from) {
  QmpGreeting greeting;
  if (!from.find("version")) return from.fail("expected a version");
  JsonObject object(from);
  object.object("version", true, [&](JsonObject& version) {
    version.object("qemu", true, [&](JsonObject& qemu) {
      qemu.required("major", greeting.major);
      qemu.required("minor", greeting.minor);
      qemu.required("micro", greeting.micro);
    });
  });
  TRY(object.done());
  return greeting;
}

Result<QmpMessage> parse_event(JsonValue from) {
  QmpEvent event;
  JsonObject object(from);
  object.required("event", event.name);
  object.object("data", true, [&](JsonObject& data) {
    data.optional("device", event.device);
    data.optional("reason", event.reason);
    if (event.name == "MIGRATION") data.optional("status", event.reason);
  });
  TRY(object.done());
  event.kind = lookup(kEvents, event.name);
  return event;
}

Result<QmpCpuPlace> parse_cpu_place(JsonValue from) {
  QmpCpuPlace place;
  JsonObject object(from);
  object.required("type", place.driver);
  object.required("vcpus-count", place.vcpus);
  const auto address = object.value("props");
  place.taken = object.value("qom-path").has_value();
  TRY(object.done());
  if (!address) return from.fail("expected \"props\"");
  TRY(address->expect(JsonKind::object));
  for (std::size_t i = 0; i < address->size(); ++i) {
    const JsonValue number = address->item(i);
    place.address.emplace_back(number.key(), TRY(number.as_signed()));
  }
  return place;
}

Result<std::vector<QmpCpuPlace>> parse_cpu_places(JsonValue from) {
  std::vector<QmpCpuPlace> places;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const JsonValue one = from.item(i);
    // Another command's list.
    if (one.kind() != JsonKind::object || !one.find("vcpus-count")) return places;
    auto place = TRY(parse_cpu_place(one));
    places.push_back(std::move(place));
  }
  return places;
}

Result<QmpMessage> parse_reply(JsonValue from) {
  QmpReply reply;
  JsonObject object(from);
  // Absent when QEMU could not even parse the command.
  object.optional("id", reply.id);
  object.object("error", true,
                [&](JsonObject& error) { error.required("desc", reply.error.emplace()); });
  const auto value = object.value("return");
  TRY(object.done());
  if (!reply.error && !value) return from.fail("expected \"return\" or \"error\"");
  if (value && value->kind() == JsonKind::array) {
    reply.cpu_places = TRY(parse_cpu_places(*value));
  } else if (value) {
    if (const auto status = value->find("status")) {
      const std::string_view word = TRY(status->as_string());
      reply.run_state = lookup(kRunStates, word);
    }
  }
  return reply;
}

}  // namespace

Result<QmpMessage> parse_qmp_message(std::string_view line) {
  const JsonDocument document = TRY(JsonDocument::parse(line, kLimits));
  const JsonValue root = document.root();
  TRY(root.expect(JsonKind::object));
  if (const auto greeting = root.find("QMP")) return parse_greeting(*greeting);
  if (root.find("event")) return parse_event(root);
  return parse_reply(root);
}

}  // namespace agentvm::vmm
