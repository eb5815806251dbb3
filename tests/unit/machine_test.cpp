// Descriptions of nodes: those in inputs/machines can be read, a bad one is refused by file, key and value, and a plan
// is held against them.
#include "phases/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "program/check.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kMachines = std::string(COXSWAIN_SOURCE_DIR) + "/inputs/machines/";

TEST(Machine, EveryFileCanBeRead) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kMachines)) {
    if (entry.path().extension() != ".json") continue;
    ++files;
    const Machine machine = read_machine(entry.path().string());
    EXPECT_GE(machine.memory_bytes, 80e9) << entry.path();
    EXPECT_GT(machine.bf16_flops, machine.fp32_flops) << entry.path();
    EXPECT_EQ(machine.gpus, 8) << entry.path();
  }
  EXPECT_GE(files, 4);
}

class BadMachine : public testing::Test {
 protected:
  // The message about H100's description with one text in another's place.
  std::string message(const std::string& was, const std::string& becomes) {
    std::ifstream source(kMachines + "h100.json");
    std::string text((std::istreambuf_iterator<char>(source)), std::istreambuf_iterator<char>());
    const std::size_t place = text.find(was);
    EXPECT_NE(place, std::string::npos) << was;
    text.replace(place, was.size(), becomes);
    std::ofstream(file_) << text;
    return message_about(file_);
  }
  static std::string message_about(const std::string& file) {
    try {
      read_machine(file);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder folder_;
  const std::string file_ = folder_.file("node.json");
};

TEST_F(BadMachine, NamesFileKeyAndValue) {
  EXPECT_THAT(message("\"memory_bytes\"", "\"memory\""), HasSubstr("node.json: gpu.memory_bytes is missing"));
  EXPECT_THAT(message("989.4e12", "\"fast\""), HasSubstr("gpu.bf16_flops = \"fast\": must be a number above 0"));
  EXPECT_THAT(message("989.4e12", "-1"), HasSubstr("gpu.bf16_flops = -1: must be a number above 0"));
  EXPECT_THAT(message("\"gpus\": 8", "\"gpus\": 7.5"), HasSubstr("node.gpus = 7.5: must be a whole number"));
  EXPECT_THAT(message("\"ranks\": 8", "\"ranks\": 16"), HasSubstr("node.ranks = 16 is more than node.gpus = 8"));
  EXPECT_THAT(message("\"node\"", "\"nodes\""), HasSubstr("node.network_bytes_per_second is missing"));
  EXPECT_THAT(message("\"name\"", "\"title\""), HasSubstr("name is missing"));
  EXPECT_THAT(message("{", "["), HasSubstr("node.json: is no JSON object"));
  EXPECT_THAT(message_about(folder_.file("nowhere.json")), HasSubstr("nowhere.json"));
}

Machine h100() { return read_machine(kMachines + "h100.json"); }

MachineNeed small_need() {
  MachineNeed need;
  need.bytes = std::size_t{39} << 30;
  need.ranks = 16;
  need.tensor = 8;
  need.narrow = true;
  need.flops = 989.4e12;
  need.tokens = 1000;
  return need;
}

// --check of a small deck on the machine.
void check_on(const std::string& machine) {
  const std::string deck =
      "[model]\nlayers = 2\nhidden = 64\nheads = 4\nvocabulary = 61\ncontext = 32\n[batch]\nglobal = 2\nlength = 32\n"
      "[data]\nsource = synthetic\n[run]\nsteps = 1\n";
  const Settings settings = read_settings(deck, "a.ini", {{"device.machine", machine}}, 0);
  testing::internal::CaptureStdout();
  EXPECT_EQ(check_deck(settings), 0);
}

TEST_F(BadMachine, CheckHoldsADeckAgainstIt) {
  check_on(kMachines + "h100.json");
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_THAT(said, HasSubstr("Machine    8 x H100 SXM 80 GB; ranks 1, up to 8 a node: nodes 1"));
  EXPECT_THAT(said, HasSubstr("Floor"));

  message("85899345920", "2147483649");  // a byte more than the driver has
  try {
    check_on(file_);
    ADD_FAILURE() << "it fits";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), HasSubstr("node.json: the largest rank needs"));
  }
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("Memory a rank"));
  EXPECT_THROW(check_on(folder_.file("nowhere.json")), Error);
  testing::internal::GetCapturedStdout();
}

TEST(MachineText, SaysWhatThePlanMeansThere) {
  MachineNeed need = small_need();
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("ranks 16, up to 8 a node: nodes 2"));
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("39.00 GiB of 78.00 GiB on the largest rank (50 %"));
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("1 s a step, 1.00k tokens/s at most"));
  EXPECT_THAT(machine_text(h100(), need), Not(HasSubstr("Warning")));
  need.bubble = 0.5;
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("2 s a step, 500 tokens/s at most"));
  need.narrow = false;
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("29.6 s a step"));
  need.flops = 0;
  EXPECT_THAT(machine_text(h100(), need), Not(HasSubstr("Floor")));
}

TEST(MachineText, WarnsOfTensorRanksOnSeveralNodes) {
  MachineNeed need = small_need();
  need.tensor = 16;
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("grid.tensor = 16 does not divide the 8 ranks of a node"));
  need.tensor = 3, need.ranks = 9;
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("grid.tensor = 3 does not divide"));
  EXPECT_THAT(machine_text(h100(), need), HasSubstr("the last node has only 1 ranks"));
  need.ranks = 6;  // one node
  EXPECT_THAT(machine_text(h100(), need), Not(HasSubstr("Warning")));
}

TEST(MachineText, APlanThatDoesNotFitIsAProblem) {
  MachineNeed need = small_need();
  need.bytes = std::size_t{78} << 30;
  EXPECT_EQ(machine_problem(h100(), need), "");
  need.bytes += std::size_t{1} << 30;
  EXPECT_THAT(machine_problem(h100(), need), HasSubstr("the largest rank needs 79.00 GiB and a GPU has 78.00 GiB"));
  EXPECT_EQ(machine_problem(read_machine(kMachines + "h200.json"), need), "");
}

}  // namespace
}  // namespace coxswain
