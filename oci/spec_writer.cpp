#include "oci/spec_writer.h"

#include "oci/base/json_writer.h"
#include "oci/spec_fields.h"

namespace agentvm::oci {

std::string write_spec(const Spec& spec, int indent) {
  return write_json(spec, indent);
}

std::string write_process(const Process& process, int indent) {
  return write_json(process, indent);
}

std::string write_resources(const Resources& resources, int indent) {
  return write_json(resources, indent);
}

}  // namespace agentvm::oci
