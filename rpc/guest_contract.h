// What host and guest agree on before they can talk: words on the kernel's command line and on the
// console, and where devices are plugged. Ports are in rpc/ports.h.
#pragma once

namespace agentvm::rpc {

// On the kernel's command line of a guest that becomes a template: it boots, makes itself small,
// says kTemplateReady on its console and looks for the devices that only a restored copy gets.
inline constexpr const char* kTemplateWord = "agentvm.template";
inline constexpr const char* kTemplateReady = "agentvm: ready to be saved";

// A VM of the pool practises with the agent itself as a container's program: kGuestInit, with
// kPracticeWord as its argument, reads the file kPracticeData in the container's root.
inline constexpr const char* kGuestInit = "/init";
inline constexpr const char* kPracticeWord = "--practise";
inline constexpr const char* kPracticeData = "data";

// Devices are plugged into slots: PCIe root ports, slot n at PCI address 0000:00:(16 + n).0.
inline constexpr unsigned kFirstSlotDevice = 16;
inline constexpr unsigned kVsockSlot = 0;
inline constexpr unsigned kSharedSlot = 1;  // the virtiofs share
inline constexpr unsigned kDiskSlot = 6;    // a container's disk
inline constexpr unsigned kMemorySlot = 7;  // memory given to a running guest
// The device of a slot as the source of a storage with driver "block".
inline constexpr const char* kSlotDevices = "/dev/disk/by-slot/";

// Kernel modules that the initramfs does not hold, where the host shares them with a container.
inline constexpr const char* kSharedModules = "/run/agentvm/shared/modules";

// An annotation that the host leaves in a container's specification: the path in the container of
// its dockerd, which the agent starts with the first connection to the socket; "": the
// container starts its own.
inline constexpr const char* kDockerAnnotation = "io.agentvm.docker";
inline constexpr const char* kDockerSocketDirectory = "/var/run";
inline constexpr const char* kDockerSocketName = "docker.sock";
inline constexpr const char* kDockerLog = "/var/log/docker.log";

}  // namespace agentvm::rpc
