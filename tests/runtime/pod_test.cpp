#include "runtime/pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/monitor/pod_members.h"
#include "runtime/vm_size.h"
#include "tests/runtime/sample_spec.h"

namespace agentvm::runtime {
namespace {

using oci::NamespaceType;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kMib = 1024 * 1024;
constexpr const char* kShare = "0123456789abcdef0123456789abcdef";

PodPlace place_of(const std::map<std::string, std::string>& annotations) {
  const auto place = pod_place(annotations);
  EXPECT_TRUE(place.has_value()) << place.error().text();
  return place.value_or(PodPlace{});
}

std::string refusal_of(const std::map<std::string, std::string>& annotations) {
  const auto place = pod_place(annotations);
  return place ? "" : place.error().text();
}

TEST(PodPlace, UnderstandsContainerdCrioAndPodman) {
  EXPECT_EQ(place_of({}), PodPlace{});
  EXPECT_EQ(place_of({{"io.kubernetes.cri.container-type", "sandbox"},
                      {"io.kubernetes.cri.sandbox-id", "abc"}}),
            (PodPlace{PodRole::sandbox, ""}));
  EXPECT_EQ(place_of({{"io.kubernetes.cri.container-type", "container"},
                      {"io.kubernetes.cri.sandbox-id", "abc"}}),
            (PodPlace{PodRole::member, "abc"}));
  EXPECT_EQ(place_of({{"io.kubernetes.cri-o.ContainerType", "container"},
                      {"io.kubernetes.cri-o.SandboxID", "abc"}}),
            (PodPlace{PodRole::member, "abc"}));
  EXPECT_EQ(place_of({{"io.container.manager", "libpod"},
                      {"io.kubernetes.cri-o.ContainerType", "container"},
                      {"io.kubernetes.cri-o.SandboxID", "abc"}}),
            (PodPlace{PodRole::member, "abc"}));
}

TEST(PodPlace, APodsFirstContainerMayBeAnyOfPodmans) {
  EXPECT_EQ(place_of({{"io.container.manager", "libpod"}}), (PodPlace{PodRole::open, ""}));
  EXPECT_EQ(place_of({{"io.container.manager", "another"}}), PodPlace{});
}

TEST(PodPlace, RefusesWhatItCannotBeSureOf) {
  EXPECT_THAT(refusal_of({{"io.kubernetes.cri.container-type", "pause"}}),
              HasSubstr("expected 'sandbox' or 'container', found 'pause'"));
  EXPECT_THAT(refusal_of({{"io.kubernetes.cri.container-type", "container"}}),
              HasSubstr("'io.kubernetes.cri.sandbox-id' is missing"));
  EXPECT_THAT(refusal_of({{"io.kubernetes.cri.container-type", "sandbox"},
                          {"io.kubernetes.cri-o.ContainerType", "container"},
                          {"io.kubernetes.cri-o.SandboxID", "abc"}}),
              HasSubstr("contradict each other"));
}

TEST(SandboxResources, AreThePodsWhereTheEngineSaysThem) {
  oci::Spec spec = make_sample_spec();
  spec.linux_->resources.emplace();
  spec.linux_->resources->cpu.emplace();
  spec.linux_->resources->cpu->shares = 2;
  EXPECT_EQ(sandbox_resources(spec)->cpu->shares, std::nullopt);
  spec.annotations = {{"io.kubernetes.cri.sandbox-cpu-quota", "150000"},
                      {"io.kubernetes.cri.sandbox-cpu-period", "100000"},
                      {"io.kubernetes.cri.sandbox-cpu-shares", "512"},
                      {"io.kubernetes.cri.sandbox-memory", std::to_string(300 * kMib)}};
  const auto resources = sandbox_resources(spec);
  ASSERT_TRUE(resources.has_value());
  EXPECT_EQ(resources->cpu->quota_us, 150000);
  EXPECT_EQ(resources->cpu->period_us, 100000U);
  EXPECT_EQ(resources->cpu->shares, 512U);
  EXPECT_EQ(resources->memory->limit, 300 * kMib);
  // 0 is no limit; a pod that is smaller than a guest gets what a guest needs.
  spec.annotations["io.kubernetes.cri.sandbox-cpu-quota"] = "0";
  spec.annotations["io.kubernetes.cri.sandbox-memory"] = "1048576";
  EXPECT_EQ(sandbox_resources(spec)->cpu->quota_us, std::nullopt);
  EXPECT_EQ(sandbox_resources(spec)->memory->limit,
            static_cast<std::int64_t>(kMinMemoryMib) * kMib);
  spec.annotations["io.kubernetes.cri.sandbox-memory"] = "much";
  EXPECT_THAT(sandbox_resources(spec).error().text(),
              HasSubstr("'io.kubernetes.cri.sandbox-memory': expected a number, found 'much'"));
}

TEST(PodNamespaces, AreThoseOfFellowsAndNobodyElses) {
  oci::Spec spec = make_sample_spec();
  spec.linux_->namespaces = {{NamespaceType::network, "/proc/41/ns/net"},
                             {NamespaceType::ipc, "/proc/41/ns/ipc"},
                             {NamespaceType::uts, "/proc/43/ns/uts"},
                             {NamespaceType::pid, "/proc/42/ns/pid"},
                             {NamespaceType::mount, "/proc/41/ns/mnt"}};
  const std::vector<Fellow> fellows{{41, "pod"}, {42, "web"}};
  EXPECT_THAT(take_pod_namespaces(spec, fellows),
              ElementsAre(PodNamespace{NamespaceType::ipc, "pod"},
                          PodNamespace{NamespaceType::pid, "web"}));
  // What was not taken stays to be refused; the network is the sandbox's by another look.
  EXPECT_EQ(spec.linux_->namespaces[0].path, "/proc/41/ns/net");
  EXPECT_EQ(spec.linux_->namespaces[1].path, "");
  EXPECT_EQ(spec.linux_->namespaces[2].path, "/proc/43/ns/uts");
  EXPECT_EQ(spec.linux_->namespaces[4].path, "/proc/41/ns/mnt");
  for (const char* path : {"/proc/41/ns/uts", "/proc/041x/ns/ipc", "/proc//ns/ipc", "/proc/ns/ipc",
                           "/proc/-41/ns/ipc", "/proc/41/task/41/ns/ipc", "/var/run/ipcns/41"}) {
    spec.linux_->namespaces = {{NamespaceType::ipc, path}};
    EXPECT_THAT(take_pod_namespaces(spec, fellows), IsEmpty()) << path;
  }
}

PodDemand demand_of(std::optional<std::int64_t> memory, std::optional<std::int64_t> quota) {
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = memory;
  resources.cpu.emplace();
  resources.cpu->quota_us = quota;
  resources.cpu->period_us = 100000;
  const auto demand = pod_demand(resources);
  EXPECT_TRUE(demand.has_value());
  return demand.value_or(PodDemand{});
}

TEST(PodSize, IsTheSumOfTheLimits) {
  VmConfig config;
  config.default_memory_mib = 512;
  config.memory_overhead_mib = 64;
  const VmRecord vm{1, 512, "tcg", "k", 4, 4096};
  const auto size = [&](const std::vector<PodDemand>& members) {
    return pod_size(members, vm, config);
  };
  EXPECT_EQ(size({}), (vmm::MachineSize{1, 512}));
  EXPECT_EQ(demand_of(300 * kMib, 50000), (PodDemand{500, 300}));
  EXPECT_EQ(demand_of(-1, -1), PodDemand{});
  // Halves of a CPU make one; three halves two.
  EXPECT_EQ(size({{500, 300}, {500, 300}}), (vmm::MachineSize{1, 664}));
  EXPECT_EQ(size({{500, 300}, {1000, 300}}), (vmm::MachineSize{2, 664}));
  // All those without a limit together.
  EXPECT_EQ(size({{0, 0}, {0, 0}, {0, 300}}), (vmm::MachineSize{1, 812}));
  // Limits may be more than there is; that is no error.
  EXPECT_EQ(size({{9000, 100000}, {0, UINT64_MAX}}), (vmm::MachineSize{4, 4096}));
}

TEST(AttachRequest, TakesAnIdAndAShareAndNothingElse) {
  const AttachRequest request{"web", kShare};
  EXPECT_EQ(*parse_attach(write_attach(request)), request);
  for (const std::string& text :
       {std::string("web"), std::string("web ../../etc"), fmt::format("../web {}", kShare),
        fmt::format("web {} more", kShare), fmt::format(" {}", kShare), std::string()}) {
    EXPECT_FALSE(parse_attach(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace agentvm::runtime
