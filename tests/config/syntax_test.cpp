// Every trap of the YAML library is closed, and what is no YAML at all is explained at the right place.

#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::syntax_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {

struct trap {
    const char* name;
    std::string yaml;
    std::string expected; // the first problem, as in `brief`
    const char* says;     // part of its message
};

} // namespace

TEST_CASE("what the YAML library lets through, or explains badly, is refused with advice") {
    const trap traps[] = {
        {"a duplicate key", good("workers: 1\nworkers: 2\n"), "error duplicate-key 3:1", "first at line 2"},
        {"a duplicate key in a flow mapping", good("log: {level: info, format: text, level: debug}\n"),
         "error duplicate-key 2:34", "'level'"},
        {"a merge key", good("", "", "    timeout: {<<: {total: 1s}}\n"), "error merge-key 8:15", "`defaults:`"},
        {"a merge key with an alias", "a: &x {b: 1}\nc: {<<: *x}\n", "error anchor 1:4", "`defaults:`"},
        {"an anchor", good("workers: &n 1\n"), "error anchor 2:10", "`defaults:`"},
        {"an undefined alias", good("workers: *n\n"), "error syntax 2:10", "quoted"},
        {"a tag", good("workers: !!int 1\n"), "error tag 2:10", "plain value"},
        {"a boolean of YAML 1.1", good("", "    connections: {retry_stale: yes}\n"), "error bad-boolean 5:32",
         "write true"},
        {"another one", good("", "    connections: {retry_stale: off}\n"), "error bad-boolean 5:32", "write false"},
        {"a capital one", good("", "    connections: {retry_stale: True}\n"), "error bad-boolean 5:32", "write true"},
        {"an octal number", good("workers: 0777\n"), "error bad-integer 2:10", "leading zero"},
        {"a hexadecimal number", good("workers: 0x1f\n"), "error bad-integer 2:10", "decimal"},
        {"a quoted number", good("workers: \"2\"\n"), "error wrong-type 2:10", "without quotes"},
        {"a second document", good() + "---\nversion: 1\n", "error multiple-documents 8:1", "exactly one"},
        {"a tab", "version: 1\nlog:\n\tlevel: info\n", "error tab 3:1", "spaces"},
        {"a tab after blanks", "version: 1\nlog:\n  \tlevel: info\n", "error tab 3:3", "spaces"},
        {"a null block", good("log:\n"), "error null-value 2:1", "'log'"},
        {"a null value", good("log: {level: ~}\n"), "error null-value 2:7", "'level'"},
        {"a null entry of a list", good("", "", "    match: {methods: [GET, ~]}\n"), "error null-value 8:28",
         "'methods'"},
        {"an unclosed bracket", "version: 1\nroutes: [a, b\nlog: {level: info}\n", "error unclosed-bracket 2:9",
         "opened here"},
        {"an unclosed brace", "version: 1\nlog: {level: info\n", "error unclosed-bracket 2:6", "opened here"},
        {"an unclosed quotation mark", "version: 1\nlog: {level: \"info}\n", "error unclosed-bracket 2:6",
         "not closed"},
        {"an expansion without quotes", good("listen: {address: ${env:X}}\n"), "error unclosed-bracket 2:9",
         "in quotes"},
        {"a wrong indentation", "version: 1\nlog:\n  level: info\n   format: text\n", "error syntax 4:10",
         "indentation"},
        {"a missing colon", good("log\n"), "error syntax 3:10", "missing in line 2?"},
        {"a missing colon at the end", good() + "log\n", "error null-value 8:1", "'log'"},
        {"a list as key", "[a, b]: c\n", "error bad-key 1:1", "word"},
        {"a missing key", good(": 3\n"), "error bad-key 2:1", "missing"},
        {"a byte that is not UTF-8", "version: 1\nlog: {path: \xff}\n", "error not-utf8 2:13", "0xff"},
        {"an overlong character", "version: 1\nlog: {path: \xc0\xaf}\n", "error not-utf8 2:13", "UTF-8"},
        {"a surrogate", "version: 1\nlog: {path: \xed\xa0\x80}\n", "error not-utf8 2:13", "UTF-8"},
        {"a NUL", std::string("version: 1\nlog: {path: a\0b}\n", 27), "error control-character 2:14", "0x00"},
        {"UTF-16", std::string("\xff\xfev\0e\0r\0", 8), "error not-utf8 1:1", "UTF-8"},
        {"a lone carriage return", "version: 1\rlog: {}\n", "error control-character 1:11", "carriage return"},
        {"a directive", "%YAML 1.1\n---\nversion: 1\n", "error directive 1:1", "directive"},
        {"an empty file", "", "error empty 1:1", "version: 1"},
        {"only comments", "# nothing\n", "error empty 1:1", "version: 1"},
        {"a list as file", "- a\n", "error wrong-type 1:1", "mapping"},
        {"a word as file", "hello\n", "error wrong-type 1:1", "mapping"},
        {"a missing blank", good("log:level: info\n"), "error unknown-key 2:1", "log:level"},
        {"too deep", "a: " + std::string(40, '[') + std::string(40, ']') + "\n", "error too-deep 1:35", "32"},
        {"deep in blocks",
         [] {
             std::string out;
             for (std::size_t i = 0; i < 200; ++i) out += std::string(i, ' ') + "a:\n";
             return out;
         }(),
         "error too-deep 33:33", "32"},
    };
    for (const trap& t : traps) {
        CAPTURE(t.name);
        const load_result result = load(t.yaml);
        CHECK_FALSE(result.ok());
        REQUIRE_FALSE(result.diagnostics.empty());
        CAPTURE(printed(result.diagnostics));
        CHECK(brief(result.diagnostics).front() == t.expected);
        CHECK(result.diagnostics.front().message.find(t.says) != std::string::npos);
    }
}

TEST_CASE("a file over 1 MiB is refused unread, one of garbage within it is answered quickly") {
    CHECK(brief(load(std::string(1024 * 1024 + 1, '#')).diagnostics) ==
          std::vector<std::string>{"error too-large 0:0"});
    const std::string fillers[] = {"[",     "{",   "- ",     "a: ", "? ", "\"", "*a ", "&a ", "- - - ", "{a: [",
                                   "\n- a", "a\n", "a: b\n", "!x ", "| ", ", ", ": ",  "{}",  "'",      "${"};
    for (const std::string& filler : fillers) {
        CAPTURE(filler);
        std::string yaml = "version: 1\n";
        while (yaml.size() + filler.size() < 256 * 1024) yaml += filler;
        const load_result result = load(yaml);
        CHECK_FALSE(result.ok());
        CHECK(result.diagnostics.size() <= 201);
    }
}

TEST_CASE("more problems than anybody reads are counted, not listed") {
    std::string yaml = "version: 1\n";
    for (int i = 0; i < 500; ++i) yaml += "unknown" + std::to_string(i) + ": 1\n";

    const load_result result = load(yaml);

    CHECK(result.diagnostics.size() == 201);
    CHECK(result.diagnostics.back().code == "too-many-problems");
    CHECK(result.diagnostics.back().message.find("301") != std::string::npos);
}

TEST_CASE("columns count characters, also behind multi-byte text, CRLF and a byte order mark") {
    CHECK(brief(load(good("log: {path: \"\xc3\xa4\xc3\xb6\", levle: info}\n")).diagnostics) ==
          std::vector<std::string>{"error unknown-key 2:19"});
    CHECK(brief(load("\xEF\xBB\xBFversion: 1\r\nworkers: x\r\nroutes: off\r\n").diagnostics) ==
          std::vector<std::string>{"error bad-integer 2:10", "error wrong-type 3:9"});
    CHECK(load("\xEF\xBB\xBF" + good()).ok());
}

TEST_CASE("a file with CRLF means what it means with LF") {
    const std::string lf = read_file(config_file("examples/openai.yaml"));
    std::string crlf;
    for (const char c : lf) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);

    const load_result a = load(lf);
    const load_result b = load(crlf);

    REQUIRE(a.ok());
    REQUIRE(b.ok());
    CHECK(same_meaning(*a.settings, *b.settings));
}

} // namespace evenkeel::test::syntax_test
