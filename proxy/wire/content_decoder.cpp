#include "proxy/wire/content_decoder.hpp"

#include "proxy/wire/characters.hpp"

#include <zlib.h>

#include <array>

namespace evenkeel::wire {

namespace {
constexpr std::size_t text_block = 16 * 1024;
constexpr int widest = 15;                // window of 32 KiB
constexpr int gzip_or_zlib = widest + 32; // by what it begins with
constexpr char gzip_magic = '\x1f';

// RFC 9110 calls the zlib format deflate; some servers send it without its head, as raw deflate.
bool has_zlib_head(char first) noexcept { return (first & 0x0f) == 8 && (first & 0x80) == 0; }
} // namespace

struct content_decoder::engine {
    z_stream stream{};
    std::array<char, text_block> text{};
    bool open = false;
    ~engine() {
        if (open) inflateEnd(&stream);
    }
};

bool content_decoder::knows(std::string_view coding) noexcept {
    return iequals(coding, "gzip") || iequals(coding, "x-gzip") || iequals(coding, "deflate");
}

content_decoder::content_decoder(std::string_view coding)
    : engine_(std::make_unique<engine>()), deflate_(iequals(coding, "deflate")) {}

content_decoder::~content_decoder() = default;

void content_decoder::take(std::string_view bytes) noexcept { bytes_ = bytes; }

bool content_decoder::begin() noexcept {
    const bool raw = deflate_ && !has_zlib_head(bytes_.front());
    engine_->open = inflateInit2(&engine_->stream, raw ? -widest : gzip_or_zlib) == Z_OK;
    state_ = engine_->open ? state::goes_on : state::refused;
    return engine_->open;
}

std::optional<std::string_view> content_decoder::next() noexcept {
    if (state_ == state::begins && (bytes_.empty() || !begin())) return std::nullopt;
    z_stream& stream = engine_->stream;
    for (;;) {
        if (state_ == state::whole && !bytes_.empty()) { // gzip files may stand in a row; what is none is no part of it
            if (bytes_.front() != gzip_magic || inflateReset(&stream) != Z_OK) {
                bytes_ = {};
                return std::nullopt;
            }
            state_ = state::goes_on;
        }
        if (state_ != state::goes_on) return std::nullopt;
        // zlib does not write to what it reads.
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes_.data()));
        stream.avail_in = static_cast<uInt>(bytes_.size());
        stream.next_out = reinterpret_cast<Bytef*>(engine_->text.data());
        stream.avail_out = static_cast<uInt>(engine_->text.size());
        const int result = inflate(&stream, Z_SYNC_FLUSH);
        const std::size_t read = bytes_.size() - stream.avail_in;
        const std::size_t written = engine_->text.size() - stream.avail_out;
        bytes_.remove_prefix(read);
        taken_ += read;
        given_ += written;
        if (result == Z_STREAM_END) {
            state_ = state::whole;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            state_ = result == Z_MEM_ERROR ? state::refused : state::corrupt;
        }
        if (given_ > free_text && given_ / most_text_per_byte > taken_) {
            state_ = state::refused;
            return std::nullopt;
        }
        if (written > 0) return std::string_view{engine_->text.data(), written};
        if (read == 0) return std::nullopt;
    }
}

} // namespace evenkeel::wire
