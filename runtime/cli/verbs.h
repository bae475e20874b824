// One function per verb: from its options to what it prints and its exit status. Errors are printed
// once, by main.
#pragma once

#include "oci/base/error.h"
#include "runtime/cli/arguments.h"
#include "runtime/container/engine.h"

namespace agentvm::runtime::cli {

Result<int> run_create(const Engine& engine, const CreateOptions& options);
Result<int> run_run(const Engine& engine, const RunOptions& options);
Result<int> run_start(const Engine& engine, const StartOptions& options);
Result<int> run_state(const Engine& engine, const StateOptions& options);
Result<int> run_logs(const Engine& engine, const LogsOptions& options);
Result<int> run_kill(const Engine& engine, const KillOptions& options);
Result<int> run_delete(const Engine& engine, const DeleteOptions& options);
Result<int> run_pause(const Engine& engine, const PauseOptions& options);
Result<int> run_resume(const Engine& engine, const ResumeOptions& options);
Result<int> run_exec(const Engine& engine, const ExecOptions& options);
Result<int> run_ps(const Engine& engine, const PsOptions& options);
Result<int> run_list(const Engine& engine, const ListOptions& options);
Result<int> run_events(const Engine& engine, const EventsOptions& options);
Result<int> run_update(const Engine& engine, const UpdateOptions& options);
Result<int> run_spec(const Engine& engine, const SpecOptions& options);
Result<int> run_features(const Engine& engine, const FeaturesOptions& options);
Result<int> run_check(const Engine& engine, const CheckOptions& options);
Result<int> run_config(const Engine& engine, const ConfigOptions& options);
Result<int> run_template(const Engine& engine, const TemplateOptions& options);
Result<int> run_pool(const Engine& engine, const PoolOptions& options);
Result<int> run_install(const Engine& engine, const InstallOptions& options);
// Replaces this process.
Result<int> run_program(const Engine& engine, const ProgramOptions& options);
Result<int> run_refused(const Engine& engine, const RefusedOptions& options);

}  // namespace agentvm::runtime::cli
