#include "proxy/model/answer_text.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::answer_text_test {

using namespace evenkeel::model;

TEST_CASE("the provider knows whose request it has") {
    std::string request;
    request_text(true, 512).append(request, 4'000'000'123U);
    CHECK(request_number(request) == 4'000'000'123U);
    CHECK(!request_number("GET / HTTP/1.1\r\n\r\n"));
    CHECK(!request_number("X-Simulated-Request: 12"));
    CHECK(!request_number("X-Simulated-Request: 12x4567890"));
    CHECK(!request_number("X-Simulated-Request: 9999999999"));
}

} // namespace evenkeel::test::answer_text_test
