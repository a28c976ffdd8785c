#pragma once

// The commands of a training and of its forecast.

#include "tools/studio/work/job_kinds.hpp"

namespace studio {

std::vector<Command> training_commands(const JobRequest& request, const JobContext& context);
std::vector<Command> forecast_commands(const JobRequest& request, const JobContext& context);

// Answers to learn from as laurel's JSONL in the job's folder, never those that only measure;
// person 0: all people's. -> the file. Throws BadInput when there is none.
std::filesystem::path write_answers(const JobContext& context, int64_t person);

// Adds a flag and its value, unless that is empty.
void append_if(Command& command, const char* flag, const std::string& value);

// The run of a training, by its job.
std::filesystem::path run_of(const JobContext& context, int64_t job);

}  // namespace studio
