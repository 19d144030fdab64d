// Collects what is found in the files of a pipeline.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "engine/pipeline/file.hpp"
#include "engine/pipeline/toml_document.hpp"

namespace qkd::engine {

/// One file of a pipeline.
struct SourceFile {
    std::string shown;                ///< as the user would write it
    std::filesystem::path directory;  ///< absolute: what relative paths in it count from
};

/// Says each thing once: a mistake in a defaults table would else be told for every noun that takes it.
class Findings {
  public:
    void error(FilePlace place, std::string what, std::string allowed = {}, std::string did_you_mean = {});
    void warning(FilePlace place, std::string what, std::string allowed = {});
    /// Errors reported so far, repetitions included.
    [[nodiscard]] std::size_t errors() const noexcept { return errors_; }
    /// Sorted by file and place.
    [[nodiscard]] std::vector<Finding> take(const std::vector<SourceFile>& files) &&;

  private:
    struct Entry {
        FilePlace place;
        Finding finding;
    };
    void add(FilePlace place, Finding finding);

    std::vector<Entry> entries_;
    std::set<std::pair<FilePlace, std::string>> said_;
    std::size_t errors_ = 0;
};

}  // namespace qkd::engine
