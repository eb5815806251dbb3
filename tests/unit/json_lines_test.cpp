// Files of records as users have them: broken lines, arrays, other systems' line ends and encodings.
#include "data/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class JsonLines : public testing::Test {
 protected:
  // Writes and reads a file; each record taken leaves the value of "a".
  std::vector<std::string> read(const std::string& bytes, BadLine on_bad_line = BadLine::skip,
                                const std::string& name = "a.jsonl") {
    std::ofstream(folder.file(name), std::ios::binary) << bytes;
    taken.clear();
    places.clear();
    dropped = {};
    said.str("");
    const RecordFiles files{.paths = folder.file(name), .key = "[test] files", .on_bad_line = on_bad_line};
    records = read_records(files, *world, log, dropped, [&](const nlohmann::json& record, const std::string& place) {
      if (!record.contains("a")) throw BadRecord("no key \"a\"");
      if (record["a"] == "long") throw UnusableRecord("too long");
      taken.push_back(record["a"].dump());
      places.push_back(place.substr(place.rfind(':') + 1));
    });
    return taken;
  }
  std::string refusal(const std::string& bytes, const std::string& name = "a.jsonl") {
    try {
      read(bytes, BadLine::stop, name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      return error.what();
    }
    return "accepted";
  }
  // The reason why a line is bad.
  std::string reason(const std::string& line) {
    try {
      parse_record_text(line);
    } catch (const BadRecord& bad) {
      return bad.what();
    }
    return "accepted";
  }

  TemporaryFolder folder;
  std::unique_ptr<Communicator> world = make_planned_communicator(0, 1);
  std::ostringstream said;
  Log log{{.speaks = true, .speaker = "", .out = &said, .error = &said}};
  DropReport dropped;
  std::vector<std::string> taken, places;
  std::int64_t records = 0;
};

TEST_F(JsonLines, ReadsLinesWhateverTheirEnds) {
  EXPECT_THAT(read("{\"a\": 1}\n\n{\"a\": 2}\r\n  \t\r\n{\"a\": \"\xc3\xa9\"}"), ElementsAre("1", "2", "\"\xc3\xa9\""));
  EXPECT_THAT(places, ElementsAre("1", "3", "5"));
  EXPECT_EQ(records, 3);
  EXPECT_THAT(read("\xef\xbb\xbf{\"a\": 1}\n"), ElementsAre("1"));                        // a byte order mark
  EXPECT_THAT(read("{\"a\": \"x\xe2\x80\xa8y\"}\n"), ElementsAre("\"x\xe2\x80\xa8y\""));  // U+2028 ends no line
  EXPECT_EQ(dropped.total(), 0);
}

TEST_F(JsonLines, ReadsArrays) {
  EXPECT_THAT(read("[\n {\"a\": 1},\n {\"a\": \"],}\\\"{\"}, {\"a\": [2, [3]]}\n]\n"),
              ElementsAre("1", "\"],}\\\"{\"", "[2,[3]]"));
  EXPECT_THAT(places, ElementsAre("2", "3", "3"));
  EXPECT_THAT(read("\n\n[{\"a\":\n1}\n,\n{\"a\": 2}]"), ElementsAre("1", "2"));
  EXPECT_THAT(places, ElementsAre("3", "6"));
  EXPECT_THAT(read("[]"), ElementsAre());
  // One broken element is one bad record.
  EXPECT_THAT(read("[{\"a\": 1},\n{\"a\": 2 3},\n{\"a\" 4},\n{\"a\": 5}]"), ElementsAre("1", "5"));
  EXPECT_EQ(dropped.total(), 2);
  EXPECT_THAT(read("[{\"a\": 1}},\n{\"a\": 2}]"), ElementsAre("2"));
  // A file that was cut: between elements, inside one, and in a string.
  for (const char* rest : {"", ",", ",\n{\"a\": ", ",\n{\"a\": \"x"}) {
    EXPECT_THAT(read(std::string("[{\"a\": 1}") + rest), ElementsAre("1")) << rest;
    EXPECT_GE(dropped.total(), 1) << rest;
    EXPECT_THAT(said.str(), HasSubstr("the array does not end")) << rest;
  }
  EXPECT_THAT(read("[{\"a\": 1}] {\"a\": 2}\n{\"a\": 3}"), ElementsAre("1"));
  EXPECT_EQ(dropped.total(), 1);
}

TEST_F(JsonLines, SaysWhatIsWrongWithALine) {
  EXPECT_THAT(reason("{\"a\": 1"), HasSubstr("no JSON: column 8: syntax error"));
  EXPECT_THAT(reason("{\"a\": NaN}"), HasSubstr("NaN and Infinity are no numbers of JSON"));
  EXPECT_THAT(reason("{\"a\": -Infinity}"), HasSubstr("no JSON"));
  EXPECT_THAT(reason("{\"a\": 1e999}"), HasSubstr("number overflow"));
  EXPECT_THAT(reason("{'a': 1}"), HasSubstr("no JSON: column 2"));
  EXPECT_THAT(reason("{\"a\": \"\xff\"}"), HasSubstr("UTF-8"));
  EXPECT_THAT(reason("{\"a\": \"\xc3\x28\"}"), HasSubstr("UTF-8"));
  EXPECT_THAT(reason("{\"a\": \"\\ud800\"}"), HasSubstr("surrogate"));
  EXPECT_EQ(reason("[1, 2]"), "a JSON array, an object is wanted");
  EXPECT_EQ(reason("null"), "a JSON null, an object is wanted");
  EXPECT_THAT(reason("{\"a\": 123456789012345678901234567890}"), "accepted");  // a double
  EXPECT_THAT(reason("{\"a\": \"\\u0000\\ud83d\\ude00\"}"), "accepted");
  for (const char c : reason("{\"a\": \x01\xfe" + std::string(1000, 'x'))) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  EXPECT_LT(reason("{\"a\": " + std::string(1000, 'x')).size(), 200u);
  EXPECT_THAT(reason(std::string(100000, '[')), HasSubstr("no JSON"));
}

TEST_F(JsonLines, LeavesBadLinesOutAndSaysSo) {
  std::string text = "{\"a\": 1}\n";
  for (int i = 0; i < 7; ++i) text += "{\"b\": 1}\n";
  text += "{\"a\": \"long\"}\n{\"a\": 2}\n";
  EXPECT_THAT(read(text), ElementsAre("1", "2"));
  EXPECT_EQ(records, 10);
  ASSERT_EQ(dropped.entries().size(), 2u);
  EXPECT_EQ(dropped.entries()[0].reason, "bad line");
  EXPECT_EQ(dropped.entries()[0].count, 7);
  EXPECT_EQ(dropped.entries()[1].reason, "too long");
  EXPECT_EQ(dropped.entries()[1].count, 1);
  EXPECT_THAT(dropped.entries()[1].examples, ElementsAre(HasSubstr("a.jsonl:9")));
  EXPECT_THAT(said.str(), HasSubstr("a.jsonl:6: no key \"a\""));
  EXPECT_THAT(said.str(), testing::Not(HasSubstr("a.jsonl:7: ")));  // the first five one by one
  EXPECT_THAT(said.str(), HasSubstr("7 of 10 records in [test] files are bad and left out"));
}

TEST_F(JsonLines, StopsAtBadLinesWhereTheDeckSaysSo) {
  std::string text = "{\"a\": 1}\n";
  for (int i = 0; i < 7; ++i) text += "{\"a\": \n";
  const std::string message = refusal(text);
  EXPECT_THAT(message, HasSubstr("a.jsonl:2: no JSON"));
  EXPECT_THAT(message, HasSubstr("a.jsonl:6: no JSON"));
  EXPECT_THAT(message, HasSubstr("and 2 more\n7 of 8 records in [test] files are bad"));
  EXPECT_THAT(message, HasSubstr("[data] on_bad_line = skip"));
  EXPECT_EQ(refusal("{\"a\": \"long\"}\n"), "accepted");  // unusable is not bad
}

TEST_F(JsonLines, RefusesFilesThatAreNone) {
  EXPECT_THAT(refusal(""), HasSubstr("a.jsonl ([test] files) is empty"));
  EXPECT_THAT(refusal("\x1f\x8b\x08more"), HasSubstr("compressed"));
  EXPECT_THAT(refusal(std::string("\xff\xfe{\0", 4)), HasSubstr("UTF-16"));
  const RecordFiles nothing{.paths = folder.file("nothing.jsonl"), .key = "[test] files"};
  const auto take = [](const nlohmann::json&, const std::string&) {};
  EXPECT_THROW(read_records(nothing, *world, log, dropped, take), Error);
  const RecordFiles pattern{.paths = folder.file("no*.jsonl"), .key = "[test] files"};
  EXPECT_THROW(read_records(pattern, *world, log, dropped, take), Error);
}

TEST(DropReport, CountsByReasonAndJoins) {
  DropReport one, other;
  for (int i = 1; i <= 7; ++i) one.add("too long", "a:" + std::to_string(i));
  other.add("empty", "b:1");
  other.add("too long", "b:2");
  one.add(other);
  EXPECT_EQ(one.total(), 9);
  EXPECT_EQ(one.str(), "       8  too long: a:1, a:2, a:3, a:4, a:5, ...\n       1  empty: b:1");
}

}  // namespace
}  // namespace coxswain
