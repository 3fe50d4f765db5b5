#include "proxy/message/io_buffer.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

namespace evenkeel::test::io_buffer_test {

using namespace evenkeel::request;

namespace {
void append(io_buffer& to, std::string_view text) {
    const auto room = to.space(text.size(), 1 << 20);
    REQUIRE(room.size() >= text.size());
    std::memcpy(room.data(), text.data(), text.size());
    to.commit(text.size());
}
std::vector<block_ptr> crowd_of(buffer_pool& pool) {
    std::vector<block_ptr> out;
    for (std::size_t i = 0; i <= buffer_pool::keep; ++i) out.push_back(pool.take());
    return out;
}
} // namespace

TEST_CASE("bytes come out in the order they went in, across compaction and growth") {
    memory_bound memory;
    buffer_pool pool{memory};
    io_buffer buffer(pool);
    std::string expected;
    for (int round = 0; round < 2000; ++round) {
        const std::string piece = std::to_string(round) + ":" + std::string(static_cast<std::size_t>(round % 37), 'x');
        append(buffer, piece);
        expected += piece;
        if (round % 3 == 0) {
            const std::size_t take = buffer.unread().size() / 2;
            REQUIRE(buffer.unread().substr(0, take) == expected.substr(0, take));
            buffer.consume(take);
            expected.erase(0, take);
        }
    }
    CHECK(buffer.unread() == expected);
}

TEST_CASE("no room is given beyond the bound") {
    memory_bound memory;
    buffer_pool pool{memory};
    io_buffer buffer(pool);
    append(buffer, std::string(buffer_pool::block_bytes, 'a'));
    CHECK(buffer.space(1, buffer_pool::block_bytes).size() == 0);
    CHECK(buffer.space(1, buffer_pool::block_bytes + 1).size() == 1);
    CHECK(buffer.unread().size() == buffer_pool::block_bytes);
}

TEST_CASE("an idle buffer holds no block and the pool hands the same one out again") {
    memory_bound memory;
    buffer_pool pool{memory};
    io_buffer buffer(pool);
    append(buffer, "x");
    const char* const block = buffer.begin();
    buffer.release();
    CHECK(!buffer.holds_block());
    append(buffer, "y");
    CHECK(buffer.begin() == block);
}

TEST_CASE("what has been shared of a buffer is neither moved nor written over") {
    memory_bound memory;
    buffer_pool pool{memory};
    io_buffer buffer(pool);
    append(buffer, "shared bytes, then more");
    const shared_bytes kept = buffer.share(buffer.unread().substr(0, 12));
    const std::string as_it_was{kept.view()};

    buffer.consume(12);
    append(buffer, std::string(buffer_pool::block_bytes - 20, 'x')); // has to make room
    CHECK(buffer.unread().substr(0, 11) == ", then more");
    CHECK(kept.view() == as_it_was);

    buffer.clear();
    append(buffer, std::string(100, '#'));
    CHECK(kept.view() == as_it_was);
}

TEST_CASE("of a crowd what is small moves to a block of its size, and room is given in a usual one again") {
    memory_bound memory;
    buffer_pool pool{memory};
    const auto crowd = crowd_of(pool);
    const std::uint64_t others = memory.used();
    const auto used = [&] { return memory.used() - others; };
    io_buffer buffer(pool);
    buffer.fit(); // of nothing
    CHECK(!buffer.holds_block());
    const std::string text = "in front, " + std::string(1000, 'r') + " end";
    append(buffer, text);
    CHECK(used() == buffer_pool::block_bytes);
    buffer.consume(10);
    buffer.fit();
    CHECK(used() == text.size() - 10);
    CHECK(buffer.unread() == text.substr(10));
    CHECK_FALSE(buffer.full()); // there may be no more
    const char* const there = buffer.begin();
    buffer.fit();
    CHECK(buffer.begin() == there);

    const shared_bytes kept = buffer.share(buffer.unread());
    append(buffer, "more");
    CHECK(buffer.unread() == text.substr(10) + "more");
    CHECK(kept.view() == text.substr(10));
    CHECK(used() == buffer_pool::block_bytes + kept.size());
    buffer.fit();
    buffer.clear();
    CHECK(!buffer.holds_block()); // a small one is not kept
    CHECK(used() == kept.size());
}

TEST_CASE("what is large, or shared, or nearly alone, stays where it is") {
    memory_bound memory;
    buffer_pool pool{memory};
    {
        io_buffer alone(pool);
        append(alone, "small");
        const char* const there = alone.begin();
        alone.fit();
        CHECK(alone.begin() == there);
    }
    const auto crowd = crowd_of(pool);
    io_buffer buffer(pool);
    append(buffer, std::string(buffer_pool::small_bytes + 1, 'x'));
    const char* const there = buffer.begin();
    buffer.fit();
    CHECK(buffer.begin() == there);
    buffer.consume(1);
    const shared_bytes kept = buffer.share(buffer.unread());
    buffer.fit();
    CHECK(buffer.begin() == there + 1);
    append(buffer, std::string(buffer_pool::block_bytes - buffer_pool::small_bytes - 1, 'x'));
    CHECK(buffer.full());
}

TEST_CASE("a block may outlive its pool") {
    memory_bound memory;
    shared_bytes kept;
    {
        buffer_pool pool{memory};
        kept = copy_to_block(pool, "here to stay");
        io_buffer other(pool);
        append(other, "gone");
    }
    CHECK(kept.view() == "here to stay");
    CHECK(memory.used() == buffer_pool::block_bytes);
    kept = {};
    CHECK(memory.used() == 0);
}

TEST_CASE("every block that is out counts whole, and one that can be done without is given only where there is room") {
    memory_bound memory;
    memory.set_limit(3 * buffer_pool::block_bytes);
    buffer_pool pool{memory};
    block_ptr needed = pool.take(), large = pool.take(buffer_pool::block_bytes + 1);
    CHECK(memory.used() == 2 * buffer_pool::block_bytes + 1);
    CHECK(pool.take_if_room(1) == nullptr);
    large.reset();
    block_ptr other = pool.take_if_room(1);
    REQUIRE(other != nullptr);
    CHECK(pool.take_if_room(2 * buffer_pool::block_bytes) == nullptr);
    other.reset();
    needed.reset(); // on the shelf they count no more
    CHECK(memory.used() == 0);
}

TEST_CASE("what is charged as it grows is charged by its capacity") {
    memory_bound memory;
    memory.set_limit(4096);
    std::string text;
    {
        memory_charge charge(memory);
        REQUIRE(charge.append(text, std::string(1000, 'a')));
        REQUIRE(charge.append(text, "b"));
        CHECK(memory.used() >= 1985);
        CHECK(memory.used() <= text.capacity());
        const std::string before = text;
        CHECK_FALSE(charge.append(text, std::string(4000, 'c')));
        CHECK(text == before);
    }
    CHECK(memory.used() == 0);
}

} // namespace evenkeel::test::io_buffer_test
