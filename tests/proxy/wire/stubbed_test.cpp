// Passes only if the vectors fail in numbers once the gates are replaced by naive_gates.cpp.

#include "verdicts.hpp"

#include <doctest/doctest.h>

#include <cstdio>

namespace evenkeel::test::stubbed_test {

TEST_CASE("without the gates at least sixty vectors go red") {
    int failed = 0;
    int total = 0;
    int accepted_wrongly = 0;
    const auto count = [&]<class Head>(const std::vector<head_vector>& rows, const Head&) {
        for (const head_vector& row : rows) {
            ++total;
            if (is_as_expected<Head>(row)) continue;
            ++failed;
            if (row.why != wire::refusal::none) ++accepted_wrongly;
        }
    };

    count(request_vectors(), wire::request_head{});
    count(response_vectors(), wire::response_head{});

    std::printf("gates stubbed: %d of %d vectors fail, %d of them accepted though they must be refused\n", failed,
                total, accepted_wrongly);
    CHECK(failed >= 60);
    CHECK(accepted_wrongly >= 60);
}

} // namespace evenkeel::test::stubbed_test
