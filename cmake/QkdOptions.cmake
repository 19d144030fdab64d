# Warnings, hardening and sanitizers, as one interface target that every part of the tree links.
# A sanitizer is a property of the whole build: an instrumented plugin in a plain host aborts in dlopen.
option(QKD_WERROR "Treat warnings as errors" ON)
set(QKD_SANITIZE "" CACHE STRING "Sanitizers of the whole build: empty, address,undefined or thread")

add_library(qkd-options INTERFACE)
add_library(qkd::options ALIAS qkd-options)
target_compile_features(qkd-options INTERFACE cxx_std_20)
target_compile_options(qkd-options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees an overlap in every optimised "text" + std::string (its bug 105651, mended in 13).
  target_compile_options(qkd-options INTERFACE -Wno-restrict -Wno-stringop-overflow)
endif()
if(QKD_WERROR)
  target_compile_options(qkd-options INTERFACE -Werror)
endif()
# Boost.DLL must use std::filesystem everywhere: the macro changes types (ADR 0002).
target_compile_definitions(qkd-options INTERFACE BOOST_DLL_USE_STD_FS SPDLOG_FMT_EXTERNAL)
if(QKD_SANITIZE)
  add_compile_options(-fsanitize=${QKD_SANITIZE} -fno-omit-frame-pointer -g1)
  # GCC 12 takes instrumented std::function and std::regex for uninitialized; builds without sanitizers keep the warning.
  target_compile_options(qkd-options INTERFACE -Wno-maybe-uninitialized)
  add_link_options(-fsanitize=${QKD_SANITIZE})
  if(QKD_SANITIZE MATCHES "undefined")
    # vptr checks need the type information of hidden classes across modules, which plugins do not share.
    add_compile_options(-fno-sanitize-recover=undefined -fno-sanitize=vptr)
    add_link_options(-fno-sanitize=vptr)
  endif()
else()
  add_compile_definitions($<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
endif()
