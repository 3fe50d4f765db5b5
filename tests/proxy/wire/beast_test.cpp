// Whatever the wire room accepts, Boost.Beast accepts and splits the same way. Not the other way round: the last tests
// count what Beast lets pass.

#include "mutate.hpp"
#include "verdicts.hpp"

#include "tests/support/beast_tokeniser.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <map>

namespace evenkeel::test::beast_test {

namespace {

constexpr unsigned seed = 1;
constexpr int mutations = 150000; // of requests, and as many of responses

std::string lower_case(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

// What must be left of Beast's fields after removing what concerns one connection only, written down a second time
// here so that a name forgotten in the product is noticed.
std::vector<std::pair<std::string, std::string>> end_to_end(const beast_head& head) {
    static const std::array<std::string, 12> dropped{"host",
                                                     "content-length",
                                                     "transfer-encoding",
                                                     "connection",
                                                     "keep-alive",
                                                     "proxy-connection",
                                                     "proxy-authenticate",
                                                     "proxy-authorization",
                                                     "te",
                                                     "trailer",
                                                     "upgrade",
                                                     "http2-settings"};
    std::vector<std::string> nominated;
    for (const auto& [name, value] : head.fields)
        if (lower_case(name) == "connection")
            for (const std::string& token : beast_tokens(value)) nominated.push_back(lower_case(token));
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& [name, value] : head.fields) {
        const std::string key = lower_case(name);
        if (key == "expect" || std::find(dropped.begin(), dropped.end(), key) != dropped.end()) continue;
        // Options of `Connection` are no nominations.
        if (key != "close" && std::find(nominated.begin(), nominated.end(), key) != nominated.end()) continue;
        out.emplace_back(name, value);
    }
    return out;
}

std::string difference(const std::vector<wire::field>& ours, const beast_head& theirs) {
    const auto kept = end_to_end(theirs);
    if (ours.size() != kept.size()) return "number of fields";
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (ours[i].name != kept[i].first || ours[i].value != kept[i].second) return "field " + kept[i].first;
    return "";
}

std::string difference(const head_vector&, std::string_view bytes, const wire::request_head& ours,
                       std::size_t consumed) {
    const beast_head theirs = beast_request_head(bytes);
    if (!theirs.complete) return "Beast: " + theirs.error;
    if (theirs.consumed != consumed) return "length of the head";
    if (ours.method != theirs.method) return "method";
    // An absolute-form target is reduced; of slashes in a row one is left.
    const bool reduced = theirs.target.ends_with(ours.target) && lower_case(theirs.target).starts_with("http");
    if (ours.target != theirs.target && !reduced && !ours.merged) return "target";
    if (theirs.version != 10 + ours.minor_version) return "version";
    if ((ours.body.kind == wire::body_kind::chunked) != theirs.chunked) return "chunked";
    if (ours.body.kind == wire::body_kind::length ? theirs.content_length != ours.body.length
                                                  : theirs.content_length.value_or(0) != 0)
        return "length";
    if (ours.keep_alive && !theirs.keep_alive)
        return "keep-alive"; // we close more often: Beast lets keep-alive win in HTTP/1.0
    return difference(ours.fields, theirs);
}

std::string difference(const head_vector& row, std::string_view bytes, const wire::response_head& ours,
                       std::size_t consumed) {
    const beast_head theirs = beast_response_head(bytes, row.head_request);
    if (!theirs.complete) return "Beast: " + theirs.error;
    if (theirs.consumed != consumed) return "length of the head";
    if (ours.status != theirs.status) return "status";
    if (ours.reason != theirs.reason) return "reason";
    if (theirs.version != 10 + ours.minor_version) return "version";
    const bool bodiless = row.head_request || ours.status < 200 || ours.status == 204 || ours.status == 304;
    if (!bodiless) {
        if ((ours.body.kind == wire::body_kind::chunked) != theirs.chunked) return "chunked";
        if ((ours.body.kind == wire::body_kind::until_close) != theirs.needs_eof) return "until close";
        if (ours.body.kind == wire::body_kind::length && theirs.content_length != ours.body.length) return "length";
        if (ours.keep_alive && !theirs.keep_alive) return "keep-alive"; // we close more often
    }
    return difference(ours.fields, theirs);
}

// True if accepted; complains if Beast reads it differently.
template <class Head>
bool compare(const head_vector& row, std::string_view bytes) {
    Head head;
    std::size_t scanned = 0;
    const wire::head_result result = read_head(row, bytes, scanned, head);
    if (result.is != wire::head_result::state::complete) return false;
    // Beast gives Proxy-Connection, which no standard knows, the meaning of Connection; we drop it unread.
    if (lower_case(std::string(bytes)).find("proxy-connection") != std::string::npos) return false;
    // Beast insists on the blank in front of a reason that is not there.
    constexpr std::size_t bare = std::string_view("HTTP/1.1 200\r").size();
    if (bytes.starts_with("HTTP/") && bytes.substr(0, bare).ends_with('\r')) return false;
    if (const std::string what = difference(row, bytes, head, result.consumed); !what.empty())
        FAIL_CHECK(row.name << ": " << what << " differs: " << printable(bytes));
    return true;
}

template <class Head>
void compare_all(const std::vector<head_vector>& rows, const char* kind) {
    for (const head_vector& row : rows) compare<Head>(row, row.bytes);
    mutator mutants(rows, seed);
    int accepted = 0;
    for (int i = 0; i < mutations; ++i) {
        const head_vector* row = nullptr;
        const std::string bytes = mutants.next(row);
        accepted += compare<Head>(*row, bytes) ? 1 : 0;
    }
    std::printf("Beast agrees on %d accepted of %d mutated %s (seed %u)\n", accepted, mutations, kind, seed);
    CHECK(accepted > mutations / 20);
}

using wire::refusal;

struct let_through {
    refusal why;
    int passed; // of the vectors that the gate refuses for this
    int all;
};

// A refusal that is not in the table is one that Beast never misses.
void check_let_through(const std::vector<head_vector>& rows, const std::vector<let_through>& table) {
    std::map<refusal, let_through> counted;
    for (const head_vector& row : rows) {
        if (row.why == refusal::none) continue;
        const bool response = row.name.starts_with("resp/");
        auto& count = counted.try_emplace(row.why, let_through{row.why, 0, 0}).first->second;
        count.passed +=
            (response ? beast_response_head(row.bytes, row.head_request) : beast_request_head(row.bytes)).complete;
        ++count.all;
    }
    for (const let_through& row : table) {
        CAPTURE(wire::to_string(row.why));
        CHECK(counted[row.why].passed == row.passed);
        CHECK(counted[row.why].all == row.all);
        counted.erase(row.why);
    }
    for (const auto& [why, count] : counted) {
        CAPTURE(wire::to_string(why));
        CHECK(count.passed == 0);
    }
}

} // namespace

TEST_CASE("Beast reads every accepted request as we do") {
    compare_all<wire::request_head>(request_vectors(), "requests");
}
TEST_CASE("Beast reads every accepted response as we do") {
    compare_all<wire::response_head>(response_vectors(), "responses");
}

TEST_CASE("alone, Beast's parser lets pass more than half of what the request gate refuses") {
    check_let_through(request_vectors(),
                      {{refusal::bad_connection, 16, 25},     {refusal::bad_content_length, 3, 27},
                       {refusal::bad_expect, 8, 8},           {refusal::bad_host, 55, 55},
                       {refusal::bad_target, 83, 84},         {refusal::bad_transfer_encoding, 29, 31},
                       {refusal::chunked_in_http10, 1, 1},    {refusal::duplicate_content_length, 1, 4},
                       {refusal::duplicate_host, 3, 3},       {refusal::head_too_large, 1, 3},
                       {refusal::host_mismatch, 4, 4},        {refusal::length_and_transfer_encoding, 3, 12},
                       {refusal::method_not_allowed, 3, 3},   {refusal::method_not_supported, 11, 11},
                       {refusal::missing_host, 4, 4},         {refusal::obs_fold, 8, 11},
                       {refusal::shadowed_field, 22, 22},     {refusal::target_too_long, 2, 3},
                       {refusal::too_many_fields, 1, 1},      {refusal::transfer_encoding_not_supported, 2, 2},
                       {refusal::upgrade_not_supported, 3, 3}});
}
TEST_CASE("alone, Beast's parser lets pass a third of what the response gate refuses") {
    check_let_through(response_vectors(), {{refusal::bad_connection, 1, 2},
                                           {refusal::bad_content_length, 2, 13},
                                           {refusal::bad_status, 5, 5},
                                           {refusal::bad_transfer_encoding, 11, 12},
                                           {refusal::chunked_in_http10, 1, 1},
                                           {refusal::duplicate_content_length, 1, 3},
                                           {refusal::head_too_large, 1, 1},
                                           {refusal::length_and_transfer_encoding, 1, 4},
                                           {refusal::obs_fold, 2, 2},
                                           {refusal::shadowed_field, 3, 3},
                                           {refusal::too_many_fields, 1, 1},
                                           {refusal::transfer_encoding_not_supported, 1, 1},
                                           {refusal::unexpected_upgrade, 2, 2}});
}

} // namespace evenkeel::test::beast_test
