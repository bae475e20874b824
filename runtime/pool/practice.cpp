#include "runtime/pool/practice.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/default_spec.h"
#include "oci/spec_writer.h"
#include "rpc/guest_contract.h"
#include "runtime/guest_spec.h"
#include "runtime/network/redirect.h"
#include "runtime/session/guest_process.h"
#include "runtime/session/guest_share.h"
#include "runtime/session/guest_start.h"
#include "runtime/session/process_streams.h"
#include "vmm/slots.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kPractice = "practice";  // the share, and the container's id
constexpr const char* kProgram = "program";    // in its root
constexpr std::size_t kDataBytes = std::size_t{64} << 10;

// The agent of the guest, bound into the container, is the program: see rpc/guest_contract.h.
oci::Spec practice_spec() {
  oci::Spec spec = oci::default_spec();
  spec.root->path = std::string(kGuestShared) + "/rootfs";
  spec.process->terminal = false;
  spec.process->args = {std::string("/") + kProgram, rpc::kPracticeWord};
  oci::Mount program;
  program.destination = std::string("/") + kProgram;
  program.type = "bind";
  program.source = rpc::kGuestInit;
  program.options = {"bind", "ro"};
  spec.mounts.push_back(std::move(program));
  return spec;
}

Result<HostStdio> silence() {
  HostStdio stdio;
  stdio.out = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_WRONLY));
  stdio.err = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_WRONLY));
  return stdio;
}

Task<void> run_container(const GuestLink& link, rpc::AgentClient& agent) {
  auto stdio = CO_TRY(silence());
  auto opened = co_await ProcessStreams::open(link, std::move(stdio));
  const auto streams = CO_TRY(std::move(opened));
  agent::v1::CreateContainerRequest request;
  request.set_id(kPractice);
  request.set_spec_json(oci::write_spec(practice_spec()));
  *request.mutable_stdio() = streams->ids();
  add_share(request, kPractice);
  auto created = co_await agent.create_container(request, link.timeout);
  CO_TRY(std::move(created));
  streams->start();
  agent::v1::StartContainerRequest start;
  start.set_id(kPractice);
  auto started = co_await agent.start_container(start, link.timeout);
  CO_TRY(std::move(started));
  GuestProcessId process{kPractice, ""};
  auto ended = co_await wait_process(agent, process, *streams);
  const InitExit exit = CO_TRY(std::move(ended));
  if (exit != InitExit{}) {
    co_return fail(ErrorKind::internal, fmt::format("the program ended with code {}, signal {}",
                                                    exit.code, exit.signal));
  }
  agent::v1::DeleteContainerRequest remove;
  remove.set_container_id(kPractice);
  auto removed = co_await agent.delete_container(remove, link.timeout);
  CO_TRY(std::move(removed));
  co_return Result<void>{};
}

// With a cable that leads nowhere, and addresses that are nobody's (RFC 5737, 3849).
Task<void> use_network(const GuestLink& link, rpc::AgentClient& agent, vmm::LiveMachine& machine) {
  agent::v1::SetNetworkRequest request;
  auto& interface = *request.add_interfaces();
  interface.set_slot(vmm::kFirstNicSlot);
  interface.set_name("eth0");
  interface.set_mac("\x02practi", 6);
  interface.set_mtu(1500);
  interface.set_ipv6(true);
  auto& address = *interface.add_addresses();
  address.set_address("\xc0\x00\x02\x02", 4);
  address.set_prefix_length(24);
  address.set_broadcast("\xc0\x00\x02\xff", 4);
  auto& route = *request.add_routes();
  route.set_interface("eth0");
  route.set_destination(std::string(4, '\0'));
  route.set_gateway("\xc0\x00\x02\x01", 4);
  const auto netlink = CO_TRY(open_netlink());
  auto tap = CO_TRY(make_tap(netlink.get(), interface.mtu()));
  vmm::Nic nic{vmm::kFirstNicSlot, interface.mac(), interface.mtu(), std::move(tap.fd)};
  auto plugged = co_await machine.plug_nic(std::move(nic));
  CO_TRY(std::move(plugged));
  auto set = co_await agent.set_network(request, link.timeout);
  CO_TRY(std::move(set));
  auto unset = co_await agent.set_network({}, link.timeout);
  CO_TRY(std::move(unset));
  co_return co_await machine.unplug_nic(vmm::kFirstNicSlot);
}

}  // namespace

Result<void> make_practice(int shared_dir) {
  for (const char* name : {"", "/rootfs", "/rootfs/proc", "/rootfs/dev", "/rootfs/sys"}) {
    if (::mkdirat(shared_dir, (std::string(kPractice) + name).c_str(), 0755) != 0) {
      return fail_errno(errno, "make the practice's directory");
    }
  }
  const std::string root = std::string(kPractice) + "/rootfs/";
  TRY(sys::open_at(shared_dir, root + kProgram, O_WRONLY | O_CREAT | O_EXCL, 0755));
  const auto data =
      TRY(sys::open_at(shared_dir, root + rpc::kPracticeData, O_WRONLY | O_CREAT | O_EXCL, 0644));
  return sys::write_all(data.get(), std::string(kDataBytes, 'x'));
}

Task<void> practise(const GuestLink& link, const Config& config, vmm::LiveMachine& machine) {
  auto connected = co_await connect_agent(link);
  const auto agent = CO_TRY(std::move(connected));
  Timings timings;
  auto configured = co_await configure_guest(*agent, config, "", timings);
  CO_TRY(std::move(configured));
  auto ran = co_await run_container(link, *agent);
  CO_TRY(std::move(ran), "run a container");
  auto used = co_await use_network(link, *agent, machine);
  CO_TRY(std::move(used), "use a network");
  co_return Result<void>{};
}

}  // namespace agentvm::runtime
