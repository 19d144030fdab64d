# find_package(qkd-macsec-sdk): qkd::sdk, the helpers qkd::sdk-ssh and qkd::sdk-http, and qkd_add_plugin().
include(CMakeFindDependencyMacro)
find_dependency(OpenSSL 3.0)
find_dependency(CURL)
find_dependency(PkgConfig)
pkg_check_modules(LIBSSH2 REQUIRED IMPORTED_TARGET libssh2)
include(${CMAKE_CURRENT_LIST_DIR}/qkd-macsec-sdk-targets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/QkdPlugin.cmake)
