// Writes last good answers to a file as fast as it can, until it is killed: last_good_writer FILE SEED PRINCIPALS. The
// body of each answer says whose it is and repeats that to a length that the seed decides.

#include "proxy/fallback/last_good_store.hpp"
#include "tests/proxy/request/stored_requests.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>

using namespace evenkeel;

int main(int count, char** words) {
    if (count != 4) return 2;
    std::mt19937 random(static_cast<unsigned>(std::atoi(words[2])));
    const auto principals = static_cast<unsigned>(std::atoi(words[3]));
    telemetry::background helper;
    telemetry::app_log log(helper);
    request::last_good_store store(4 * 1024 * 1024); // so small that rows are dropped as well
    store.open_file(words[1], log, std::chrono::seconds{20});
    if (!store.report().file_works) return 3;
    std::puts("ready");
    std::fflush(stdout);
    for (;;) {
        const std::string who = "sk-" + std::to_string(random() % principals);
        auto kept = std::make_shared<request::stored_answer>();
        const std::string word = who + ";" + std::to_string(random()) + ";";
        const std::size_t times = 1 + random() % 2000;
        for (std::size_t i = 0; i < times; ++i) kept->body += word;
        kept->body += "end";
        kept->kept_at = wall_time{std::chrono::system_clock::now()};
        store.put(test::key_for(store, who, "question"), std::move(kept));
        // The queue empties now and then.
        if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
}
