// The APIs that agents speak to, played in the world outside of a TestNetwork: one server for all
// of them, with certificates that only those believe who have its authority
// (programs/stand-in-api).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness/command.h"
#include "tests/e2e/harness/network.h"

namespace agentvm::e2e {

// A certificate authority in files of `directory`: NAME.pem, NAME.key.
void make_authority(const std::string& directory, const std::string& name);

class StandInApi {
 public:
  // Its files go to `directory`; `names` are the hosts that it plays.
  StandInApi(std::string directory, const std::vector<std::string>& names);

  // What to lay over /etc (with_etc) for programs that shall believe its certificates.
  [[nodiscard]] std::string etc() const { return directory_ + "/etc"; }

  // Until the object goes: the server, at an address of the Internet's, and at 10.88.0.1 the name
  // server by which every name leads to it.
  void serve(const TestNetwork& network);

  struct Request {
    std::string host;
    std::string path;
    std::map<std::string, std::string> headers;  // names in lower case
  };
  [[nodiscard]] std::vector<Request> requests() const;

 private:
  std::string directory_;
  std::unique_ptr<Background> server_;
};

}  // namespace agentvm::e2e
