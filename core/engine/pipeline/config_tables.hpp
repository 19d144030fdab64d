// The checked values of all nouns of a pipeline, and the view of them that a plugin gets.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/pipeline/table_check.hpp"
#include "engine/secrets/references.hpp"

namespace qkd::engine {

/// Immutable once the pipeline is loaded. Noun::table is an index into `tables`.
class Tables {
  public:
    struct Table {
        std::string name;  ///< "device.mx1", for ConfigView::name()
        CheckedTable values;
    };
    std::vector<Table> tables;
    std::filesystem::path state;  ///< absolute
    std::string seal_key;         ///< reference with absolute paths; empty = state/seal.key

    [[nodiscard]] SealKeySource seal_source() const { return {seal_key, state}; }
    /// Replaces {state}, and {sae} unless `sae` is empty.
    [[nodiscard]] std::string expand(std::string_view text, std::string_view sae) const;
};

}  // namespace qkd::engine
