#include "json_reference.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/json_model.hpp"

#include <boost/json.hpp>

namespace evenkeel::test {

namespace json = boost::json;

namespace {

// Boost.JSON refuses lone surrogates as a syntax error. They are written as the escape of U+FFFD here, which is what
// ours reads them as and has the same length.
std::string without_lone_surrogates(std::string_view body) {
    std::string out(body);
    const auto code_at = [&](std::size_t i) {
        if (i + 6 > out.size() || out[i] != '\\' || out[i + 1] != 'u') return -1;
        int value = 0;
        for (std::size_t k = i + 2; k < i + 6; ++k) {
            const int digit = wire::hex_value(out[k]);
            if (digit < 0) return -1;
            value = value * 16 + digit;
        }
        return value;
    };
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (out[i] != '\\') continue;
        const int code = code_at(i);
        const int next = code < 0 ? -1 : code_at(i + 6);
        if (code >= 0xd800 && code <= 0xdbff && next >= 0xdc00 && next <= 0xdfff)
            i += 11;
        else if (code >= 0xd800 && code <= 0xdfff)
            out.replace(i + 2, 4, "fffd"), i += 5;
        else
            ++i;
    }
    return out;
}

} // namespace

std::string disagreement_with_boost(std::string_view received) {
    const std::string body = without_lone_surrogates(received);
    const wire::json_members ours = wire::find_members(received);
    json::parse_options options;
    options.max_depth = wire::json_max_depth;
    json::error_code ec;
    const json::value theirs = json::parse(json::string_view(body.data(), body.size()), ec, {}, options);
    if (ec) {
        return ours.is_object && ec != json::error::exponent_overflow
                   ? "we see an object, Boost.JSON says " + ec.message()
                   : "";
    }
    if (!theirs.is_object()) return ours.is_object ? "we see an object, Boost.JSON another value" : "";
    if (!ours.is_object) return "Boost.JSON sees an object, we do not";

    const json::object& object = theirs.get_object();
    const json::value* const model = object.if_contains("model");
    const json::string* const name = model == nullptr ? nullptr : model->if_string();
    if (ours.has_model != (name != nullptr)) return "model found by one only";
    if (name != nullptr) {
        if (ours.model != std::string_view(name->data(), name->size())) return "another model: " + ours.model;
        // The span decodes to the same string.
        const json::value span = json::parse(json::string_view(body.data() + ours.model_offset, ours.model_size), ec);
        if (ec || span != *model) return "the span is not the model";
    }
    const json::value* const stream = object.if_contains("stream");
    const bool has_stream = stream != nullptr && stream->is_bool();
    if (ours.stream.has_value() != has_stream) return "stream found by one only";
    if (has_stream && *ours.stream != stream->get_bool()) return "another stream";
    return "";
}

namespace {

std::string random_string(std::mt19937& random) {
    static constexpr const char* pieces[] = {"a",
                                             "model",
                                             "stream",
                                             " ",
                                             "\\\"",
                                             "\\\\",
                                             "\\u00e4",
                                             "\\ud83d\\ude00",
                                             "\\ud83d",
                                             "\\n",
                                             "{",
                                             "}",
                                             "[",
                                             ",",
                                             ":",
                                             "\303\244",
                                             "\342\202\254",
                                             "\360\237\230\200",
                                             "0123456789abcdefghij",
                                             "/",
                                             "\\/"};
    std::string out = "\"";
    for (auto n = random() % 4; n != 0; --n) out += pieces[random() % std::size(pieces)];
    return out + "\"";
}

std::string random_value(std::mt19937& random, int depth);

std::string random_object(std::mt19937& random, int depth) {
    static constexpr const char* keys[] = {"\"model\"",        "\"stream\"", "\"messages\"", "\"mod\\u0065l\"",
                                           "\"\\u0073tream\"", "\"a\"",      "\"\""};
    std::string out = random() % 4 == 0 ? "{ " : "{";
    for (unsigned long n = random() % 5, i = 0; i < n; ++i) {
        if (i != 0) out += random() % 4 == 0 ? " ,\n" : ",";
        out += random() % 3 == 0 ? random_string(random) : keys[random() % std::size(keys)];
        out += random() % 4 == 0 ? "\t:\r" : ":";
        out += random_value(random, depth);
    }
    return out + "}";
}

std::string random_value(std::mt19937& random, int depth) {
    static constexpr const char* scalars[] = {
        "true", "false", "null", "0", "-1", "1.5", "1e5", "-0.0E-3", "12345678901234567890", "1e400", "1e99999999999"};
    switch (random() % (depth > 0 ? 8 : 6)) {
    case 0:
    case 1: return scalars[random() % std::size(scalars)];
    case 6: return random_object(random, depth - 1);
    case 7: {
        std::string out = "[";
        for (unsigned long n = random() % 4, i = 0; i < n; ++i)
            out += (i != 0 ? "," : "") + random_value(random, depth - 1);
        return out + "]";
    }
    default: return random() % 3 == 0 ? "true" : random_string(random);
    }
}

} // namespace

std::string random_json_object(std::mt19937& random) { return random_object(random, 4); }

void damage_json(std::string& body, std::mt19937& random) {
    static constexpr const char* pieces[] = {"\"",   "{",    "}", "[", "]", ",", ":", "\\",   "\\u",        "\377",
                                             "\302", "\001", "0", "e", ".", "-", " ", "true", "\"model\":", "x"};
    const std::size_t at = random() % body.size();
    switch (random() % 4) {
    case 0: body.erase(at, 1 + random() % 3); break;
    case 1: body.insert(at, pieces[random() % std::size(pieces)]); break;
    case 2: body[at] = static_cast<char>(random()); break;
    default: body.resize(at); break;
    }
}

} // namespace evenkeel::test
