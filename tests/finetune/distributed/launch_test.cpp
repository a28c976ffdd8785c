#include "finetune/distributed/launch.hpp"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/refusal.hpp"

namespace {

finetune::Launch launched(const std::map<std::string, std::string>& variables) {
  return finetune::read_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(Launch, WithoutALauncherThereIsOneProcess) {
  EXPECT_EQ(launched({}).count, 1);
  EXPECT_TRUE(launched({}).by.empty());
  EXPECT_EQ(launched({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).count, 1);
  // A batch script of Slurm, whose tasks srun has yet to start.
  EXPECT_EQ(launched({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}).count, 1);
}

TEST(Launch, ReadsTorchrun) {
  const auto launch = launched({{"RANK", "5"},
                                {"WORLD_SIZE", "16"},
                                {"LOCAL_RANK", "1"},
                                {"MASTER_ADDR", "node0"},
                                {"MASTER_PORT", "1234"},
                                {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                {"TORCHELASTIC_RESTART_COUNT", "2"}});
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.count, 16);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.host, "node0");
  EXPECT_EQ(launch.port, 1234);
  EXPECT_TRUE(launch.at_agent);
  EXPECT_EQ(launch.attempt, "2");
}

TEST(Launch, ReadsSlurm) {
  const auto launch = launched({{"SLURM_PROCID", "3"},
                                {"SLURM_STEP_NUM_TASKS", "4"},
                                {"SLURM_LOCALID", "1"},
                                {"SLURM_STEP_NODELIST", "gpu[07-09],login1"},
                                {"SLURM_JOB_ID", "123456"},
                                {"SLURM_STEP_ID", "2"}});
  EXPECT_EQ(launch.by, "srun");
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.host, "gpu07");
  EXPECT_EQ(launch.port, 20000 + 3458);
}

TEST(Launch, ReadsMpirun) {
  std::map<std::string, std::string> variables{{"OMPI_COMM_WORLD_RANK", "1"},
                                               {"OMPI_COMM_WORLD_SIZE", "4"},
                                               {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                               {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
  EXPECT_EQ(launched(variables).by, "mpirun");
  EXPECT_EQ(launched(variables).host, "127.0.0.1");
  EXPECT_EQ(launched(variables).port, 29500);
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";  // another machine takes part
  EXPECT_NE(refusal([&] { launched(variables); }).find("MASTER_ADDR"), std::string::npos);
  variables["MASTER_ADDR"] = "node3";
  EXPECT_EQ(launched(variables).host, "node3");
  EXPECT_EQ(launched({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}, {"MPI_LOCALNRANKS", "3"}}).rank, 2);
}

TEST(Launch, FindsTheFirstMachineOfAList) {
  EXPECT_EQ(finetune::first_host("node7"), "node7");
  EXPECT_EQ(finetune::first_host("a-b1,c2"), "a-b1");
  EXPECT_EQ(finetune::first_host("gpu[03-05,9],x1"), "gpu03");
  EXPECT_EQ(finetune::first_host("rack[2,4]-n[11-12]"), "rack2-n11");
}

TEST(Launch, RefusesHalfOfALauncher) {
  const auto says = [](const std::map<std::string, std::string>& variables) {
    return refusal([&] { launched(variables); });
  };
  EXPECT_NE(says({{"RANK", "1"}}).find("WORLD_SIZE: expected a whole number"), std::string::npos);
  EXPECT_NE(says({{"RANK", "4"}, {"WORLD_SIZE", "4"}})
                .find("RANK: expected a whole number from 0 "
                      "to 3 in the environment, found '4'"),
            std::string::npos);
  EXPECT_NE(says({{"RANK", "x"}, {"WORLD_SIZE", "4"}}).find("found 'x'"), std::string::npos);
  EXPECT_NE(says({{"RANK", "1"}, {"WORLD_SIZE", "4"}}).find("MASTER_ADDR"), std::string::npos);
  EXPECT_NE(says({{"RANK", "1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "n"}, {"MASTER_PORT", "0"}})
                .find("MASTER_PORT"),
            std::string::npos);
}

}  // namespace
