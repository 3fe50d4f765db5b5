#pragma once
// Where a request names its model besides the member of a JSON body (json_model.hpp): in its path, as Gemini, Vertex
// AI, Azure, Bedrock and Databricks have it, or in a field of a form, as transcriptions and edited images do. Pure; so
// that a rename changes these bytes and no others.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

struct model_place {
    std::string name;       // decoded
    std::size_t offset = 0; // as it is written
    std::size_t size = 0;
};

// `path` is without query. Of models/NAME:verb and its kin, deployments/NAME/..., engines/NAME/..., model/NAME/... and
// serving-endpoints/NAME/...; a path that only speaks of a model (GET /v1/models/NAME) names none.
[[nodiscard]] std::optional<model_place> find_model_in_path(std::string_view path);

// The first field `model` of a multipart form. Empty also where it is no form, or not well-formed up to there.
[[nodiscard]] std::optional<model_place> find_model_in_form(std::string_view content_type, std::string_view body);

// A name as one segment of a path.
[[nodiscard]] std::string path_segment(std::string_view name);

} // namespace evenkeel::wire
