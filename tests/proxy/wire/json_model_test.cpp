#include "json_reference.hpp"

#include "proxy/wire/json_model.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>

#include <random>

namespace evenkeel::test::json_model_test {

using namespace std::string_literals;

namespace {

struct row {
    const char* name;
    std::string body;
    bool is_object;
    const char* model; // nullptr: none
    std::optional<bool> stream;
};

const std::vector<row>& rows() {
    static const std::vector<row> all{
        {"usual", R"({"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true})", true, "gpt-4o",
         true},
        {"spaces", " \t\r\n{ \"model\" : \"m\" , \"stream\" : false } \n", true, "m", false},
        {"model last", R"({"messages":[],"model":"m"})", true, "m", std::nullopt},
        {"empty object", "{}", true, nullptr, std::nullopt},
        {"no model", R"({"input":"x"})", true, nullptr, std::nullopt},
        {"nested model does not count", R"({"a":{"model":"x","stream":true},"b":[{"model":"y"}]})", true, nullptr,
         std::nullopt},
        {"model in a string does not count", R"({"a":"\"model\":\"x\""})", true, nullptr, std::nullopt},
        {"escaped key", R"({"\u006dodel":"m","str\u0065am":true})", true, "m", true},
        {"fully escaped key", R"({"\u006d\u006f\u0064\u0065\u006c":"m"})", true, "m", std::nullopt},
        {"key in capitals", R"({"Model":"m","STREAM":true})", true, nullptr, std::nullopt},
        {"escaped value", R"({"model":"a\"b\\c\/\u00e4\ud83d\ude00\n"})", true, "a\"b\\c/\303\244\360\237\230\200\n",
         std::nullopt},
        {"utf-8 value", "{\"model\":\"\303\244\342\202\254\360\237\230\200\"}", true,
         "\303\244\342\202\254\360\237\230\200", std::nullopt},
        {"empty model", R"({"model":""})", true, "", std::nullopt},
        {"model is a number", R"({"model":4})", true, nullptr, std::nullopt},
        {"model is null", R"({"model":null})", true, nullptr, std::nullopt},
        {"model is an object", R"({"model":{"model":"x"}})", true, nullptr, std::nullopt},
        {"stream is a string", R"({"stream":"true"})", true, nullptr, std::nullopt},
        {"stream is null", R"({"stream":null})", true, nullptr, std::nullopt},
        {"stream twice", R"({"stream":true,"stream":false})", true, nullptr, false},
        {"model twice", R"({"model":"a","model":"b"})", true, "b", std::nullopt},
        {"model three times", R"({"model":"a","model":"b","mod\u0065l":"c"})", true, "c", std::nullopt},
        {"model twice, last no string", R"({"model":"a","model":1})", true, nullptr, std::nullopt},
        {"numbers", R"({"a":-0,"b":1.5e+10,"c":0.1,"d":1E-2,"e":123456789012345678901234567890})", true, nullptr,
         std::nullopt},
        {"literals", R"([true,false,null])", false, nullptr, std::nullopt},
        {"lone surrogate elsewhere", R"({"a":"\ud800","model":"m"})", true, "m", std::nullopt},
        {"lone surrogate in the model", R"({"model":"x\ud800y\udc00"})", true, "x\357\277\275y\357\277\275",
         std::nullopt},
        {"two leading surrogates", R"({"model":"\ud800\ud83d\ude00"})", true, "\357\277\275\360\237\230\200",
         std::nullopt},
        {"DEL", "{\"model\":\"\177\"}", true, "\177", std::nullopt},
        {"empty body", "", false, nullptr, std::nullopt},
        {"blank body", "  ", false, nullptr, std::nullopt},
        {"array", R"([{"model":"m"}])", false, nullptr, std::nullopt},
        {"string", R"("model")", false, nullptr, std::nullopt},
        {"number", "4", false, nullptr, std::nullopt},
        {"form", "model=m&stream=true", false, nullptr, std::nullopt},
        {"multipart", "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x--", false, nullptr,
         std::nullopt},
        {"cut", R"({"model":"m")", false, nullptr, std::nullopt},
        {"cut in the string", R"({"model":"m)", false, nullptr, std::nullopt},
        {"cut in an escape", R"({"model":"m\)", false, nullptr, std::nullopt},
        {"cut in an escape u", R"({"model":"m\u00)", false, nullptr, std::nullopt},
        {"something behind", R"({"model":"m"}x)", false, nullptr, std::nullopt},
        {"two objects", R"({"model":"m"}{"model":"n"})", false, nullptr, std::nullopt},
        {"NUL behind", "{\"model\":\"m\"}\0"s, false, nullptr, std::nullopt},
        {"BOM", "\357\273\277{\"model\":\"m\"}", false, nullptr, std::nullopt},
        {"trailing comma", R"({"model":"m",})", false, nullptr, std::nullopt},
        {"leading comma", R"({,"model":"m"})", false, nullptr, std::nullopt},
        {"no comma", R"({"a":1 "model":"m"})", false, nullptr, std::nullopt},
        {"no colon", R"({"model" "m"})", false, nullptr, std::nullopt},
        {"no value", R"({"model":})", false, nullptr, std::nullopt},
        {"unquoted key", R"({model:"m"})", false, nullptr, std::nullopt},
        {"single quotes", R"({'model':'m'})", false, nullptr, std::nullopt},
        {"comment", R"({"model":"m"/**/})", false, nullptr, std::nullopt},
        {"line feed in a string", "{\"model\":\"a\nb\"}", false, nullptr, std::nullopt},
        {"NUL in a string", "{\"model\":\"a\0b\"}"s, false, nullptr, std::nullopt},
        {"bad escape", R"({"model":"\x41"})", false, nullptr, std::nullopt},
        {"bad escape u", R"({"model":"\u00g0"})", false, nullptr, std::nullopt},
        {"bad utf-8", "{\"model\":\"\377\"}", false, nullptr, std::nullopt},
        {"overlong utf-8", "{\"a\":\"\300\200\"}", false, nullptr, std::nullopt},
        {"utf-8 surrogate", "{\"a\":\"\355\240\200\"}", false, nullptr, std::nullopt},
        {"utf-8 beyond Unicode", "{\"a\":\"\364\220\200\200\"}", false, nullptr, std::nullopt},
        {"cut utf-8", "{\"a\":\"\342\202\"}", false, nullptr, std::nullopt},
        {"leading zero", R"({"a":01})", false, nullptr, std::nullopt},
        {"plus", R"({"a":+1})", false, nullptr, std::nullopt},
        {"dot", R"({"a":1.})", false, nullptr, std::nullopt},
        {"leading dot", R"({"a":.5})", false, nullptr, std::nullopt},
        {"exponent without digits", R"({"a":1e})", false, nullptr, std::nullopt},
        {"minus alone", R"({"a":-})", false, nullptr, std::nullopt},
        {"NaN", R"({"a":NaN})", false, nullptr, std::nullopt},
        {"truex", R"({"a":truex})", false, nullptr, std::nullopt},
        {"tru", R"({"a":tru})", false, nullptr, std::nullopt},
        {"mismatched brackets", R"({"a":[1}])", false, nullptr, std::nullopt},
        {"closing alone", "}", false, nullptr, std::nullopt},
        {"form feed as space", "{\f\"model\":\"m\"}", false, nullptr, std::nullopt},
        {"deepest", "{\"a\":" + std::string(127, '[') + std::string(127, ']') + ",\"model\":\"m\"}", true, "m",
         std::nullopt},
        {"too deep", "{\"a\":" + std::string(128, '[') + std::string(128, ']') + ",\"model\":\"m\"}", false, nullptr,
         std::nullopt},
        {"bottomless", "{\"a\":" + std::string(1000000, '['), false, nullptr, std::nullopt},
    };
    return all;
}

} // namespace

TEST_CASE("model and stream are found in objects and nowhere else") {
    for (const row& r : rows()) {
        CAPTURE(r.name);
        const wire::json_members got = wire::find_members(r.body);
        CHECK(got.is_object == r.is_object);
        CHECK(got.has_model == (r.model != nullptr));
        CHECK(got.model == (r.model == nullptr ? "" : r.model));
        CHECK(got.stream == r.stream);
        CHECK(disagreement_with_boost(r.body) == "");
        // Whatever a prefix is, it is no object.
        if (r.is_object && r.body.back() == '}')
            for (std::size_t size = 0; size < r.body.size(); ++size)
                CHECK_FALSE(wire::find_members(std::string_view(r.body).substr(0, size)).is_object);
    }
}

namespace {
// The body with another model's name, put together as a flight does it.
std::string renamed_body(std::string_view body, const wire::json_members& found, std::string_view name) {
    return std::string{body.substr(0, found.model_offset)} + wire::json_string(name) +
           std::string{body.substr(found.model_offset + found.model_size)};
}
} // namespace

TEST_CASE("a renamed model is the only change in the body") {
    const std::string body = R"( {"a":1.50, "model" : "old\n" ,"b":"model"} )";
    const auto found = wire::find_members(body);
    REQUIRE(found.has_model);
    CHECK(body.substr(found.model_offset, found.model_size) == R"("old\n")");

    CHECK(renamed_body(body, found, "new") == R"( {"a":1.50, "model" : "new" ,"b":"model"} )");
    for (const std::string name :
         {"", "a\"b\\c", "\001\037\n\r\t", "\303\244\360\237\230\200", "gpt-4o-mini-2024-07-18"}) {
        const auto again = wire::find_members(renamed_body(body, found, name));
        CHECK(again.is_object);
        CHECK(again.model == name);
    }
    CHECK(wire::find_members(renamed_body(body, found, "a\377b")).model == "a\357\277\275b");
}

TEST_CASE("the members of an object are listed with the bytes of their values") {
    const auto listed = [](std::string_view body, std::size_t most = 8) {
        std::string out;
        for (const auto& one : wire::list_members(body, most)) out += one.name + "=" + std::string(one.value) + ";";
        return out;
    };
    CHECK(listed(R"( {"a" : 1.50 , "b":{ "a": [2] },"c":"x\n" } )") == R"(a=1.50;b={ "a": [2] };c="x\n";)");
    CHECK(listed(R"({"p\u0061rt":null,"part":true})") == "part=null;part=true;");
    CHECK(listed("{}") == "");
    CHECK(listed(R"({"a":1,"b":2})", 2) == "a=1;b=2;");
    CHECK(listed(R"({"a":1,"b":2})", 1) == "");
    for (const char* body : {"", "[1]", R"({"a":1)", R"({"a":1}x)", R"({"a":1,})", R"({"a"})", "\"a\""})
        CHECK(listed(body) == "");
}

TEST_CASE("a member is found and dropped in what only a lenient server takes for JSON") {
    const auto is_secret = [](std::string_view name) { return name == "api_key"; };
    const auto without = [&](std::string_view body) {
        std::string out;
        for (const auto piece : wire::without_members(body, 4, is_secret)) out += piece;
        return out;
    };
    const std::string deep = std::string(500, '[') + std::string(500, ']');
    for (const auto& [body, left] : std::vector<std::pair<std::string, std::string>>{
             {R"({"api_key":"S","t":NaN})", R"({"t":NaN})"},
             {R"({"t":Infinity , "api_key":"S"})", R"({"t":Infinity })"},
             {"{\"t\":\"\xff\",\"api_key\":\"S\",\"u\":1}", "{\"t\":\"\xff\",\"u\":1}"},
             {R"({"api_key":"S","t":)" + deep + "}", R"({"t":)" + deep + "}"},
             {R"({"a":1,"b":2,"c":3,"d":4,"e":5,"api_key":"S,}]\""})", R"({"a":1,"b":2,"c":3,"d":4,"e":5})"},
             {R"({"\u0061pi_key":{"x":["S"]},"t":1}junk)", R"({"t":1}junk)"},
             {R"({"api_key":"S","t":1,})", R"({"t":1,})"},
             {R"({"t":1,"api_key":"S)", R"({"t":1)"}}) {
        CAPTURE(body);
        CHECK(without(body) == left);
        CHECK(wire::pick_members(body, 4, is_secret).size() == 1);
    }
    for (const char* body :
         {"", "{", "{}", "[1]", "{\"\\", "{\"a\\u12", "{\"\\u00", "{\"a\":{]}}", "\"api_key\":1", "{:,}"}) {
        CAPTURE(body);
        CHECK(without(body).empty());
    }
    // Whatever the bytes, it ends, and nothing but dropped members is missing.
    std::mt19937_64 random(11);
    const std::string_view letters = "{}[]\",:\\u0 apikey_N";
    for (int n = 0; n < 20000; ++n) {
        std::string body = "{";
        for (int i = 0; i < 24; ++i) body += letters[random() % letters.size()];
        std::string kept;
        for (const auto piece : wire::without_members(body, 4, is_secret)) kept += piece;
        CHECK(kept.size() <= body.size());
    }
}

TEST_CASE("a value of any kind is JSON, and nothing beside it is") {
    for (const char* text : {"1", " -0.5e3\r\n", "\"a\"", "null", "true", "[]", "[1,\n{\"a\":[]}]", "{}"})
        CHECK(wire::is_json(text));
    for (const char* text :
         {"", " ", "1 2", "nul", "data: {}", "{\"a\":1}\n{\"a\":2}", "'a'", "\"a\nb\"", "\"\xff\"", "[1,]"})
        CHECK_FALSE(wire::is_json(text));
}

TEST_CASE("UTF-8 is well-formed or it is not") {
    CHECK(wire::is_utf8(""));
    CHECK(wire::is_utf8("plain\n\0text"s));
    CHECK(wire::is_utf8("\303\244\342\202\254\360\237\230\200"));
    for (const char* text : {"\377", "a\300\200", "\355\240\200", "\364\220\200\200", "\342\202"})
        CHECK_FALSE(wire::is_utf8(text));
}

TEST_CASE("over random documents and damaged ones, the scanner and Boost.JSON say the same") {
    constexpr unsigned seed = 20261123;
    std::mt19937 random(seed);
    int objects = 0;
    for (int round = 0; round < 40000; ++round) {
        std::string body = random_json_object(random);
        for (auto damage = random() % 3; damage != 0 && !body.empty(); --damage) damage_json(body, random);
        CAPTURE(seed);
        CAPTURE(round);
        CAPTURE(body);
        objects += wire::find_members(body).is_object ? 1 : 0;
        if (const std::string why = disagreement_with_boost(body); !why.empty()) FAIL_CHECK(why);
        const auto members = wire::list_members(body, 1000);
        if (!members.empty() || wire::find_members(body).is_object) CHECK(wire::is_json(body));
        for (const auto& one : members) CHECK(wire::is_json(one.value));
    }
    CHECK(objects > 5000);
    CHECK(objects < 39000);
}

} // namespace evenkeel::test::json_model_test
