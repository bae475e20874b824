// containerd's Task service, versions 2 and 3 (api/runtime/task): requests in, answers out.
#pragma once

#include "rpc/server.h"
#include "shim/lifecycle.h"

namespace agentvm::shim {

class TaskService {
 public:
  // `stop` is called once, when containerd has asked for it and no container is left. Both
  // arguments outlive the server.
  TaskService(Surroundings& in, std::function<void()> stop) : in_(in), stop_(std::move(stop)) {}

  // Checkpoint is none of the methods: the server answers UNIMPLEMENTED.
  void add_to(rpc::Server& server);

 private:
  Task<task::StateResponse> state(task::StateRequest request);
  Task<task::CreateTaskResponse> create(task::CreateTaskRequest request);
  Task<task::StartResponse> start(task::StartRequest request);
  Task<task::DeleteResponse> remove(task::DeleteRequest request);
  Task<task::PidsResponse> pids(task::PidsRequest request);
  Task<containerd::types::Empty> pause(task::PauseRequest request);
  Task<containerd::types::Empty> resume(task::ResumeRequest request);
  Task<containerd::types::Empty> kill(task::KillRequest request);
  Task<containerd::types::Empty> exec(task::ExecProcessRequest request);
  Task<containerd::types::Empty> resize(task::ResizePtyRequest request);
  Task<containerd::types::Empty> close_io(task::CloseIORequest request);
  Task<containerd::types::Empty> update(task::UpdateTaskRequest request);
  Task<task::WaitResponse> wait(task::WaitRequest request);
  Task<task::StatsResponse> stats(task::StatsRequest request);
  Task<task::ConnectResponse> connect(task::ConnectRequest request);
  Task<containerd::types::Empty> shutdown(task::ShutdownRequest request);

  template <class Request, class Response>
  void add(rpc::Server& server, const char* name, Task<Response> (TaskService::*method)(Request));
  Task<void> freeze(std::string id, Verb verb, ProcessStatus then);

  Surroundings& in_;
  std::function<void()> stop_;
};

}  // namespace agentvm::shim
