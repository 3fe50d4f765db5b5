#include "proxy/wire/content_decoder.hpp"

#include <doctest/doctest.h>
#include <zlib.h>

#include <array>
#include <random>
#include <string>

namespace evenkeel::test::content_decoder_test {

using namespace evenkeel::wire;

namespace {
enum : int { raw = -15, zlib = 15, gzip = 31 };

std::string compressed(const std::string& text, int format, std::size_t flush_each = 0) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, format, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out, input = text;
    std::array<char, 4096> room{};
    const std::size_t each = flush_each == 0 ? text.size() : flush_each;
    for (std::size_t at = 0; at <= text.size(); at += each) {
        const std::size_t size = std::min(each, text.size() - at);
        const bool last = at + size >= text.size();
        stream.next_in = reinterpret_cast<Bytef*>(input.data() + at);
        stream.avail_in = static_cast<uInt>(size);
        do {
            stream.next_out = reinterpret_cast<Bytef*>(room.data());
            stream.avail_out = static_cast<uInt>(room.size());
            deflate(&stream, last ? Z_FINISH : Z_SYNC_FLUSH);
            out.append(room.data(), room.size() - stream.avail_out);
        } while (stream.avail_out == 0);
        if (last) break;
    }
    deflateEnd(&stream);
    return out;
}

std::string read_by(content_decoder& decoder, const std::string& bytes, std::size_t each) {
    std::string out;
    for (std::size_t at = 0; at < bytes.size(); at += each) {
        decoder.take(std::string_view{bytes}.substr(at, each));
        while (const auto text = decoder.next()) out += *text;
    }
    return out;
}
} // namespace

TEST_CASE("what was compressed is read again, in any cut, and its own end is known") {
    std::string text = "data: {\"a\":1}\n\n";
    for (int i = 0; i < 3000; ++i) text += static_cast<char>('a' + i * 7 % 26);
    for (const auto& [coding, format] :
         {std::pair{"gzip", int{gzip}}, std::pair{"x-gzip", int{gzip}}, std::pair{"GZIP", int{gzip}},
          std::pair{"deflate", int{zlib}}, std::pair{"deflate", int{raw}}}) {
        CAPTURE(coding);
        const std::string bytes = compressed(text, format, 100);
        for (const std::size_t each : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
            content_decoder decoder(coding);
            CHECK(read_by(decoder, bytes, each) == text);
            CHECK(decoder.whole());
            content_decoder cut(coding);
            CHECK(text.starts_with(read_by(cut, bytes.substr(0, bytes.size() - 4), each)));
            CHECK_FALSE((format == gzip && cut.whole()));
            CHECK_FALSE(cut.corrupt());
        }
    }
    CHECK_FALSE(content_decoder::knows("br"));
    CHECK_FALSE(content_decoder::knows("zstd"));
    CHECK_FALSE(content_decoder::knows("gzip, gzip"));
    CHECK_FALSE(content_decoder::knows("identity"));
}

TEST_CASE("each flush is text at once, and files in a row are one") {
    const std::string one = compressed("data: a\n\n", gzip), two = compressed("data: b\n\n", gzip);
    content_decoder decoder("gzip");
    CHECK(read_by(decoder, one + two, 5) == "data: a\n\ndata: b\n\n");
    CHECK(decoder.whole());
    content_decoder behind("gzip");
    CHECK(read_by(behind, one + "garbage", 5) == "data: a\n\n");
    CHECK(behind.whole());
}

TEST_CASE("what is not what it says is corrupt, and a bomb is refused before it costs anything") {
    content_decoder text("gzip");
    CHECK(read_by(text, "{\"a\":1}", 3).empty());
    CHECK(text.corrupt());
    content_decoder bomb("gzip");
    const std::string bytes = compressed(std::string(64 << 20, ' '), gzip);
    CHECK(read_by(bomb, bytes, 1000).size() < (2 << 20));
    CHECK(bomb.refused());
    // A long run of the same event is none.
    std::string events;
    for (int i = 0; i < 20000; ++i)
        events += "data: {\"n\":" + std::to_string(i) + ",\"choices\":[{\"delta\":{}}]}\n\n";
    content_decoder good("gzip");
    CHECK(read_by(good, compressed(events, gzip, 50), 1000) == events);
}

TEST_CASE("no bytes make it fail in any other way") {
    std::mt19937 random(17);
    const std::string seed = compressed("data: {\"choices\":[]}\n\n", gzip, 3);
    for (int i = 0; i < 3000; ++i) {
        std::string bytes = seed;
        for (unsigned n = random() % 4; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
        content_decoder decoder(random() % 2 == 0 ? "gzip" : "deflate");
        static_cast<void>(read_by(decoder, bytes, 1 + random() % 9));
    }
}

} // namespace evenkeel::test::content_decoder_test
