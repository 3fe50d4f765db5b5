#include "invariant.hpp"

#include "proxy/wire/json_model.hpp"
#include "tests/proxy/wire/json_reference.hpp"

using namespace evenkeel;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const std::string why = test::disagreement_with_boost(body);
    require(why.empty(), why.c_str());

    const wire::json_members found = wire::find_members(body);
    require(!found.is_object || wire::is_json(body), "an object is JSON");
    require(!wire::is_json(body) || wire::is_utf8(body), "JSON is UTF-8");
    for (const auto& one : wire::list_members(body, size)) {
        require(found.is_object, "only an object has members");
        require(one.value.data() >= body.data() && one.value.data() + one.value.size() <= body.data() + size,
                "a value is inside the body");
        require(wire::is_json(one.value), "a member's value is JSON");
    }
    if (!found.has_model) return 0;
    require(found.model_offset + found.model_size <= size && found.model_size >= 2, "the span is inside the body");
    require(body[found.model_offset] == '"' && body[found.model_offset + found.model_size - 1] == '"',
            "the span is a string");

    // Renaming to the same name, and to another one, changes nothing else.
    for (const std::string& name : {found.model, std::string("a\"\\\n\001")}) {
        const std::string renamed = std::string{body.substr(0, found.model_offset)} + wire::json_string(name) +
                                    std::string{body.substr(found.model_offset + found.model_size)};
        const wire::json_members again = wire::find_members(renamed);
        require(again.has_model && again.model == name && again.model_offset == found.model_offset,
                "the new name is found in the same place");
        require(again.stream == found.stream, "the rest reads as before");
        require(body.substr(0, found.model_offset) == renamed.substr(0, again.model_offset),
                "nothing before it has changed");
        require(body.substr(found.model_offset + found.model_size) ==
                    std::string_view(renamed).substr(again.model_offset + again.model_size),
                "nothing behind it has changed");
    }
    return 0;
}
